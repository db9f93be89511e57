"""Warnings while a policy collapses: its entropy, what references move it by, and its length."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["CollapseMonitor"]

STEPS = 3
QUIET_D = 1e-4
HALF = 0.5
LOW_ENTROPY = 0.1
LENGTHS = 0.25, 4.0

logger = logging.getLogger(__name__)


class CollapseMonitor:
    """Looks at each step's numbers and warns once of each way in which a policy collapses.

    | warning | when |
    |---|---|
    | entropy | the mean of three steps is under a tenth of that of the run's first three |
    | length | the tokens written in an episode, in the same way: under a quarter, over four times |
    | D | references move the policy by less than 1e-4 nats a token in one step |
    | overflow | more than half of the rows lose their reference, and have the weight 1 |
    | cut | more than half of the turns end at a limit of tokens |

    `past` are the rows of the steps before a resumed run.
    """

    def __init__(self, past: Iterable[Mapping[str, Any]] = ()) -> None:
        self._seen: dict[str, list[float]] = {
            "train/entropy": [],
            "episodes/written": [],
        }
        self._warned: set[str] = set()
        for row in past:
            self._note(row)

    def check(self, step: int, log: Mapping[str, Any]) -> None:
        """Adds a step's numbers and logs a warning for each new sign of collapse."""
        self._note(log)

        d = log.get("credit/mean_d")
        if d is not None and d < QUIET_D:
            self._warn(
                "D",
                f"step {step}: references move the policy by {d:.1e} nats a token on average, so "
                "credit.* weighs little but noise; is the model too small to use what it reads?",
            )

        if (share := log.get("credit/overflow_share", 0.0)) > HALF:
            self._warn(
                "overflow",
                f"step {step}: {100 * share:.0f} % of the rows lost their reference, which was too "
                "long, so that they are weighted as in GRPO; raise reference.tokens and "
                "reference.input_tokens, or lower limits.episode_tokens",
            )
        if (share := log.get("episodes/cut_turns", 0.0)) > HALF:
            self._warn(
                "cut",
                f"step {step}: {100 * share:.0f} % of the turns end at a limit of tokens; raise "
                "limits.turn_tokens, or set chat.enable_thinking=false for a model that thinks",
            )

        first, last = self._ends("train/entropy")
        if last < LOW_ENTROPY * first:
            self._warn(
                "entropy",
                f"step {step}: the policy's entropy is {last:.2g} nats a token, {first:.2g} at the "
                "start; episodes of a group come out alike, and nothing more is learned from "
                "them. If success is not high, use a lower lr or algo=dapo",
            )

        first, last = self._ends("episodes/written")
        if not LENGTHS[0] * first <= last <= LENGTHS[1] * first:
            self._warn(
                "length",
                f"step {step}: the policy writes {last:.0f} tokens an episode, {first:.0f} at the "
                "start; read some episodes, and use a lower lr if they make no sense",
            )

    def _note(self, log: Mapping[str, Any]) -> None:
        for name, values in self._seen.items():
            value = log.get(name)
            # A step without a gradient has none of these numbers.
            if value is not None and math.isfinite(value):
                values.append(value)

    def _ends(self, name: str) -> tuple[float, float]:
        """Means of the first and of the last steps; equal before there are any."""
        values = self._seen[name] or [0.0]
        return statistics.fmean(values[:STEPS]), statistics.fmean(values[-STEPS:])

    def _warn(self, what: str, sentence: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning(sentence)
