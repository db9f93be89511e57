"""Whether an answer is right: by math-verify, checked against our exact comparison."""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from envs.math.published.answers import exact_value
from envs.releases import MissingDataError
from envs.types import Verdict

__all__ = ["Judge", "check_package", "verdict"]

VERSION = "0.9.0"
"""Of math-verify. Verdicts depend on it, and so the digest of the code must."""
WAIT_S = 300.0
_WORKER = Path(__file__).with_name("worker.py")


def check_package() -> None:
    """Raises MissingDataError without math-verify, or with another version of it."""
    try:
        found = version("math-verify")
    except PackageNotFoundError:
        found = ""
    if found != VERSION:
        raise _other_version(found)


def verdict(gold: str, answer: str) -> Verdict:
    """The verdict on an answer in LaTeX, which is math-verify's.

    Where both are plain numbers, they are compared as fractions too, and `detail` says so if that
    gives another result. Raises MissingDataError without math-verify.
    """
    equal = _judge(os.getpid()).equal(gold, answer)
    if equal is None:
        detail = "wrong: math-verify could not compare it within its limits"
    else:
        detail = "right" if equal else "wrong"

    exact_gold, exact_answer = exact_value(gold), exact_value(answer)
    if exact_gold is not None and exact_answer is not None:
        same = exact_gold == exact_answer
        if same != bool(equal):
            relation = "equals" if same else "differs from"
            detail += (
                f" by math-verify, but as a fraction it {relation} the right answer"
            )
    return Verdict(bool(equal), float(bool(equal)), detail)


class Judge:
    """math-verify in a process of its own, which its limits may end; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def equal(self, gold: str, answer: str) -> bool | None:
        """Whether math-verify takes the answer for the right one; None if that broke it.

        Raises MissingDataError without math-verify, or with another version of it.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self.close()
                self._process = self._start()
            reply = self._reply(self._process, json.dumps([gold, answer]))
            if not reply:
                self.close()
                return None
        return json.loads(reply)

    def close(self) -> None:
        """Ends the process, if there is one. Another question starts it again."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def _start(self) -> subprocess.Popen[str]:
        # -P: the folder of the script is not where it imports from.
        process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._process = process
        found = self._reply(process, None).strip()
        if found != VERSION:
            self.close()
            raise _other_version(found)
        return process

    def _reply(self, process: subprocess.Popen[str], line: str | None) -> str:
        """The next line of the process, after it got one; empty if it has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if line is not None:
                process.stdin.write(line + "\n")
                process.stdin.flush()
        except BrokenPipeError:
            return ""
        # Its processor time is limited; this is for a machine that has none to give.
        ready, _, _ = select.select([process.stdout], [], [], WAIT_S)
        return process.stdout.readline() if ready else ""


@cache
def _judge(process: int) -> Judge:
    """The judge of a process: one that was forked must not share its parent's pipes."""
    return Judge()


def _other_version(found: str) -> MissingDataError:
    return MissingDataError(
        f"answers are judged by math-verify {VERSION}, got {found or 'none'}; "
        "run: pip install 'scgrpo[benchmarks]'"
    )
