"""`scgrpo envs serve`: an environment for the trainers of others, as an OpenEnv server."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from contextlib import ExitStack

from envs.interop.arguments import add_catalogue
from sandboxes.commands import CommandError, exit_codes

__all__ = ["main"]

PROG = "scgrpo envs serve"
EXAMPLES = f"""\
examples:
  {PROG} swe_lite                        one of ours, on http://127.0.0.1:8000
  {PROG} tool_store --levels 0 1         its two easiest levels alone
  {PROG} my_module:me/my_env --port 9000 yours
  openenv validate --url http://127.0.0.1:8000
  scgrpo eval --envs openenv:http://127.0.0.1:8000     our own client plays it

docs/elsewhere.md has the lines for TRL, verifiers, SkyRL and NeMo Gym.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: serves until it is stopped."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG, bad_input=(ImportError,)), ExitStack() as stack:
        _serve(arguments, stack)


def _serve(arguments: argparse.Namespace, stack: ExitStack) -> None:
    # After parsing, so that --help is quick. First the name, whose error needs no server.
    from envs.interop.sessions import TaskCatalogue

    catalogue = TaskCatalogue(arguments.name, arguments.levels)
    uvicorn, openenv_app = _server_packages()
    sandboxes = None
    if "sandboxes" in inspect.signature(type(catalogue.env)).parameters:
        from sandboxes import SandboxConfig, SandboxError, open_pool

        config = SandboxConfig(backend=arguments.backend, size=arguments.sandboxes)
        try:
            sandboxes = stack.enter_context(open_pool(config))
        except SandboxError as error:
            raise CommandError(str(error)) from error

    app = openenv_app(
        catalogue, sandboxes, sessions=arguments.sessions, idle_s=arguments.idle_s
    )
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning")


def _server_packages():  # noqa: ANN202 - a module and a function of an optional package
    try:
        import uvicorn

        from envs.interop.openenv_server import openenv_app
    except ImportError as error:
        raise ImportError(
            f"{error}; a server needs the extra: pip install 'scgrpo[openenv]'"
        ) from error
    return uvicorn, openenv_app


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Serves an environment by OpenEnv's protocol, many sessions at once.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_catalogue(parser)
    add = parser.add_argument
    add(
        "--host", default="127.0.0.1", help="address to listen on; default: %(default)s"
    )
    add("--port", type=int, default=8000, help="default: %(default)s")
    add(
        "--sessions",
        type=_positive,
        default=64,
        metavar="N",
        help="sessions at once; default: %(default)s",
    )
    add(
        "--idle-s",
        type=_positive,
        default=3600,
        metavar="S",
        help="seconds after which an idle session is closed; default: %(default)s",
    )
    add(
        "--backend",
        default="auto",
        help="sandboxes of environments that run code, as sandbox.backend; default: auto",
    )
    add(
        "--sandboxes",
        type=int,
        default=0,
        metavar="N",
        help="sandboxes at most, as sandbox.size; default: twice the cores, at most 8",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected 1 or more")
    return value


if __name__ == "__main__":
    main()
