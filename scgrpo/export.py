"""`scgrpo export hf`: a checkpoint as a Hugging Face model with its card."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandboxes.commands import exit_codes
from scgrpo.config import TrainConfig
from scgrpo.runs.folders import CONFIG, LATEST, find_run
from scgrpo.settings import parse as settings

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

__all__ = ["card", "export", "main"]

PROG = "scgrpo export hf"
EXAMPLES = f"""examples:
  {PROG} --out my_model
  {PROG} baseline --checkpoint best --out my_model
"""
CURVE_POINTS = 8
NOT_IN_CARD = ("env", "runs", "name", "resume")


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 1 for what broke, 2 for bad input."""
    args = _parser().parse_args(argv)
    with exit_codes(PROG):
        # Imported only now: the log's packages take seconds, and help needs none of them.
        from scgrpo.runs.log import to_terminal

        to_terminal()
        run = find_run(args.runs, args.run)
        out = export(run, args.out, args.checkpoint)
        print(f"{out}: load it with transformers or model=DIR")


def export(run: Path, out: Path, which: str = "latest") -> Path:
    """Writes weights, tokenizer and card of a checkpoint to the new folder `out`; returns it.

    `which` is `latest`, `best` (by `validation.every`) or a step. Raises ValueError for a
    checkpoint that the run lacks or a folder that exists, CheckpointError for a torn one.
    """
    from scgrpo.runs.disk import atomic_folder
    from scgrpo.training import checkpoint

    source = _source(run, which)
    checkpoint.verify(source)
    if out.exists():
        raise ValueError(f"{out} exists; name a folder that does not")
    step = checkpoint.step_of(source.resolve())
    only_for_training = (checkpoint.TRAINER, checkpoint.MANIFEST)
    with atomic_folder(out) as scratch:
        for file in source.iterdir():
            if file.name not in only_for_training:
                shutil.copy2(file, scratch / file.name)
        card(run, step).save(scratch / "README.md")
    return out


def card(run: Path, step: int) -> ModelCard:
    """What the model is, how it was trained and what was measured on it."""
    from huggingface_hub import ModelCard, ModelCardData

    from scgrpo.runs.log import METRICS, VALIDATION, read_metrics
    from scgrpo.training import checkpoint

    # The run may have gone on since: the card tells of this checkpoint's steps alone.
    config = settings.load(TrainConfig, run / CONFIG)
    rows = [row for row in read_metrics(run / METRICS) if row["step"] <= step]
    validation = [row for row in read_metrics(run / VALIDATION) if row["step"] == step]
    about = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["reinforcement-learning", config.algo, "scgrpo"],
        base_model=None if config.model == "auto" else config.model,
    )
    held_out = ["Not measured: `validation.every` was 0."]
    if validation:
        held_out = _validation_table(validation[-1])
    lines = [
        f"# {config.algo} on {config.env}",
        "",
        f"Step {step} of {config.max_steps} of a run of `scgrpo`, from `model={config.model}`, "
        f"seed {config.seed}.",
        "",
        f"    scgrpo train {_arguments(config)}",
        "",
        _budgets(config, checkpoint.step_folder(run / "checkpoints", step)),
        "",
        "## Success of the training episodes",
        "",
        *_curve(rows),
        "",
        "## Success on held-out tasks during training",
        "",
        *held_out,
    ]
    return ModelCard(f"---\n{about.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n")


def _budgets(config: TrainConfig, folder: Path) -> str:
    """The budgets of tokens that the model was trained with, against its positions."""
    from scgrpo.models.load import is_model, load_config
    from scgrpo.preflight.positions import max_positions

    limits = config.limits
    sentence = (
        f"Episodes had at most {limits.episode_tokens} tokens, prompt and replies included, and "
        f"turns {limits.turn_tokens}."
    )
    # Old steps are deleted, and their cards can be asked for still.
    if not is_model(folder):
        return sentence
    positions = max_positions(load_config(folder))
    if positions is None:
        return f"{sentence} The model has no limit of positions."
    if positions < limits.episode_tokens:
        return (
            f"{sentence} That is beyond the {positions} positions of the model: longer inputs "
            "than those are not reliable."
        )
    return f"{sentence} The model has {positions} positions."


def _source(run: Path, which: str) -> Path:
    """The folder of the checkpoint `which`."""
    from scgrpo.training import checkpoint

    # A link or a number is a path at once; the newest step has to be looked for.
    folder = run / "checkpoints"
    if which == "latest":
        path = checkpoint.latest(folder)
    elif which == "best":
        path = folder / checkpoint.BEST
    elif which.isdecimal():
        path = checkpoint.step_folder(folder, int(which))
    else:
        raise ValueError(
            f"got checkpoint {which!r}, expected `latest`, `best` or a step's number"
        )

    # `keep_checkpoints` deletes old steps, so a number may name one that was there.
    if path is None or not path.is_dir():
        folders = sorted(folder.glob("step-*"))
        steps = [str(checkpoint.step_of(step)) for step in folders]
        kept_steps = ", ".join(steps) or "(none)"
        raise ValueError(
            f"{run} has no checkpoint {which}; it keeps the steps {kept_steps}"
        )
    return path


def _arguments(config: TrainConfig) -> str:
    """Every setting that is not the default."""
    values = settings.flat(config)
    defaults = settings.flat(TrainConfig())
    arguments = [f"env={config.env}"]
    for key, value in values.items():
        is_default = value == defaults[key]
        if is_default or key in NOT_IN_CARD:
            continue
        text = _argument_text(value)
        arguments.append(f"{key}={text}")
    return " ".join(arguments)


def _argument_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _curve(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The mean success of up to CURVE_POINTS parts of the run, as a table."""
    if not rows:
        return ["No step was finished."]

    lines = ["| steps | success |", "|---|--:|"]
    size = math.ceil(len(rows) / CURVE_POINTS)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        first = part[0]["step"]
        last = part[-1]["step"]
        # A step without a verdict has no success.
        success = [row["episodes/success"] for row in part]
        rates = [rate for rate in success if rate is not None]
        cell = "-"
        if rates:
            mean = sum(rates) / len(rates)
            cell = f"{100 * mean:.0f} %"
        lines.append(f"| {first}-{last} | {cell} |")
    return lines


def _validation_table(row: dict[str, Any]) -> list[str]:
    lines = ["| split | success |", "|---|--:|"]
    for name, value in row.items():
        if name.startswith("validation/") and value is not None:
            split = name.removeprefix("validation/")
            lines.append(f"| {split} | {100 * value:.1f} % |")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="A checkpoint as a Hugging Face model folder with a model card.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run",
        nargs="?",
        default=LATEST,
        help="folder, or name; default: newest",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="a new folder",
    )
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="STEP",
        help="latest (default), best, or a step",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        help="folder of runs",
    )
    return parser


if __name__ == "__main__":
    main()
