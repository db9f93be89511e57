"""A child of the runner, forked and confined before the command that it becomes is known.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from sandboxes.inside.pipes import Pipes
from sandboxes.inside.settings import Settings
from sandboxes.inside.warm import exec_command

__all__ = ["Child"]


class Child:
    """A forked child, already confined, that waits for one command, becomes it and ends with it.

    Create it only while no process of a command is alive: then it has met none when its own comes.
    It raises Program in the child, through all frames of the runner.

    | attribute | meaning |
    |---|---|
    | pid | its number, also the command's |
    | end | a descriptor that can be read once it has ended |
    | pipes | its standard streams |
    """

    def __init__(
        self, pipes: Pipes, settings: Settings, limits: Mapping[int, int], rules: int
    ) -> None:
        self.pipes = pipes
        # A job has no limit in length, unlike what a pipe holds, and must not stay in the runner's
        # memory, of which later children get a copy.
        self._job = os.memfd_create("input")
        gate, self._gate = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if not self.pid:
            # Outside of `try`: the command ends all frames, and their clean-up is not its own.
            exec_command(self._job, gate, pipes.inner, settings, limits, rules)
        os.close(gate)
        pipes.close_inner()
        self.end = os.pidfd_open(self.pid)

    def start(self, job: memoryview) -> None:
        """Has it become the command that `exec_command` describes.

        Raises BrokenPipeError if it has ended before its time.
        """
        while job:
            job = job[os.write(self._job, job) :]
        os.write(self._gate, b".")

    def close(self) -> None:
        """Closes all descriptors. The process itself is ended by the runner."""
        self.pipes.close()
        for fd in (self._job, self._gate, self.end):
            with contextlib.suppress(OSError):
                os.close(fd)
