"""Runs suites of code that is trusted but broken, many a second: the build of a task table does.

A run is a fork of an interpreter that has `unittest` loaded, below bubblewrap, without a network,
with limits on time and memory. Policies' code belongs into `sandboxes`, which trusts no code.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Self

from envs.code import driver, observe
from envs.code.evidence import Request, evidence_of
from envs.code.swe_lite.grading import SuiteRun
from sandboxes.inside.settings import hidden_modules

__all__ = ["Bench"]

_ROOT = Path(__file__).resolve().parents[4]
_MAX_BYTES = 1 << 30
_MAX_FILE_BYTES = 1 << 26
_BWRAP = (
    *("bwrap", "--ro-bind", "/", "/", "--tmpfs", "/tmp"),
    *("--dev", "/dev", "--proc", "/proc"),
    *("--unshare-all", "--uid", "61234", "--gid", "61234", "--cap-drop", "ALL"),
    *("--die-with-parent", "--new-session", "--chdir", "/tmp"),
)


class Bench:
    """One interpreter that forks for every run; a context manager, for one thread.

    `hash_seed` is Python's: what passes by the order of a set shows between seeds.
    """

    def __init__(self, hash_seed: int) -> None:
        # Again, because this tree may lie below the /tmp that is hidden.
        tree = ["--ro-bind", str(_ROOT), str(_ROOT)]
        self._worker = subprocess.Popen(
            [*_BWRAP, *tree, sys.executable, "-m", __name__],
            env={
                "PATH": os.environ["PATH"],
                "HOME": "/tmp",
                "PYTHONPATH": str(_ROOT),
                "PYTHONHASHSEED": str(hash_seed),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._worker.kill()
        self._worker.communicate()

    def run(self, files: Mapping[str, str], module: str, timeout_s: float) -> SuiteRun:
        """Runs a test module among the files. Raises RuntimeError if the interpreter is gone."""
        request = Request(module)
        answer = self._ask(files, {**vars(request), "timeout_s": timeout_s})
        events = driver.events(io.BytesIO(answer["output"].encode()))
        evidence = evidence_of(events, request.controls())
        return SuiteRun(evidence, answer["timed_out"], answer["wall_s"])

    def observe(self, files: Mapping[str, str], witness: str, timeout_s: float) -> Any:
        """What the cases of a witness module among the files give, as `observe.py` writes it.

        None if the run breaks off or takes longer. Raises RuntimeError as `run` does.
        """
        answer = self._ask(files, {"witness": witness, "timeout_s": timeout_s})
        with contextlib.suppress(ValueError):
            return json.loads(answer["output"])

    def _ask(
        self, files: Mapping[str, str], request: Mapping[str, Any]
    ) -> dict[str, Any]:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps({**request, "files": dict(files)}) + "\n")
        self._worker.stdin.flush()
        line = self._worker.stdout.readline()
        if not line:
            raise RuntimeError(
                "the interpreter that runs the suites has ended: is bwrap installed?"
            )
        return json.loads(line)


class _HiddenModules:
    """Hides what a sandbox hides, unless the working directory has it."""

    def __init__(self, names: list[str]) -> None:
        self.names = set(names)

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> ModuleSpec | None:
        """None for any other module. Raises ModuleNotFoundError for a hidden one."""
        if name in self.names and not os.path.exists(f"{name}.py"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def _child(request: Mapping[str, Any], pipe: int) -> None:
    """The process of one run: limits, no standard streams, and what it gives into the pipe."""
    os.setsid()
    limits = {
        resource.RLIMIT_AS: _MAX_BYTES,
        resource.RLIMIT_FSIZE: _MAX_FILE_BYTES,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)

    # All forks of an interpreter would draw the same numbers.
    random.seed()
    try:
        if "witness" in request:
            sys.dont_write_bytecode = True
            sys.path.insert(0, os.getcwd())
            sys.modules["observe"] = observe
            os.write(pipe, json.dumps(observe.witness_cases(request)).encode())
        else:
            driver.run_suite(request, pipe)
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            line = json.dumps(["broke", type(error).__name__])
            os.write(pipe, line.encode() + b"\n")
        os._exit(0)


def _serve(request: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """The answer to a request, whose files are laid out in an empty folder."""
    os.chdir(folder)
    for path, text in request["files"].items():
        Path(path).write_text(text, "utf-8")

    report, pipe = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(report)
        _child(request, pipe)
    os.close(pipe)
    output, timed_out = _read_until(report, started + request["timeout_s"])
    wall_s = time.monotonic() - started
    os.close(report)

    # The session, because a test may leave processes behind.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    text = output.decode(errors="replace")
    return {"output": text, "timed_out": timed_out, "wall_s": wall_s}


def _read_until(descriptor: int, deadline: float) -> tuple[bytes, bool]:
    """All that comes before the end or the deadline, and whether that came first."""
    output = b""
    while True:
        left_s = max(deadline - time.monotonic(), 0)
        readable, _, _ = select.select([descriptor], [], [], left_s)
        if not readable:
            return output, True
        data = os.read(descriptor, 65536)
        if not data:
            return output, False
        output += data


def main() -> None:
    """Answers requests of standard input, a line each."""
    import unittest  # noqa: F401  every run needs it

    from sandboxes.inside.imports import preload

    hidden = hidden_modules()
    preload(hidden)
    for name in hidden:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _HiddenModules(hidden))  # pyright: ignore[reportArgumentType]
    for line in sys.stdin:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            answer = _serve(json.loads(line), folder)
            os.chdir("/tmp")
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
