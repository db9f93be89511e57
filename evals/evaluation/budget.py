"""Limits of an evaluation in tokens and minutes, and an estimate of its time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from envs.rollout import Policy
from envs.types import Episode
from sandboxes.commands import CommandError

__all__ = ["Budget", "BudgetSpent", "in_words", "seconds_left"]

PILOT = 32

# One name for all parts of the command, which `to_terminal` prints.
logger = logging.getLogger("evals.run")


class BudgetSpent(CommandError):
    """The evaluation has to stop here; the message says which limit was reached."""

    exit_code = 3


class Budget:
    """Counts the episodes of an evaluation as they end.

    | argument | meaning |
    |---|---|
    | tokens | most tokens that models write; None for no limit |
    | minutes | longest time from now; None for no limit |
    | planned | episodes to play, to say after the first of them how long the others will take |
    | threads | episodes that run at once |
    """

    def __init__(
        self,
        tokens: int | None = None,
        minutes: float | None = None,
        *,
        planned: int = 0,
        threads: int = 1,
    ) -> None:
        self._tokens = tokens
        self._minutes = minutes
        self._planned = planned
        self._threads = threads
        self._ends = None
        if minutes is not None:
            self._ends = time.monotonic() + 60 * minutes
        self._walls: list[float] = []
        self._written = 0

    @property
    def spent(self) -> str:
        """The limit that was reached, in words; empty before that."""
        if self._tokens is not None and self._written >= self._tokens:
            return (
                f"{self._written} tokens were written, --max-tokens is {self._tokens}"
            )
        if self._ends is not None and time.monotonic() >= self._ends:
            return f"--max-minutes {self._minutes:g} are over"
        return ""

    def count(self, episode: Episode) -> None:
        """Counts an episode that ended. Raises BudgetSpent."""
        self._written += sum(turn.length for turn in episode.turns)

        # An errored episode ends early, so its time says nothing about the others.
        if episode.verdict is not None:
            self._walls.append(episode.wall_s)
            if len(self._walls) == PILOT < self._planned:
                left = self._planned - PILOT
                seconds = seconds_left(left, self._walls, self._threads)
                logger.info(
                    "time: about %s for the other %d episodes", in_words(seconds), left
                )

        self.check()

    def check(self) -> None:
        """Raises BudgetSpent once a limit is reached."""
        if spent := self.spent:
            raise BudgetSpent(spent)

    @contextmanager
    def watching(self, policy: Policy) -> Iterator[None]:
        """Closes the policy when the time is over, so that even a turn that hangs ends then."""
        self.check()
        if self._ends is None:
            yield
            return

        # `count` would never see a turn that hangs, so a thread watches the clock.
        timer = threading.Timer(self._ends - time.monotonic(), policy.close)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def seconds_left(episodes: int, walls_s: Iterable[float], threads: int) -> float:
    """Seconds for episodes that last as long as those of `walls_s`, `threads` of them at once.

    An episode's seconds hold its waits for the others, so this is Little's law.
    """
    walls = list(walls_s)
    return episodes * sum(walls) / len(walls) / min(threads, max(episodes, 1))


def in_words(seconds: float) -> str:
    """`40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
