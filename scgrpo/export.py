"""`scgrpo export hf`: a checkpoint as a Hugging Face model with its card."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sandboxes.commands import exit_codes
from scgrpo.config import TrainConfig
from scgrpo.runs.folders import CONFIG, LATEST, find_run
from scgrpo.runs.model_card import Weights, base_on_hub, card
from scgrpo.settings import parse as settings

__all__ = ["card", "export", "main"]

PROG = "scgrpo export hf"
EXAMPLES = f"""examples:
  {PROG} --out my_model
  {PROG} baseline --checkpoint best --out my_model
  {PROG} baseline --adapter --out my_adapter
"""
MERGED = "It was trained by adapters, which are merged into the weights: it needs no other model."
BASE = "base"
"""The folder of an export that holds an adapter's base."""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 1 for what broke, 2 for bad input."""
    args = _parser().parse_args(argv)
    with exit_codes(PROG):
        # Imported only now: the log's packages take seconds, and help needs none of them.
        from transformers.utils import logging as transformers_logging

        from scgrpo.runs.log import to_terminal

        to_terminal()
        transformers_logging.disable_progress_bar()
        run = find_run(args.runs, args.run)
        out = export(run, args.out, args.checkpoint, merge=not args.adapter)
        print(f"{out}: load it with transformers or model=DIR")


def export(run: Path, out: Path, which: str = "latest", *, merge: bool = True) -> Path:
    """Writes weights, tokenizer and card of a checkpoint to the new folder `out`; returns it.

    `which` is `latest`, `best` (by `validation.every`) or a step. Adapters are merged into their
    base, so that the folder needs no other model; without `merge` they stay apart, and the folder
    names their base on the hub or holds it. What was written is read back.

    Raises ValueError for a checkpoint that the run lacks, a folder that exists or a base that is
    gone, CheckpointError for a torn checkpoint, DiskError if the disk does not keep the files.
    """
    from scgrpo.models.sources.folders import is_adapter
    from scgrpo.runs import checkpoints
    from scgrpo.runs.disk import atomic_folder

    source = _source(run, which).resolve()
    checkpoints.verify(source)
    if out.exists():
        raise ValueError(f"{out} exists; name a folder that does not")
    if not is_adapter(source):
        weights, write = Weights("", base_on_hub(run)), _copy
    elif merge:
        weights, write = Weights(MERGED, base_on_hub(run)), _write_merged
    else:
        weights, write = _apart(source), _write_apart

    with atomic_folder(out) as scratch:
        write(run, source, scratch)
        step = checkpoints.step_of(source)
        card(run, step, weights).save(scratch / "README.md")
    return out


def _copy(run: Path, source: Path, target: Path) -> None:
    """Copies a checkpoint without what only training needs, and compares the copy."""
    from scgrpo.models.read_back import check_copy
    from scgrpo.runs import checkpoints
    from scgrpo.training import checkpoint

    only_for_training = (
        checkpoint.OPTIMIZER,
        checkpoint.TRAINER,
        checkpoints.MANIFEST,
    )
    for file in source.iterdir():
        if file.name not in only_for_training:
            shutil.copy2(file, target / file.name)
            check_copy(file, target / file.name)


def _write_merged(run: Path, source: Path, target: Path) -> None:
    """Writes the model that base and adapter are together."""
    import torch

    from scgrpo.devices import dtype_of
    from scgrpo.models.load import load_model
    from scgrpo.models.read_back import check_weights

    # The run may have trained on a device that this machine does not have.
    config = settings.load(TrainConfig, run / CONFIG)
    dtype = dtype_of(replace(config, device="auto"))
    # Summed in float32, so that only the result is rounded.
    adapter, tokenizer = load_model(source, dtype=torch.float32)
    model = adapter.merge_and_unload().to(dtype)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    check_weights(target, model)


def _apart(source: Path) -> Weights:
    """The adapter by itself: its base has a name on the hub, or lies in the export."""
    from scgrpo.models.sources.folders import adapter_base, hub_revision

    if known := hub_revision(adapter_base(source)):
        name, revision = known
        return Weights(f"An adapter on {name}, revision {revision}.", name, "peft")
    about = (
        f"An adapter on the model in its folder `{BASE}/`: load that, then this folder on it with "
        "PEFT. `scgrpo` finds it by itself."
    )
    return Weights(about, BASE, "peft")


def _write_apart(run: Path, source: Path, target: Path) -> None:
    """Copies the adapter, and its base if that has no name on the hub."""
    from scgrpo.models.read_back import check_copy
    from scgrpo.models.sources.folders import adapter_base, hub_revision, name_base

    base = adapter_base(source)
    _copy(run, source, target)
    known = hub_revision(base)
    if known is None:
        (target / BASE).mkdir()
        for file in filter(Path.is_file, base.iterdir()):
            shutil.copy2(file, target / BASE / file.name)
            check_copy(file, target / BASE / file.name)
    name_base(target, *(known or (BASE, None)))


def _source(run: Path, which: str) -> Path:
    """The folder of the checkpoint `which`."""
    from scgrpo.runs import checkpoints

    # A link or a number is a path at once; the newest step has to be looked for.
    folder = run / "checkpoints"
    if which == "latest":
        path = checkpoints.latest(folder)
    elif which == "best":
        path = folder / checkpoints.BEST
    elif which.isdecimal():
        path = checkpoints.step_folder(folder, int(which))
    else:
        raise ValueError(
            f"got checkpoint {which!r}, expected `latest`, `best` or a step's number"
        )

    # `keep_checkpoints` deletes old steps, so a number may name one that was there.
    if path is None or not path.is_dir():
        folders = sorted(folder.glob("step-*"))
        steps = [str(checkpoints.step_of(step)) for step in folders]
        kept_steps = ", ".join(steps) or "(none)"
        raise ValueError(
            f"{run} has no checkpoint {which}; it keeps the steps {kept_steps}"
        )
    return path


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
        "--adapter",
        action="store_true",
        help="leave adapters apart from their base, which the export names or holds; "
        "default: merged",
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
