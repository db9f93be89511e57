"""Which level to train on: hard enough to fail, easy enough to succeed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["LevelCurriculum"]

UP, DOWN, REVIEW = 0.8, 0.1, 0.2


class LevelCurriculum:
    """Climbs above 80 % success and falls below 10 %, over the last `window` groups of the level.

    A fifth of the tasks come from lower levels. Success is counted before any filtering.
    Raises ValueError for no levels.
    """

    def __init__(self, levels: Sequence[int], *, window: int = 16) -> None:
        if not levels:
            raise ValueError("got no levels, expected at least one level")
        self.levels = sorted(set(levels))
        self._place = 0
        self._recent: deque[float] = deque(maxlen=window)

    @property
    def level(self) -> int:
        """The current level."""
        return self.levels[self._place]

    def draw(self, rng: np.random.Generator) -> int:
        """The level of the next task."""
        if self._place and rng.random() < REVIEW:
            return self.levels[int(rng.integers(self._place))]
        return self.level

    def record(self, level: int, success: float) -> None:
        """Counts one group's success rate in [0, 1] and moves when the window is full."""
        if level != self.level:
            return
        self._recent.append(success)
        # A level is judged by a full window alone: few groups say little.
        if len(self._recent) < (self._recent.maxlen or 0):
            return

        mean = sum(self._recent) / len(self._recent)
        place = self._place
        if mean > UP:
            place = min(place + 1, len(self.levels) - 1)
        elif mean < DOWN:
            place = max(place - 1, 0)
        if place != self._place:
            self._place = place
            self._recent.clear()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"place": self._place, "recent": list(self._recent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from what `state_dict` returned."""
        self._place = int(state["place"])
        self._recent.clear()
        self._recent.extend(state["recent"])
