"""Errored episodes of training by cause, and a warning when one cause rises suddenly."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envs.types import Episode
from scgrpo.training.causes import count_causes, describe_causes

__all__ = ["ErrorMonitor", "tail_probability", "describe_errors"]

COUNT, ERRORS = "episodes/count", "errors/"
USUAL_ERRORS, USUAL_EPISODES = 1, 200
WINDOWS = 1, 10
MIN_ERRORS = 3
LEVEL = 1e-4

logger = logging.getLogger(__name__)


class ErrorMonitor:
    """Counts each step's errored episodes by cause and warns once of each cause that rises.

    An errored episode leaves its group and every success rate, so a policy may learn to break its
    sandbox when it would fail. The rule: of the n episodes of this step, and of those of the last
    ten steps, k errored by one cause, and of the N episodes before them K did. It is a rise if
    k >= 3 and the chance of k or more is under 1e-4, were the cause as frequent as before.
    That frequency is uncertain, so it has the distribution Beta(1 + K, 199 + N - K): what N
    episodes say, pooled with 200 imagined ones, one of them errored. So the rule holds from the
    first step on, in which 5 of 32 are a rise and 4 are not. One step shows a jump, ten a climb.

    Independent errors at a steady 1 % of 32 episodes give a false warning in about 1 % of runs of
    200 steps, at 2 % in about 3 % (500 simulated runs each). A steady share well over the imagined
    one is warned of too. Errors that come in bursts, as from an engine that ended, are warned of
    as what they are.

    `past` are the rows of the steps before a resumed run; what they had warned of is not
    repeated. Rows without `episodes/count` are passed over.
    """

    def __init__(self, past: Iterable[Mapping[str, Any]] = ()) -> None:
        self._episodes: list[int] = []
        self._errors: dict[str, list[int]] = {}
        self._reports: set[str] = set()
        for row in past:
            self._rises(row)

    def numbers(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """What to log: `episodes/count`, and `errors/CAUSE` in episodes.

        A cause that an earlier step had is 0 where this step has none, so that curves come down.
        """
        counts = dict.fromkeys(self._errors, 0) | count_causes(episodes)
        numbers = {COUNT: float(len(episodes))}
        for name, count in counts.items():
            numbers[f"{ERRORS}{name}"] = float(count)
        return numbers

    def check(self, step: int, log: Mapping[str, Any]) -> None:
        """Adds a step's numbers and logs a warning for each cause that rises."""
        for name, rise in self._rises(log):
            logger.warning(
                f"step {step}: {rise} errored by {name}. They leave their groups and the success "
                "rate, so a policy that breaks its sandbox when it would fail looks better than "
                f'it is. Read the episodes with "stop":"error" in episodes/step-{step:06d}.jsonl: '
                "if their own turns caused it, close that way in the environment or the sandbox "
                "and train again from a checkpoint before it; if this machine did, fix that"
            )

    def _rises(self, log: Mapping[str, Any]) -> list[tuple[str, _Rise]]:
        """Notes a step; the causes that rise in it for the first time."""
        if not log.get(COUNT):
            return []
        for key in log:
            if key.startswith(ERRORS):
                # A cause that is new now had no errors in the steps before.
                name = key.removeprefix(ERRORS)
                self._errors.setdefault(name, [0] * len(self._episodes))
        self._episodes.append(round(log[COUNT]))

        rises: list[tuple[str, _Rise]] = []
        for name, errors in self._errors.items():
            count = log.get(f"{ERRORS}{name}") or 0
            errors.append(round(count))
            if name in self._reports:
                continue
            rise = self._rise(errors)
            if rise is not None:
                self._reports.add(name)
                rises.append((name, rise))
        return rises

    def _rise(self, errors: Sequence[int]) -> _Rise | None:
        """Of one cause, in the shortest window that shows it."""
        for window in WINDOWS:
            if window > len(errors):
                break
            rise = _Rise(
                window=window,
                errors=sum(errors[-window:]),
                episodes=sum(self._episodes[-window:]),
                errors_before=sum(errors[:-window]),
                episodes_before=sum(self._episodes[:-window]),
            )
            if rise.errors >= MIN_ERRORS and rise.chance < LEVEL:
                return rise
        return None


@dataclass(frozen=True)
class _Rise:
    """Errored episodes of one cause, and all episodes, of the last `window` steps and before."""

    window: int
    errors: int
    episodes: int
    errors_before: int
    episodes_before: int

    @property
    def chance(self) -> float:
        """Chance of this many errors or more, if the cause is as frequent as before."""
        return tail_probability(
            self.errors,
            self.episodes,
            self.errors_before,
            self.episodes_before,
        )

    def __str__(self) -> str:
        usual = f"{USUAL_ERRORS} in {USUAL_EPISODES} is usual"
        if self.episodes_before:
            usual = f"{self.errors_before} of {self.episodes_before} before"
        recent = f" of the last {self.window} steps" if self.window > 1 else ""
        return f"{self.errors} of {self.episodes} episodes{recent} ({usual})"


def tail_probability(
    errors: int, episodes: int, errors_before: int, episodes_before: int
) -> float:
    """Chance of this many errored episodes or more, if the cause is as frequent as before.

    The tail of a beta-binomial distribution.
    """
    a = USUAL_ERRORS + errors_before
    b = USUAL_EPISODES - USUAL_ERRORS + episodes_before - errors_before

    before = _log_beta(a, b)

    chances: list[float] = []
    for k in range(errors, episodes + 1):
        ways = (
            math.lgamma(episodes + 1)
            - math.lgamma(k + 1)
            - math.lgamma(episodes - k + 1)
        )
        after = _log_beta(a + k, b + episodes - k)
        chances.append(math.exp(ways + after - before))
    # Rounding can leave the sum over all counts above 1.
    return min(1.0, math.fsum(chances))


def describe_errors(log: Mapping[str, Any], prefix: str = ERRORS) -> str:
    """The errored episodes of a row of metrics: `ENOSPC 2, KeyError 1`; empty for none."""
    counts: dict[str, float] = {}
    for key, count in log.items():
        if key.startswith(prefix):
            counts[key.removeprefix(prefix)] = count
    return describe_causes(counts)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
