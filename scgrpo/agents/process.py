"""Runs an agent's command to its end or its deadline."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AgentExit", "client_path", "run_agent"]

POLL_S = 0.1
GRACE_S = 10.0
"""Seconds that an agent has to end by itself once it gets no more turns."""
TAIL_BYTES = 2000


@dataclass(frozen=True)
class AgentExit:
    """How an agent ended.

    | field | meaning |
    |---|---|
    | code | exit status; negative is minus the signal |
    | timed_out | killed at the deadline |
    | output | the end of what it printed |
    """

    code: int
    timed_out: bool
    output: str

    @property
    def error(self) -> str:
        """What went wrong; empty for an agent that ended with status 0."""
        if self.timed_out:
            return "AgentError: the agent was killed at agent.timeout_s"
        if self.code == 0:
            return ""
        lines = self.output.strip() or "it printed nothing"
        return f"AgentError: the agent ended with status {self.code}: {lines}"


def client_path() -> str:
    """The folder that agents import `scgrpo_sandbox` from."""
    return str(Path(__file__).parent / "client")


def run_agent(
    command: str,
    variables: Mapping[str, str],
    *,
    timeout_s: float,
    over: Callable[[], bool],
) -> AgentExit:
    """How a shell command ended, in an empty folder that is removed afterwards.

    It has this process's environment with `variables` over it. Once `over` says that there are no
    more turns, it has `GRACE_S` left. All processes of its session are killed at the end.
    """
    with (
        tempfile.TemporaryDirectory(prefix="scgrpo-agent-") as folder,
        tempfile.TemporaryFile() as output,
    ):
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            timed_out = not _wait(process, timeout_s, over)
        finally:
            # The group lives on as long as any process of it does.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - TAIL_BYTES))
        return AgentExit(code, timed_out, output.read().decode(errors="replace"))


def _wait(
    process: subprocess.Popen[bytes], timeout_s: float, over: Callable[[], bool]
) -> bool:
    """Whether the process ended by itself, in its time or in the grace behind its last turn."""
    deadline = time.monotonic() + timeout_s
    is_over = False
    while time.monotonic() < deadline:
        try:
            process.wait(POLL_S)
            return True
        except subprocess.TimeoutExpired:
            if not is_over and over():
                is_over = True
                deadline = min(deadline, time.monotonic() + GRACE_S)
    return False
