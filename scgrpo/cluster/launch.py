"""`scgrpo launch`: a training run on a Ray cluster, which goes on after a lost process or node.

Trainers get what `accelerate launch` would set (RANK, WORLD_SIZE, ...), engines are vLLM servers
whose addresses become `engine.servers`, workers have the environments and sandboxes of their nodes
(`rollout_workers`); without them sandboxes are those of the trainers' nodes, or `sandbox.hosts`. If
a worker is lost, its episodes are played again by the others. If a trainer or an engine is lost,
all processes end, the cluster places them again, and the run goes on from its last checkpoint: the
run's folder must lie where every node sees it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sandboxes.commands import CommandError, exit_codes
from scgrpo.cluster.gang import Gang, GangLostError, Shape
from scgrpo.config import TrainConfig
from scgrpo.runs.folders import CONFIG
from scgrpo.settings import parse as settings

__all__ = ["launch", "main"]

PROG = "scgrpo launch"
MODULE = "scgrpo.train"
FOR_ENGINES = ("engine.options.", "engine.python=", "engine.start_s=")

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """`scgrpo launch [options] -- SETTINGS`: trains on a cluster."""
    parser = argparse.ArgumentParser(PROG, description=__doc__)
    parser.add_argument(
        "--address", default="auto", help="the cluster's (default: auto)"
    )
    parser.add_argument("--trainers", type=int, default=1, help="training processes")
    parser.add_argument("--engines", type=int, default=0, help="vLLM servers")
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        help="rollout workers, of one core each, with environments and sandboxes",
    )
    parser.add_argument(
        "--cpus", type=float, default=1.0, help="cores of each trainer and engine"
    )
    parser.add_argument(
        "--trainer-gpus", type=float, default=0.0, help="of each trainer"
    )
    parser.add_argument("--engine-gpus", type=int, default=0, help="of each engine")
    parser.add_argument("--fsdp", action="store_true", help="share the model's layers")
    parser.add_argument(
        "--restarts", type=int, default=3, help="in a row, without a finished step"
    )
    parser.add_argument(
        "--wait-s", type=float, default=600.0, help="for room on the cluster"
    )
    parser.add_argument("settings", nargs="*", help="of scgrpo train, behind --")
    arguments = parser.parse_args(argv)
    with exit_codes(PROG):
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise CommandError(
                f'a cluster needs Ray ({error}): pip install "scgrpo[ray]"'
            ) from error
        shape = Shape(
            trainers=arguments.trainers,
            engines=arguments.engines,
            cpus=arguments.cpus,
            trainer_gpus=arguments.trainer_gpus,
            engine_gpus=arguments.engine_gpus,
            fsdp=arguments.fsdp,
            wait_s=arguments.wait_s,
        )
        ray.init(address=arguments.address, log_to_driver=True)
        try:
            run = launch(
                shape,
                arguments.settings,
                workers=arguments.workers,
                restarts=arguments.restarts,
            )
            logger.info("the run ended: %s", run)
        finally:
            ray.shutdown()


def launch(
    shape: Shape, given: Sequence[str], *, workers: int = 0, restarts: int = 3
) -> Path:
    """Runs the training on the cluster that Ray is connected to, and returns its folder.

    Raises ValueError for settings that cannot be used, and GangLostError once it was lost more than
    `restarts` times in a row without a finished step.
    """
    # What engines are started with is refused by a run that only names them.
    for_engines = [*given, "engine.kind=vllm_server", "engine.place=apart"]
    if shape.engines:
        settings.read(TrainConfig, for_engines)
        given = [word for word in given if not word.startswith(FOR_ENGINES)]
    config = settings.read(TrainConfig, given)
    name = config.name or f"launch-{datetime.now():%Y%m%d-%H%M%S}"
    run = config.runs / name
    folder = Path.cwd()
    lost, steps = 0, 0
    while True:
        try:
            with Gang(shape) as gang:
                urls = gang.engines(for_engines)
                placement = _placement_settings(urls, workers)
                gang.train(_command(given, config.runs, name, placement), folder)
            return run
        except GangLostError as error:
            lost = 0 if _steps(run) > steps else lost + 1
            steps = _steps(run)
            if lost > restarts:
                raise
            logger.warning("the gang is lost behind step %d: %s", steps, error)


def _placement_settings(urls: Sequence[str], workers: int) -> list[str]:
    """The settings that name what was placed, for a new run and for one that goes on."""
    placement: list[str] = []
    if urls:
        placement += ["engine.kind=vllm_server", f"engine.servers=[{','.join(urls)}]"]
    if workers:
        placement.append(f"rollout_workers={workers}")
    return placement


def _command(
    given: Sequence[str], runs: Path, name: str, placement: Sequence[str]
) -> list[str]:
    """The trainers' command: a new run, or one that goes on if it has begun."""
    if not (runs / name / CONFIG).is_file():
        return ["-m", MODULE, *given, f"name={name}", *placement]
    return ["-m", MODULE, "resume=true", f"name={name}", f"runs={runs}", *placement]


def _steps(run: Path) -> int:
    """The last step that the run has finished; 0 before the first."""
    from scgrpo.runs.log import METRICS, read_metrics

    try:
        rows = read_metrics(run / METRICS)
    except (CommandError, ValueError, OSError):
        return 0
    return int(rows[-1]["step"]) if rows else 0


if __name__ == "__main__":
    main()
