"""`scgrpo agent serve`: an OpenAI-compatible endpoint that turns agents' runs into episodes."""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sandboxes.commands import CommandError, exit_codes

if TYPE_CHECKING:
    from envs.rollout import Limits
    from scgrpo.policies.hf import HFPolicy

__all__ = ["main"]

PROG = "scgrpo agent serve"
DESCRIPTION = """\
Serves a model to agents of your own by OpenAI's chat completions, records the token ids and the
log-probabilities of every call, and grades what an agent leaves of a task's files.
"""
EPILOG = f"""\
examples:
  {PROG} swe_lite --model auto --out episodes.jsonl
  {PROG} swe_lite --model runs/baseline --levels 1 2 --sessions 8 --port 8100

An agent's run, from any language:
  curl -s URL/sessions -d '{{"split": "train", "level": 1, "index": 0}}'
      gives id, prompt, base_url, api_key and sandbox_url
  the agent works: base_url is what an OpenAI client takes, and shell commands in the task's
      sandbox are posted to sandbox_url as {{"command": "ls"}}
  curl -s URL/sessions/ID/finish -d '{{}}'
      grades the files and gives the verdict and the episode; {{"error": "why"}} for an agent
      that crashed, which then has no verdict

You need no server of your own to train or to evaluate: these start the agent for each task.
  scgrpo train env=swe_lite agent.command='python my_agent.py' limits.episode_tokens=4096
  scgrpo eval --envs swe_lite --agent 'python my_agent.py' --episode-tokens 4096
docs/agents.md has an agent in 30 lines, mini-swe-agent, and what is refused.
"""

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """The command: serves until it is stopped."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG, bad_input=(ImportError,)), ExitStack() as stack:
        _serve(arguments, stack)


def _serve(arguments: argparse.Namespace, stack: ExitStack) -> None:
    # After parsing, so that --help is quick; and torch after names that may be wrong.
    from envs.interop.sessions import TaskCatalogue
    from envs.rollout import Limits
    from sandboxes import SandboxConfig, SandboxError, open_pool
    from scgrpo.agents.config import AgentConfig, check_agent
    from scgrpo.models.sources.folders import resolve_model
    from scgrpo.runs.log import to_terminal

    to_terminal()
    limits = Limits(arguments.turn_tokens, arguments.episode_tokens)
    config = AgentConfig(
        command="external",
        parallel=arguments.sessions,
        timeout_s=arguments.timeout_s,
        own_sampling=arguments.own_sampling,
    )
    catalogue = TaskCatalogue(arguments.env, arguments.levels)
    check_agent(config, catalogue.env, catalogue.name)
    folder = resolve_model(arguments.model)

    from scgrpo.agents.endpoint import Endpoint, require_server_packages
    from scgrpo.agents.player import open_shell_pool
    from scgrpo.agents.service import AgentService

    require_server_packages()
    sandbox = SandboxConfig(backend=arguments.backend)
    try:
        grading = stack.enter_context(open_pool(sandbox))
        sandboxes = stack.enter_context(open_shell_pool(sandbox, config.parallel))
    except SandboxError as error:
        raise CommandError(str(error)) from error
    policy = stack.enter_context(_policy(folder, limits, config.parallel))
    service = AgentService(
        catalogue,
        policy,
        grading,
        sandboxes,
        config,
        limits=limits,
        out=arguments.out,
    )
    endpoint = Endpoint(arguments.host, arguments.port, service.routes())
    service.endpoint = stack.enter_context(endpoint)
    stack.callback(service.close)
    logger.info("%s serves %s: %s/sessions", folder, catalogue.name, endpoint.url)
    threading.Event().wait()


def _policy(folder: Path, limits: Limits, slots: int) -> HFPolicy:
    from scgrpo.config import TrainConfig
    from scgrpo.devices import device_of, dtype_of
    from scgrpo.models.load import load_model
    from scgrpo.policies.hf import HFPolicy
    from scgrpo.preflight.positions import check_positions

    check_positions(folder, limits, name=str(folder))
    config = TrainConfig()
    model, tokenizer = load_model(folder, dtype=dtype_of(config))
    return HFPolicy(
        model.to(device_of(config)),
        tokenizer,
        slots=slots,
        cache_tokens=limits.episode_tokens,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("env", metavar="ENV", help="an environment whose tasks are files: swe_lite")
    add("--model", default="auto", help="auto, a folder or a hub's id; default: auto")
    add("--out", type=Path, metavar="FILE", help="append every finished episode to it")
    add("--host", default="127.0.0.1", help="default: %(default)s")
    add("--port", type=int, default=8000, help="0: a free one; default: %(default)s")
    add(
        "--levels",
        type=int,
        nargs="+",
        default=[],
        metavar="LEVEL",
        help="levels whose tasks are numbered; default: all",
    )
    add(
        "--sessions",
        type=int,
        default=4,
        metavar="N",
        help="open at once, each with a sandbox and a place in the batch; default: %(default)s",
    )
    add(
        "--timeout-s",
        type=float,
        default=3600.0,
        metavar="S",
        help="a session that is not finished by then is dropped; default: %(default)s",
    )
    add(
        "--turn-tokens",
        type=int,
        default=256,
        metavar="N",
        help="most new tokens in a turn; default: %(default)s",
    )
    add(
        "--episode-tokens",
        type=int,
        default=4096,
        metavar="N",
        help="most tokens in a conversation; default: %(default)s",
    )
    add(
        "--own-sampling",
        action="store_true",
        help="sample at temperature 1 whatever the agent asks for; else such calls are refused",
    )
    add(
        "--backend", default="auto", help="sandboxes, as sandbox.backend; default: auto"
    )
    return parser


if __name__ == "__main__":
    main()
