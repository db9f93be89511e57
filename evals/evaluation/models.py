"""Which models stand side by side, and the settings that they are evaluated with."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import TemplateError
from safetensors import SafetensorError

from envs.rollout import Limits
from sandboxes import SandboxConfig
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.load import is_model, load_model, resolve_model
from scgrpo.policies.completions import Server
from scgrpo.policies.hf import HFPolicy
from scgrpo.policies.server import ServerPolicy, model_names
from scgrpo.runs import folders as runs
from scgrpo.runs.log import read_metrics
from scgrpo.settings import parse as settings
from scgrpo.training import checkpoint

__all__ = ["EvaluatedModel", "EvaluatedModels", "find_models", "open_policy"]

RUNS = Path("runs")
BASE, WARM, TRAINED, SINGLE_PROCESS = "base", "warm-started", "trained", "model"
WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True)
class EvaluatedModel:
    """A model of a report.

    | field | meaning |
    |---|---|
    | label | what the report calls it |
    | name | what it was asked for by |
    | folder | of its weights; of a served model a path that does not exist, to name files by |
    | server | who serves it; None for a model in a folder |
    """

    label: str
    name: str
    folder: Path
    server: Server | None = None

    def digest(self) -> str:
        """Hex SHA-256 over weights, settings and tokenizer: all that decides what it says.

        Of a served model over its address and name alone.
        """
        digest = hashlib.sha256()
        if self.server is not None:
            about = (
                self.server.base_url,
                self.server.model,
                str(self.server.native_tools),
            )
            return hashlib.sha256("\0".join(about).encode()).hexdigest()
        files = {file for pattern in WEIGHTS for file in self.folder.glob(pattern)}
        for file in sorted(files, key=lambda file: file.name):
            if file.name != checkpoint.MANIFEST:
                digest.update(file.name.encode() + b"\0")
                with file.open("rb") as opened:
                    digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class EvaluatedModels:
    """The models to evaluate, from the least to the most trained, and with what.

    | field | meaning |
    |---|---|
    | run | the run that they come from; None for a model of no run |
    | config | the run's settings, else the defaults |
    | levels | levels that the run trained on |
    """

    models: tuple[EvaluatedModel, ...]
    run: Path | None
    config: TrainConfig
    levels: tuple[int, ...]

    @property
    def limits(self) -> Limits:
        """Token budgets of an episode."""
        return self.config.limits

    @property
    def sandbox(self) -> SandboxConfig:
        """Where untrusted code runs."""
        return self.config.sandbox


def find_models(
    model: str = "", base: str = "", run: str = "", *, server: Server | None = None
) -> EvaluatedModels:
    """Base, warm-started and trained model of a run; of other models base and model.

    Of a served model it alone, after `base`, with the settings of `run`.

    `run` is a folder or a name in `runs/`; without it `model` may be one, or a checkpoint in one.
    With neither it is the newest run. Raises ValueError that says what to do.
    """
    if server is not None:
        return _served(server, base, _run_folder(run) if run else None)
    folder = _run_folder(run) if run else _run_of(model)
    if folder is None:
        found = [EvaluatedModel(SINGLE_PROCESS, model, resolve_model(model))]
        if base:
            found.insert(0, EvaluatedModel(BASE, base, resolve_model(base)))
        return EvaluatedModels(tuple(found), None, TrainConfig(), ())
    config = settings.load(TrainConfig, folder / runs.CONFIG)
    whole_run = not model or _as_run(model) == folder
    trained = _newest_checkpoint(folder) if whole_run else resolve_model(model)
    base = base or config.model
    found = [
        EvaluatedModel(BASE, base, resolve_model(base)),
        EvaluatedModel(TRAINED, str(trained), trained),
    ]
    if is_model(warm := folder / "warm_start"):
        found.insert(1, EvaluatedModel(WARM, str(warm), warm.resolve()))
    return EvaluatedModels(
        tuple(found), folder, config, _trained_levels(folder, config)
    )


@contextmanager
def open_policy(
    subject: EvaluatedModel, config: TrainConfig, *, greedy: bool, concurrency: int = 32
) -> Iterator[HFPolicy | ServerPolicy]:
    """The model as a policy, on this machine's device or behind its server.

    Raises ValueError where it is unreadable, and where the server does not serve it.
    """
    temperature = 0.0 if greedy else 1.0
    if subject.server is not None:
        with ServerPolicy(subject.server, temperature=temperature) as served:
            yield served
        return
    config = replace(config, device="auto")
    try:
        model, tokenizer = load_model(subject.folder, dtype=dtype_of(config))
        policy = HFPolicy(
            model.to(device_of(config)),
            tokenizer,
            cache_tokens=config.limits.episode_tokens,
            temperature=temperature,
            slots=concurrency,
        )
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        SafetensorError,
        TemplateError,
    ) as error:
        raise ValueError(
            f"cannot use the model {subject.folder}: {error}. "
            "Save it again, or name another by --model or --base"
        ) from error
    with policy:
        yield policy


def _served(server: Server, base: str, run: Path | None) -> EvaluatedModels:
    if not server.model:
        names = model_names(server)
        if len(names) != 1:
            listed = ", ".join(names[:20]) or "none"
            raise ValueError(
                f"{server.base_url} serves {listed}: name one by --model-name"
            )
        server = replace(server, model=names[0])
    slug = re.sub(r"[^A-Za-z0-9]+", "-", server.model).strip("-")
    found = [
        EvaluatedModel(
            SINGLE_PROCESS, f"{server.model} at {server.base_url}", Path(slug), server
        )
    ]
    if base:
        found.insert(0, EvaluatedModel(BASE, base, resolve_model(base)))
    if run is None:
        return EvaluatedModels(tuple(found), None, TrainConfig(), ())
    config = settings.load(TrainConfig, run / runs.CONFIG)
    return EvaluatedModels(tuple(found), run, config, _trained_levels(run, config))


def _run_folder(name: str) -> Path:
    """The run that `--run` means. Raises ValueError with the nearest."""
    if found := _as_run(name):
        return found
    if Path(name).expanduser().is_dir():
        raise ValueError(f"{name} is no run: it needs {runs.CONFIG} and checkpoints/")
    return runs.find_run(RUNS, name)


def _run_of(model: str) -> Path | None:
    """The run that `model` is, or is a checkpoint of; the newest for ""; None for another model."""
    if not model:
        return runs.newest_run(RUNS)
    folder = Path(model).expanduser()
    inside = folder.parent.name == "checkpoints"
    return _as_run(model) or (_as_run(str(folder.parent.parent)) if inside else None)


def _as_run(name: str) -> Path | None:
    """The run that a folder or a name in `runs/` is; None where it is none."""
    for folder in (Path(name).expanduser(), RUNS / name):
        if (folder / runs.CONFIG).is_file() and (folder / "checkpoints").is_dir():
            # `runs/latest` will be another run tomorrow.
            return (
                folder.parent / folder.resolve().name if folder.is_symlink() else folder
            )
    return None


def _newest_checkpoint(run: Path) -> Path:
    found = checkpoint.latest(run / "checkpoints")
    if found is None:
        raise ValueError(
            f"the run {run} has no whole checkpoint yet: wait for its first, go on with "
            "`python -m scgrpo.train resume=true`, or name a model by --model"
        )
    return found


def _trained_levels(run: Path, config: TrainConfig) -> tuple[int, ...]:
    """The first level, and those that later steps moved to.

    A step's line in the metrics holds the level of the step after it.
    """
    rows = read_metrics(run / "metrics.jsonl")
    later = {int(row["level"]) for row in rows[:-1] if row.get("level") is not None}
    return tuple(sorted(later | {min(config.levels, default=0)}))
