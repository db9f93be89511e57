"""The sandbox protocol: a place where hostile code runs and nothing gets out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, Self, runtime_checkable

from sandboxes.commands import CommandError

__all__ = ["ExecResult", "Isolation", "Sandbox", "SandboxError", "SandboxPool"]


class Isolation(Enum):
    """What stands between the code and this machine, weakest first."""

    NONE = "none"
    PROCESS = "process"
    NAMESPACE = "namespace"
    CONTAINER = "container"
    VM = "vm"


class SandboxError(CommandError):
    """The sandbox broke (engine gone, container lost, image missing), not the code inside it.

    Never shown to a policy as output and never scored as a wrong answer.
    """


@dataclass(frozen=True)
class ExecResult:
    """What a command did. A crash, a time-out and endless output are results, not errors.

    | field | meaning |
    |---|---|
    | exit_code | status; negative is minus the signal; None if it was killed for time |
    | stdout, stderr | bytes kept, up to the sandbox's output cap each |
    | timed_out | killed at the deadline |
    | truncated | output went past the cap; the command was killed there |
    | wall_s | seconds from start to end, measured inside the sandbox |
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    truncated: bool = False
    wall_s: float = 0.0


@runtime_checkable
class Sandbox(Protocol):
    """One leased sandbox: an empty writable working directory, no network, hard limits.

    Every method may raise SandboxError; none raises it for what the code inside does.
    """

    @property
    def isolation(self) -> Isolation:
        """What stands between the code and this machine."""
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: bytes = b"",
        cwd: str = ".",
    ) -> ExecResult:
        """Runs a command to its end or its deadline, then kills every process that it left.

        `argv[0] == "python"` stands for the path of the sandbox's interpreter. With `-c CODE` or
        a file it is forked from a warm one, whose programs have the status and the output of a
        fresh one's; with anything else a fresh one is started, as any other program is executed.
        `cwd` is relative to the working directory.

        What a warm program could tell from a fresh one, on purpose:

        - `CODE` may be longer than an argument of a process (128 KiB).
        - Modules that an imported module of the standard library imports are loaded together with
          it, unseen by audit hooks; these see how the end looks for what is left to do.
        - Objects of modules that are loaded before show in `object.__subclasses__()`, in the
          collector's counts (`gc.get_freeze_count()`), in numbers of allocated blocks, in memory
          and the libraries mapped into it; the collector leaves them alone.
        - `/proc/self/cmdline` is the warm interpreter's. The times of `/proc/self/stat` are those
          of a process that was forked after the last command's end and has waited for this one.
        """
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Writes regular files at relative paths and makes their folders; follows no symlink.

        Raises ValueError for an absolute path or one with `..`, OSError if the code inside has
        left no room or the files are too large or too many. If no code has run yet and there
        should be room, the sandbox is broken: SandboxError.
        """
        ...

    def read(self, path: str) -> bytes:
        """Contents of a regular file.

        Raises FileNotFoundError if there is none, or if it is a link or not a regular file.
        """
        ...

    def reset(self) -> None:
        """Kills every process inside and empties the working directory."""
        ...

    def close(self) -> None:
        """Ends the sandbox. Safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class SandboxPool(Protocol):
    """Sandboxes of one backend, each leased to one user at a time. Thread-safe."""

    @property
    def description(self) -> str:
        """One line: which backend, how many sandboxes, which isolation, and why."""
        ...

    def lease(self, timeout_s: float = 60.0) -> Sandbox:
        """An empty sandbox for the caller alone; closing it returns it to the pool, wiped.

        Blocks while all are leased; raises SandboxError after `timeout_s`.
        """
        ...

    def close(self) -> None:
        """Ends every sandbox that this pool started. Safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
