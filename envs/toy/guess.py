"""Number guessing: the smoke environment, whose optimum is known in closed form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import log
from typing import Any

import numpy as np

from envs.tool_env import ToolEnv, tool
from envs.types import Task, Verdict

__all__ = ["ToyGuess"]

_BARE_INTEGER = re.compile(r"\s*-?[0-9]{1,9}\s*")

# Where the windows of a split begin. No two splits share one, so no two share a family.
_LOWS = {"train": (1, 4, 7), "id": (2, 5), "ood/difficulty": (3, 6)}


class ToyGuess(ToolEnv):
    """Find a whole number in a window; every wrong guess is answered `higher` or `lower`.

    | | |
    |---|---|
    | prompt | `Guess 4-6.` |
    | turn | a bare integer such as `5` (the shortest turn), or the tool call `guess(number)` |
    | reply | `higher` or `lower`; what is wrong, for a turn that is neither |
    | verifier | the number itself |
    | parts | `narrowed`: log(n / numbers left) / log(n), 1 where one is left |
    | limits | k guesses, as many as binary search needs at most |
    | levels | 0 to 4: k = 2 to 6 guesses, windows of n = 2**k - 1 = 3, 7, 15, 31, 63 numbers |
    | splits | by window: `train` begins at 1, 4, 7; `id` at 2, 5; `ood/difficulty` at 3, 6 |
    | ood/difficulty | windows as two levels up, with that level's guesses |
    | oracle | binary search; solves every task |
    | chance | a uniform guess in the window every turn: 1 - (1 - 1/n)**k, from 0.56 to 0.09 |
    | source, licence | generated here; Apache-2.0 |
    """

    name = "toy_guess"
    splits = ("train", "id", "ood/difficulty")
    levels = (0, 1, 2, 3, 4)

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """Every number of every window of the split."""
        size = 2 ** _guesses(split, level) - 1
        tasks = []
        for low in _LOWS[split]:
            high = low + size - 1
            for number in range(low, high + 1):
                tasks.append(_task(split, level, low, high, number))
        return tasks

    def __init__(self) -> None:
        super().__init__()
        self._window = (1, 1)

    def begin(self, task: Task) -> None:
        """Every number of the window is left."""
        window = task.payload
        self._window = (window["low"], window["high"])

    def turn_budget(self, task: Task) -> int:
        """The guesses that binary search needs at most."""
        return _guesses(task.split, task.level)

    def reply(self, text: str) -> str | Verdict:
        """Takes a bare integer, else a tool call."""
        if _BARE_INTEGER.fullmatch(text):
            return self.guess(int(text))
        return super().reply(text)

    @tool
    def guess(self, number: int) -> str | Verdict:
        """Guess the number."""
        hidden = self.task.payload["number"]
        if number == hidden:
            return Verdict(passed=True, score=1.0, detail="found")

        # A guess outside what is left says nothing new, and must not widen it.
        low, high = self._window
        if hidden > number:
            self._window = (max(low, number + 1), high)
            return "higher"
        self._window = (low, min(high, number - 1))
        return "lower"

    def checks(self) -> Mapping[str, float]:
        """How far the replies have narrowed the window."""
        window = self.task.payload
        size = window["high"] - window["low"] + 1
        low, high = self._window
        left = high - low + 1
        return {"narrowed": 1 - log(left) / log(size)}

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot and the first and last number left."""
        return {**super().get_state(), "left": list(self._window)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the same numbers left."""
        super().set_state(state)
        low, high = state["left"]
        self._window = (low, high)

    def oracle(self, task: Task) -> list[str]:
        """The guesses of binary search."""
        low = task.payload["low"]
        high = task.payload["high"]
        hidden = task.payload["number"]
        turns = []
        while True:
            middle = (low + high) // 2
            turns.append(str(middle))
            if middle == hidden:
                return turns
            if middle < hidden:
                low = middle + 1
            else:
                high = middle - 1

    def critical(self, task: Task) -> list[str]:
        """The number, in the last turn."""
        return [str(task.payload["number"])]

    def twin(self, task: Task) -> Task:
        """The next number of the window, the first one after the last."""
        low = task.payload["low"]
        high = task.payload["high"]
        number = task.payload["number"]
        other = low if number == high else number + 1
        return _task(task.split, task.level, low, high, other)

    def optimum(self, level: int) -> float:
        """Success rate of the best policy on `train` and `id`.

        k guesses distinguish at most 2**k - 1 numbers, so it is min(1, (2**k - 1) / n).
        """
        guesses = _guesses("train", level)
        windows = len(_LOWS["train"])
        size = len(self.tasks("train", level)) / windows
        return min(1.0, (2**guesses - 1) / size)

    def chance(self, level: int) -> float:
        """Success rate on `train` and `id` of uniform guesses that ignore the replies."""
        guesses = _guesses("train", level)
        size = 2**guesses - 1
        miss = 1 - 1 / size
        return 1 - miss**guesses

    def random_turn(self, rng: np.random.Generator) -> str:
        """A uniform guess in the window."""
        window = self.task.payload
        number = rng.integers(window["low"], window["high"] + 1)
        return str(number)


def _guesses(split: str, level: int) -> int:
    return level + (4 if split == "ood/difficulty" else 2)


def _task(split: str, level: int, low: int, high: int, number: int) -> Task:
    return Task(
        id=f"{split}/{level}/{low}-{high}/{number}",
        split=split,
        level=level,
        family=f"{low}-{high}",
        prompt=f"Guess {low}-{high}.",
        payload={"low": low, "high": high, "number": number},
    )
