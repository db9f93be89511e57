"""`scgrpo envs grade`: the named checks of OpenEnv's validator on a package and its server.

`openenv validate` of 0.10 loads no graders of others and runs none of the semantic level, so this
command runs ours by its scheduler, on its manifest.
"""

from __future__ import annotations

import argparse
import importlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandboxes.commands import CommandError, exit_codes

__all__ = ["grade", "main"]

PROG = "scgrpo envs grade"
EXAMPLES = f"""\
examples:
  scgrpo export openenv tool_store --out packages/tool_store
  {PROG} packages/tool_store                                starts its application
  {PROG} packages/tool_store --url http://127.0.0.1:8000    the server that runs there

Exit code 0: nothing failed; 1: something failed. A skipped check proves nothing.
"""
START_S = 180.0


@dataclass(frozen=True)
class RunningServer:
    """What graders need to know of a server."""

    base_url: str


def grade(folder: Path, url: str) -> list[Any]:
    """The `CheckResult` of every grader, on a package and its server at `url`.

    Raises ImportError without OpenEnv, ValueError for a folder that is no package of it.
    """
    from envs.interop.graders import GRADERS

    runner = importlib.import_module("openenv.validation.runner")
    signature = importlib.import_module("openenv.validation.signature")
    manifest = importlib.import_module("openenv.validation.manifest")
    graders = importlib.import_module("openenv.validation.graders")
    scheduler = importlib.import_module("openenv.validation.runtime.scheduler")
    try:
        kind = signature.detect_signature(folder)
        parsed = runner.default_parser_registry().parser_for(kind).parse(folder)
    except (
        signature.SignatureError,
        signature.UnsupportedPackageError,
        manifest.ManifestError,
    ) as error:
        raise ValueError(
            f"{folder} is no package that OpenEnv validates: {error}"
        ) from error
    subject = graders.Subject(
        root=folder,
        manifest=parsed,
        image_ref=None,
        running=RunningServer(url),
        outputs_dir=folder / "outputs",
    )
    return scheduler.execute_graders(list(GRADERS), subject)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Grades an OpenEnv package by the validator's named checks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, help="a folder with openenv.yaml")
    parser.add_argument("--url", default="", help="its server; default: it is started")
    arguments = parser.parse_args(argv)
    with exit_codes(PROG, bad_input=(ImportError,)):
        if not (arguments.folder / "openenv.yaml").is_file():
            raise ValueError(f"{arguments.folder} holds no openenv.yaml")
        if arguments.url:
            results = grade(arguments.folder, arguments.url)
        else:
            with _application(arguments.folder) as url:
                results = grade(arguments.folder, url)
    for result in results:
        print(
            f"{result.status.value:5} {result.check_id:34} {result.duration_s:6.1f} s"
        )
        for line in result.evidence if result.status.value != "pass" else ():
            print(f"      {line}")
    sys.exit(int(any(result.status.value in ("fail", "error") for result in results)))


@contextmanager
def _application(folder: Path) -> Iterator[str]:
    """The address of the package's own application while it runs."""
    import yaml

    app = yaml.safe_load((folder / "openenv.yaml").read_text("utf-8")).get("app")
    if not app:
        raise ValueError(
            f"{folder}/openenv.yaml names no app; start it, and pass --url"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port)]
    command += ["--log-level", "error"]
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _wait_for(port, process, app)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[str], app: str) -> None:
    """Returns once the port answers. Raises CommandError if the process ends or takes too long."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            words = process.stderr.read().strip().splitlines() if process.stderr else []
            raise CommandError(
                f"{app} did not start: {words[-1] if words else 'no word'}"
            )
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise CommandError(f"{app} did not answer within {START_S:.0f} s")


if __name__ == "__main__":
    main()
