"""Trainings in processes of their own, forked from one that has loaded what they need."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scgrpo.train import main

__all__ = ["Training"]

FORKS = multiprocessing.get_context("forkserver")
PATIENCE_S = 180
POLL_S = 0.05


class Training:
    """`scgrpo train ARGV` without the ten seconds that its imports take.

    | argument | meaning |
    |---|---|
    | errors | the file that gets its standard error |
    | cache | its SCGRPO_CACHE |
    """

    def __init__(self, argv: Sequence[str], errors: Path, cache: Path) -> None:
        FORKS.set_forkserver_preload(["scgrpo.launch"])
        self._errors = errors
        self._process = FORKS.Process(target=_train, args=(argv, errors, cache))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def said(self) -> str:
        """What it has printed on standard error."""
        return self._errors.read_text() if self._errors.exists() else ""

    def is_running(self) -> bool:
        return self._process.exitcode is None

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Waits until the condition holds, which must be before the training ends."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.is_running(), self.said
            assert time.monotonic() < deadline
            time.sleep(POLL_S)

    def wait(self) -> int:
        """Its exit code, once it has ended; of a signal the negative number."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None, self.said
        return self._process.exitcode

    def kill(self) -> int:
        """Kills it; its exit code."""
        self._process.kill()
        return self.wait()


def _train(argv: Sequence[str], errors: Path, cache: Path) -> None:
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    os.environ["SCGRPO_CACHE"] = str(cache)
    main(argv)
