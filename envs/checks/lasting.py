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

__all__ = ["code_that_acts_late", "code_that_floods", "code_that_stays", "outlives"]

FLOOD_MIB, MAX_OUTPUT_MIB = 64, 32
STAYS_S, GRACE_S = 20, 1.5

_LATE = """
import atexit, os, sys
def late(*error):
    for stream in (sys.stderr, sys.stdout):
        stream.write("\\n" + {last_line!r} + "\\n")
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
    for last_line in ("passed", "OK", PASSED):
        code = _LATE.format(last_line=last_line)
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
            if outlives(mark):
                yield f"a process that a turn on {task.id} started outlives the episode"


def code_that_floods(subject: EnvUnderTest) -> Iterator[str]:
    """Code that prints without end scores 0, and what it prints is not kept in memory."""
    # Tasks that are drawn at the first use and cached are no output.
    list(as_code(subject, "pass", "code that does nothing", thorough=False))

    # Not the process's own peak: after something larger, it would show nothing.
    was_tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        payload = f"exec({_FLOOD!r})"
        thefts = list(as_code(subject, payload, "code that floods", thorough=False))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not was_tracing:
            tracemalloc.stop()

    yield from thefts
    growth_mib = (peak - before) >> 20
    if growth_mib > MAX_OUTPUT_MIB:
        yield (
            f"the output of code took {growth_mib} MiB of memory here, at most {MAX_OUTPUT_MIB} "
            "are expected: cut it off"
        )


def outlives(mark: str, grace_s: float = GRACE_S) -> bool:
    """Whether processes of that mark are still there after a while; ends them."""
    deadline = time.monotonic() + grace_s
    processes = _processes_with(mark)
    while processes and time.monotonic() <= deadline:
        time.sleep(0.05)
        processes = _processes_with(mark)

    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    return bool(processes)


def _processes_with(mark: str) -> list[int]:
    """Ids of the processes that have the mark as an argument."""
    processes: list[int] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # A process may end between the listing and the reading.
        with suppress(OSError):
            # A whole argument: a program whose text holds the mark is no such process.
            if mark.encode() in path.read_bytes().split(b"\0"):
                processes.append(int(path.parent.name))
    return processes
