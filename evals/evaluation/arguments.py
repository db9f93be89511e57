"""The command line of `python -m evals.run`."""

from __future__ import annotations

import argparse
import math
import os
import re
from pathlib import Path

from scgrpo.policies.completions import Server

__all__ = ["FULL", "PROG", "QUICK", "parser", "served"]

PROG = "python -m evals.run"
FULL, QUICK = (200, 8), (30, 1)

EXAMPLES = f"""\
examples:
  {PROG} --quick                     the newest run on `id`, in minutes
  {PROG} --ood                       also on every ood/<shift> split
  {PROG} --run baseline --ood        the run runs/baseline
  {PROG} --model runs/baseline/checkpoints/step-000020
  {PROG} --model FOLDER --base auto --envs toy_guess --levels 0 1
  {PROG} --envs all --tasks 100 --rollouts 4
  {PROG} --base-url http://127.0.0.1:8080/v1 --envs toy_guess --max-minutes 10
  {PROG} --base-url https://HOST/v1 --model-name NAME --api-key-env KEY

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
    add(
        "--ood", action="store_true", help="also the ood/<shift> splits, not `id` alone"
    )
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
    add(
        "--base",
        default="",
        metavar="MODEL",
        help="the model to compare with; default: the run's",
    )
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
    add(
        "--tasks",
        type=_positive,
        metavar="N",
        help=f"most tasks of each suite; default {FULL[0]}",
    )
    add(
        "--rollouts",
        type=_positive,
        metavar="K",
        help=f"episodes of each task; default {FULL[1]}",
    )
    add(
        "--greedy",
        action="store_true",
        help="most likely tokens instead of sampling; 1 rollout",
    )
    add(
        "--seed",
        type=_natural,
        default=0,
        metavar="S",
        help="of tasks and sampling; default 0",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="for reports and episodes; default: evals/ in the run",
    )
    _add_server(made)
    _add_limits(made)
    return made


def served(arguments: argparse.Namespace) -> Server | None:
    """The server that is asked for. Raises ValueError for options that need one, or exclude it."""
    url, key_env = arguments.base_url, arguments.api_key_env
    if not url:
        for name in ("model_name", "api_key_env", "native_tools"):
            if getattr(arguments, name):
                raise ValueError(f"--{name.replace('_', '-')} needs --base-url")
        return None
    if arguments.model:
        raise ValueError(
            "got --model and --base-url; name the server's model by --model-name"
        )
    if key_env and not os.environ.get(key_env):
        raise ValueError(
            f"--api-key-env: the environment variable {key_env} is not set"
        )
    return Server(
        url,
        arguments.model_name,
        api_key_env=key_env,
        timeout_s=arguments.request_timeout,
        patience_s=arguments.patience,
        native_tools=arguments.native_tools,
    )


def _add_server(made: argparse.ArgumentParser) -> None:
    add = made.add_argument_group(
        "a model behind an OpenAI-compatible server"
    ).add_argument
    add(
        "--base-url",
        default="",
        metavar="URL",
        help="where it answers, such as http://HOST/v1",
    )
    add(
        "--model-name",
        default="",
        metavar="NAME",
        help="default: the only one that it serves",
    )
    add(
        "--api-key-env",
        default="",
        metavar="NAME",
        help="the environment variable that holds the key",
    )
    add(
        "--request-timeout",
        type=_amount,
        default=120.0,
        metavar="S",
        help="seconds to wait for a turn before it is asked for again; default 120",
    )
    add(
        "--patience",
        type=_amount,
        default=300.0,
        metavar="S",
        help="seconds to ask again while the server is gone, broken or busy; default 300",
    )
    add(
        "--native-tools",
        action="store_true",
        help="hand tools over as schemas; default: in the system message, as text",
    )


def _add_limits(made: argparse.ArgumentParser) -> None:
    add = made.add_argument_group("limits").add_argument
    add(
        "--concurrency",
        type=_positive,
        default=32,
        metavar="N",
        help="episodes that run at once; default 32",
    )
    add(
        "--max-tokens",
        type=_positive,
        metavar="N",
        help="stop when the episodes of this command hold so many tokens that models wrote",
    )
    add(
        "--max-minutes",
        type=_amount,
        metavar="M",
        help="stop this command after so long",
    )


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a number above 0")
    return number


def _positive(text: str) -> int:
    return _at_least(1, text)


def _natural(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    number = int(text) if re.fullmatch(r"-?\d+", text) else None
    if number is None or number < least:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, wanted a whole number from {least}"
        )
    return number
