"""The command line of `scgrpo eval`, `scgrpo twins` and `scgrpo gap`."""

from __future__ import annotations

import argparse
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scgrpo.policies.completions import Server

__all__ = [
    "INTERRUPTED",
    "RUNS",
    "add_run",
    "evaluation_parser",
    "parse_evaluation",
    "positive",
    "server_of",
    "whole_number",
]

RUNS = Path("runs")
# Tasks of each suite, and episodes of each task.
FULL, QUICK = (200, 8), (30, 1)
NO_SERVER = {"base_url": "", "model_name": "", "api_key_env": "", "native_tools": False}
NO_AGENT = {
    "agent": "",
    "agent_parallel": None,
    "agent_timeout": None,
    "agent_own_sampling": False,
}
INTERRUPTED = "stopped; finished episodes are kept: the same command goes on"


def evaluation_parser(
    prog: str,
    description: str,
    epilog: str,
    *,
    full: tuple[int, int] = FULL,
    quick: tuple[int, int] = QUICK,
    servers: bool = True,
    agents: bool = False,
    workers: bool = True,
) -> argparse.ArgumentParser:
    """The options of a command that plays episodes. Parse with `parse_evaluation`.

    `full` and `quick` are tasks of each suite and episodes of each task. Without `servers` the
    models are folders alone; with `agents` an agent of one's own may play; without `workers`
    environments are in this process alone.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_run(parser, default="")
    # Earlier releases took the run by this option alone.
    parser.add_argument("--run", dest="run_option", default="", help=argparse.SUPPRESS)
    _add_suites(parser, full, quick)
    _add_models(parser)
    if servers:
        _add_server(parser)
    else:
        parser.set_defaults(**NO_SERVER)
    if agents:
        _add_agent(parser)
    else:
        parser.set_defaults(**NO_AGENT)
    _add_limits(parser)
    if workers:
        _add_workers(parser)
    else:
        parser.set_defaults(workers=0)
    parser.set_defaults(sizes={"full": full, "quick": quick})
    return parser


def parse_evaluation(
    parser: argparse.ArgumentParser, argv: list[str] | None
) -> argparse.Namespace:
    """The arguments; bad ones end the command with exit code 2 and a sentence."""
    # RUN may stand behind the options, too.
    arguments = parser.parse_intermixed_args(argv)
    if arguments.run and arguments.run_option:
        parser.error(
            f"got the run {arguments.run} and --run {arguments.run_option}; name it once"
        )
    arguments.run = arguments.run or arguments.run_option
    return arguments


def add_run(parser: argparse.ArgumentParser, *, default: str) -> None:
    """The positional RUN of every command that reads one."""
    parser.add_argument(
        "run",
        nargs="?",
        default=default,
        metavar="RUN",
        help="a folder, or a name in runs/; default: the newest",
    )


def server_of(arguments: argparse.Namespace) -> Server | None:
    """The server that the arguments name.

    Raises ValueError for options that need a server, or exclude it.
    """
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

    # The HTTP client takes long to import, and most commands talk to no server.
    from scgrpo.policies.completions import Server

    return Server(
        url,
        arguments.model_name,
        api_key_env=key_env,
        timeout_s=arguments.request_timeout,
        patience_s=arguments.patience,
        native_tools=arguments.native_tools,
    )


def _add_suites(
    parser: argparse.ArgumentParser, full: tuple[int, int], quick: tuple[int, int]
) -> None:
    add = parser.add_argument
    add(
        "--envs",
        nargs="+",
        default=[],
        metavar="NAME",
        help="environments; `all`: all of this project. "
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
    add("--ood", action="store_true", help="the ood/<shift> splits besides `id`")
    add(
        "--quick",
        action="store_true",
        help=f"{quick[0]} tasks x {quick[1]} instead of {full[0]} x {full[1]}",
    )
    add(
        "--tasks",
        type=positive,
        metavar="N",
        help=f"at most N tasks of each suite; default {full[0]}",
    )
    add(
        "--rollouts",
        type=positive,
        metavar="K",
        help=f"episodes of each task; default {full[1]}",
    )
    add(
        "--greedy",
        action="store_true",
        help="most likely tokens instead of sampling; 1 rollout",
    )
    add(
        "--seed",
        type=whole_number,
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


def _add_models(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("models").add_argument
    add(
        "--model",
        default="",
        metavar="MODEL",
        help="evaluate this model instead: a folder, a Hugging Face id, a run, or `auto`",
    )
    add(
        "--base",
        default="",
        metavar="MODEL",
        help="the model to compare with; default: the run's",
    )
    add(
        "--chat",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="what the chat template is given, such as enable_thinking=false or "
        "options.reasoning_effort=low; default: the run's",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("a model behind an OpenAI-compatible server")
    add = group.add_argument
    add(
        "--base-url",
        default="",
        metavar="URL",
        help="its address, such as http://HOST/v1",
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
        help="seconds to wait for a turn before it is requested again; default 120",
    )
    add(
        "--patience",
        type=_amount,
        default=300.0,
        metavar="S",
        help="seconds of retries while the server is gone, broken or busy; default 300",
    )
    add(
        "--native-tools",
        action="store_true",
        help="hand tools over as schemas; default: in the system message, as text",
    )


def _add_agent(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("an agent of your own (docs/agents.md)")
    add = group.add_argument
    add(
        "--agent",
        default="",
        metavar="COMMAND",
        help="the shell command that plays a task instead of this project's loop; "
        "default: the run's agent.command",
    )
    add(
        "--agent-parallel",
        type=positive,
        metavar="N",
        help="agents at once, each with a sandbox; default: the run's, else 4",
    )
    add(
        "--agent-timeout",
        type=_amount,
        metavar="S",
        help="seconds until an agent is killed; default: the run's, else 900",
    )
    add(
        "--agent-own-sampling",
        action="store_true",
        help="sample at the policy's settings whatever temperature the agent asks for",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("limits").add_argument
    add(
        "--turn-tokens",
        type=positive,
        metavar="N",
        help="most new tokens in a turn; default: the run's limits.turn_tokens",
    )
    add(
        "--episode-tokens",
        type=positive,
        metavar="N",
        help="most tokens in an episode, prompt and all; default: the run's "
        "limits.episode_tokens",
    )
    add(
        "--concurrency",
        type=positive,
        default=32,
        metavar="N",
        help="episodes that run at once; default 32",
    )
    add(
        "--max-tokens",
        type=positive,
        metavar="N",
        help="stop after N tokens that models wrote in this command",
    )
    add("--max-minutes", type=_amount, metavar="M", help="stop after M minutes")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument_group("a Ray cluster").add_argument(
        "--workers",
        type=whole_number,
        default=0,
        metavar="N",
        help="actors of the cluster at $RAY_ADDRESS that have the environments, and "
        "sandboxes of their nodes; default 0: this process has them",
    )


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return number


def positive(text: str) -> int:
    """A whole number from 1. Raises ArgumentTypeError for another text."""
    return _at_least(1, text)


def whole_number(text: str) -> int:
    """A whole number from 0. Raises ArgumentTypeError for another text."""
    return _at_least(0, text)


def _at_least(minimum: int, text: str) -> int:
    number = int(text) if re.fullmatch(r"-?\d+", text) else None
    if number is None or number < minimum:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected a whole number from {minimum}"
        )
    return number
