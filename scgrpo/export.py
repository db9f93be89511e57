"""`python -m scgrpo.export RUN --out DIR`: a checkpoint as a Hugging Face model with its card."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from scgrpo.config import TrainConfig
from scgrpo.runs.disk import DiskError, atomic_folder
from scgrpo.runs.folders import CONFIG, LATEST, find_run
from scgrpo.runs.log import METRICS, VALIDATION, read_metrics, to_terminal
from scgrpo.settings import parse as settings
from scgrpo.training import checkpoint

__all__ = ["card", "export", "main"]

PROG = "python -m scgrpo.export"
OURS = (checkpoint.TRAINER, checkpoint.MANIFEST)
CURVE_POINTS = 8


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 2 for bad input."""
    to_terminal()
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        run = find_run(args.runs, args.run)
        print(
            f"{export(run, args.out, args.checkpoint)}: load it with transformers or model=DIR"
        )
    except (ValueError, checkpoint.CheckpointError, DiskError) as error:
        parser.error(str(error))


def export(run: Path, out: Path, which: str = "latest") -> Path:
    """Writes weights, tokenizer and card of a checkpoint to the new folder `out`; returns it.

    `which` is `latest`, `best` (by `validation.every`) or a step. Raises ValueError for a
    checkpoint that the run lacks or a folder that exists, CheckpointError for a torn one.
    """
    source = _source(run, which)
    checkpoint.verify(source)
    if out.exists():
        raise ValueError(f"{out} exists; name a folder that does not")
    step = checkpoint.step_of(source.resolve())
    with atomic_folder(out) as scratch:
        for file in source.iterdir():
            if file.name not in OURS:
                shutil.copy2(file, scratch / file.name)
        card(run, step).save(scratch / "README.md")
    return out


def card(run: Path, step: int) -> ModelCard:
    """What the model is, how it was trained and what was measured on it."""
    config = settings.load(TrainConfig, run / CONFIG)
    rows = [row for row in read_metrics(run / METRICS) if row["step"] <= step]
    held = [row for row in read_metrics(run / VALIDATION) if row["step"] == step]
    about = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["reinforcement-learning", config.algo, "scgrpo"],
        base_model=None if config.model == "auto" else config.model,
    )
    lines = [
        f"# {config.algo} on {config.env}",
        "",
        f"Step {step} of {config.max_steps} of a run of `scgrpo`, from `model={config.model}`, "
        f"seed {config.seed}.",
        "",
        f"    python -m scgrpo.train {_arguments(config)}",
        "",
        "## Success of the training episodes",
        "",
        *_curve(rows),
        "",
        "## Success on held-out tasks during training",
        "",
        *(_held_out(held[-1]) if held else ["Not measured: `validation.every` was 0."]),
    ]
    return ModelCard(f"---\n{about.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n")


def _source(run: Path, which: str) -> Path:
    folder = run / "checkpoints"
    if which == "latest":
        found = checkpoint.latest(folder)
    elif which == "best":
        found = folder / checkpoint.BEST
    elif which.isdecimal():
        found = checkpoint.step_folder(folder, int(which))
    else:
        raise ValueError(
            f"got checkpoint {which!r}, wanted `latest`, `best` or a step's number"
        )
    if found is None or not found.is_dir():
        kept = ", ".join(
            str(checkpoint.step_of(path)) for path in sorted(folder.glob("step-*"))
        )
        raise ValueError(
            f"{run} has no checkpoint {which}; it keeps the steps {kept or '(none)'}"
        )
    return found


def _arguments(config: TrainConfig) -> str:
    """Every setting that is not the default."""
    got, usual = (settings.flat(one) for one in (config, TrainConfig()))
    hidden = {"runs", "name", "resume"}
    changed = (k for k in got if got[k] != usual[k] and k not in hidden)
    return " ".join(
        [
            f"env={config.env}",
            *(f"{k}={_written(got[k])}" for k in changed if k != "env"),
        ]
    )


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _curve(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["No step was finished."]
    size = -(-len(rows) // CURVE_POINTS)
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    lines = ["| steps | success |", "|---|--:|"]
    for part in parts:
        values = [
            row["episodes/success"]
            for row in part
            if row["episodes/success"] is not None
        ]
        mean = f"{100 * sum(values) / len(values):.0f} %" if values else "-"
        lines.append(f"| {part[0]['step']}-{part[-1]['step']} | {mean} |")
    return lines


def _held_out(row: dict[str, Any]) -> list[str]:
    lines = ["| split | success |", "|---|--:|"]
    for name, value in row.items():
        if name.startswith("validation/") and value is not None:
            lines.append(
                f"| {name.removeprefix('validation/')} | {100 * value:.1f} % |"
            )
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="A checkpoint as a Hugging Face model folder with a model card.",
    )
    parser.add_argument(
        "run", nargs="?", default=LATEST, help="folder, or name; default: newest"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder"
    )
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="STEP",
        help="latest (default), best, or a step",
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="folder of runs"
    )
    return parser


if __name__ == "__main__":
    main()
