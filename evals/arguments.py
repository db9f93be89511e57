"""The command line of `python -m evals.run`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

__all__ = ["FULL", "PROG", "QUICK", "parser"]

PROG = "python -m evals.run"
FULL, QUICK = (200, 8), (50, 2)

EXAMPLES = f"""\
examples:
  {PROG} --quick                     the newest run on `id`, in minutes
  {PROG} --ood                       also on every ood/<shift> split
  {PROG} --run baseline --ood        the run runs/baseline
  {PROG} --model runs/baseline/checkpoints/step-000020
  {PROG} --model FOLDER --base auto --envs toy_guess --levels 0 1
  {PROG} --envs all --tasks 100 --rollouts 4

A run's base model, its warm-started one (where it has one) and its newest checkpoint stand side by
side, on the same tasks. Interrupted? The same command goes on where it stopped.
"""


def parser() -> argparse.ArgumentParser:
    """Reads the arguments; refuses bad ones with exit code 2 and a sentence."""
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Evaluates a model on tasks that training never saw, and prints one table.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--ood", action="store_true", help="also the ood/<shift> splits, not `id` alone")
    add(
        "--quick",
        action="store_true",
        help=f"{QUICK[0]} tasks x {QUICK[1]} instead of {FULL[0]} x {FULL[1]}",
    )
    add(
        "--run",
        default="",
        metavar="FOLDER",
        help="a run, or its name in runs/; default: the newest",
    )
    add(
        "--model",
        default="",
        metavar="PATH|ID|RUN",
        help="evaluate this model instead: a folder, a Hugging Face id, a run, or `auto`",
    )
    add("--base", default="", metavar="MODEL", help="the model to compare with; default: the run's")
    add(
        "--envs",
        nargs="+",
        default=[],
        metavar="NAME",
        help="environments; `all`: every one of ours. "
        "Default: the run's; `all` for a model of no run",
    )
    add(
        "--levels",
        nargs="+",
        type=int,
        default=[],
        metavar="L",
        help="default: those that the run trained on, else the first",
    )
    add("--tasks", type=_positive, metavar="N", help=f"most tasks of each suite; default {FULL[0]}")
    add("--rollouts", type=_positive, metavar="K", help=f"episodes of each task; default {FULL[1]}")
    add("--greedy", action="store_true", help="most likely tokens instead of sampling; 1 rollout")
    add("--seed", type=_natural, default=0, metavar="S", help="of tasks and sampling; default 0")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="for reports and episodes; default: evals/ in the run",
    )
    return made


def _positive(text: str) -> int:
    return _at_least(1, text)


def _natural(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    number = int(text) if re.fullmatch(r"-?\d+", text) else None
    if number is None or number < least:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number from {least}")
    return number
