"""Attacks by code that acts when its turn seems over: at exit, in the background, without end.

As in `hostile`, they do nothing worse than to deceive or to burden the process that runs them.
"""

from __future__ import annotations

import os
import signal
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from envs.checks.env_under_test import EnvUnderTest
from envs.checks.hostile import EMPTY_TEST, PASSED, as_code, code_turns

__all__ = ["code_that_acts_late", "code_that_floods", "code_that_stays", "outlived"]

FLOOD_MIB, KEPT_MIB = 64, 32
STAYS_S, GRACE_S = 20, 1.5

_LATE = """
import atexit, os, sys
def late(*error):
    for stream in (sys.stderr, sys.stdout):
        stream.write("\\n" + {said!r} + "\\n")
        stream.flush()
    os._exit(0)
atexit.register(late)
sys.excepthook = late
"""
_REWRITES = f"""
import glob, os, time
end = time.monotonic() + {STAYS_S}
while os.path.isdir(os.getcwd()) and time.monotonic() < end:
    for name in glob.glob("test*.py") + glob.glob("tests/*.py"):
        try:
            open(name, "w").write({EMPTY_TEST!r})
        except OSError:
            pass
    time.sleep(0.0005)
"""
_STAYS = f"""
import subprocess, sys
quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
command = [sys.executable or "python3", "-c", {_REWRITES!r}, {{mark!r}}]
subprocess.Popen(command, start_new_session=True, **quiet)
"""
_FLOOD = f"""
import sys
for _ in range({FLOOD_MIB}):
    sys.stdout.write("passed\\n" * (2**20 // 7))
sys.stdout.flush()
"""


def code_that_acts_late(subject: EnvUnderTest) -> Iterator[str]:
    """Code that prints a verdict and ends with success as its process exits scores 0."""
    for said in ("passed", "OK", PASSED):
        code = _LATE.format(said=said)
        yield from as_code(subject, f"exec({code!r})", "code that acts at exit")


def code_that_stays(subject: EnvUnderTest) -> Iterator[str]:
    """Code that leaves a process behind, which rewrites tests, scores 0; the process ends too."""
    mark = f"scgrpo-check-{uuid4().hex}"
    payload = f"exec({_STAYS.format(mark=mark)!r})"
    for task in subject.few():
        for script in code_turns(subject, task, payload):
            trace = subject.play(task, script)
            if trace.passed:
                yield f"code that leaves a process behind scores 1 on {task.id}"
            # Ends the episode: until then a process may stay.
            subject.play(task, [])
            if outlived(mark):
                yield f"a process that a turn on {task.id} started outlives the episode"


def code_that_floods(subject: EnvUnderTest) -> Iterator[str]:
    """Code that prints without end scores 0, and what it prints is not kept in memory."""
    # What is drawn at the first use and kept is no output.
    list(as_code(subject, "pass", "code that does nothing", thorough=False))
    # The process's own peak would tell nothing after something larger.
    traced = tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        found = list(
            as_code(subject, f"exec({_FLOOD!r})", "code that floods", thorough=False)
        )
        grown = (tracemalloc.get_traced_memory()[1] - before) >> 20
    finally:
        if not traced:
            tracemalloc.stop()
    yield from found
    if grown > KEPT_MIB:
        yield f"the output of code took {grown} MiB of memory here, wanted a limit: cut it off"


def outlived(mark: str, grace_s: float = GRACE_S) -> bool:
    """Whether processes of that mark are still there after a while; ends them."""
    deadline = time.monotonic() + grace_s
    while found := _marked(mark):
        if time.monotonic() > deadline:
            for process in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            return True
        time.sleep(0.05)
    return False


def _marked(mark: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            # The mark is an argument of its own; who carries it inside a program is no such one.
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
