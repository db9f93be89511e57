"""Chains of arithmetic: compute a formula, with a calculator that does a part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import numpy as np

from envs.math.answers import NO_VALUE, one_of_several, read_value
from envs.math.calc import CalcError, evaluate
from envs.math.formula import (
    Formula,
    drawn,
    edits,
    in_base,
    in_words,
    leaves,
    value,
    written,
)
from envs.supply import TaskSource, in_split
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict

__all__ = ["CHOICES", "CHOICE_TURNS", "MathChain"]

CHOICES = 8
CHOICE_TURNS = 2
CALC_OPERATIONS = 2
BASES = (3, 5, 7, 8)
_CHANCE = (CHOICE_TURNS / CHOICES, 0.45, 0.03, 0.02, 0.0)
# By level: how many numbers, from 1 to which, joined by which operators.
_SEEN = ((2, 30, "+"), (2, 99, "+-*"), (3, 50, "+-*"), (4, 20, "+-*/%"), (5, 9, "+-//"))
_LONG = (
    (8, 30, "+"),
    (8, 50, "+-"),
    (10, 30, "+-*"),
    (12, 20, "+-*/%"),
    (14, 9, "+-//"),
)


class MathChain(ToolEnv):
    """Compute the exact value of a formula; a wrong value is told, and another may follow.

    | | |
    |---|---|
    | prompt | `(3 + 14) * 5 = ?`; at level 0 with eight values to choose from |
    | turn | a value alone (`7`, `-3/4`, `2.5`), or any text whose last line is `Answer: 7` |
    | tool | `calc(expression)` above level 0: exact, at most two operations a call |
    | reply | `5 is wrong`; at level 0 also that a value is not listed or was tried; the result of |
    | | `calc`; what is wrong, for a turn that is neither |
    | verifier | equality of fractions; there is no rounding, and 2.5 is 5/2 |
    | limits | 4 turns, of any kind; at level 0 two, so that eight choices stay a choice |
    | level 0 | a sum of two numbers up to 30; listed are the values of eight such formulas |
    | level 1 | two numbers up to 99, one of + - * |
    | level 2 | three numbers up to 50, + - * |
    | level 3 | four numbers up to 20, + - * / and % (modulo) |
    | level 4 | five numbers up to 9 in nested fractions; the value is no whole number |
    | `train`, `id` | different sets of numbers, drawn alike |
    | `ood/difficulty` | 8, 8, 10, 12 and 14 numbers, by level |
    | `ood/surface` | drawn like `id`, but told in English words, or in base 3, 5, 7 or 8 |
    | `ood/domain` | gcd at level 0; gcd and lcm; from level 2 polynomials at a point too |
    | size | 2,000 tasks of `train` and 300 of every other split, at each level |
    | family | the set of numbers; every split has its own |
    | oracle | a first step in `calc` where there is one, and the value |
    | twin | one number differs, and so does the value; at level 0 it is another listed one |
    | chance | level 0: an untried listed value every turn, 2/8; above: one operation on two |
    | | numbers of the prompt in `calc`, then its result, measured on 2,000 episodes of `train` |
    | source, licence | generated here; Apache-2.0 |
    """

    name = "math_chain"
    splits = ("train", "id", "ood/difficulty", "ood/surface", "ood/domain")
    levels = (0, 1, 2, 3, 4)
    max_turns = 4
    instructions = "Reply with the value alone, such as 7 or -3/4."

    def __init__(self) -> None:
        super().__init__()
        self._tried: list[str] = []
        self._result: str | None = None

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level, in the order in which they are drawn."""
        return _tasks(split, level)

    def begin(self, task: Task) -> None:
        """Nothing is tried or computed yet."""
        self._tried, self._result = [], None

    def turn_budget(self, task: Task) -> int:
        """Two turns where values are listed, else four."""
        return CHOICE_TURNS if task.level == 0 else self.max_turns

    def tool_names(self) -> Sequence[str]:
        """The calculator, above level 0."""
        return () if self.task.level == 0 else ("calc",)

    def reply(self, text: str) -> str | Verdict:
        """Judges a value, else runs the tool that the turn calls."""
        given = read_value(text)
        if given is not None:
            return self._judged(given)
        if "{" in text:
            return super().reply(text)
        self.malformed += 1
        return NO_VALUE

    @tool
    def calc(self, expression: str) -> str:
        """Compute at most two operations, such as 2*(3+4)."""
        try:
            self._result = str(evaluate(expression, max_operations=CALC_OPERATIONS))
        except CalcError as error:
            return f"calc: {error}"
        return self._result

    def oracle(self, task: Task) -> list[str]:
        """A first step in the calculator where there is one, and the value."""
        step = _first_step(task.payload["formula"]) if task.level > 0 else None
        first = [] if step is None else [render_call("calc", expression=written(step))]
        return [*first, task.payload["answer"]]

    def critical(self, task: Task) -> list[str]:
        """The value, in the last turn."""
        return [task.payload["answer"]]

    def twin(self, task: Task) -> Task:
        """The same formula with one number changed, so that its value differs."""
        found = _twin(task)
        if found is None:
            raise ValueError(f"no single number changes the value of {task.id}")
        return found

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def random_turn(self, rng: np.random.Generator) -> str:
        """An untried listed value; above level 0 a calculation, or the result of the last one."""
        if self.task.level == 0:
            untried = [
                choice
                for choice in self.task.payload["choices"]
                if choice not in self._tried
            ]
            return str(rng.choice(untried))
        if self._result is not None and self._result not in self._tried:
            return self._result
        numbers = self.numbers()
        left, right = rng.choice(len(numbers), size=2, replace=False)
        operator = rng.choice(["+", "-", "*"])
        return render_call(
            "calc", expression=f"{numbers[left]} {operator} {numbers[right]}"
        )

    def numbers(self) -> Sequence[Any]:
        """The prompt's, for random turns."""
        return leaves(self.task.payload["formula"])

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, the values tried so far and the last result of the calculator."""
        return {**super().get_state(), "tried": [*self._tried], "result": self._result}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with what was tried and computed."""
        super().set_state(state)
        self._tried, self._result = list(state["tried"]), state["result"]

    def _judged(self, given: Fraction) -> str | Verdict:
        shown, payload = str(given), self.task.payload
        if shown == payload["answer"]:
            return _RIGHT
        listed = payload["choices"]
        if listed and shown not in listed:
            return f"{shown} is not listed"
        if shown in self._tried:
            return f"{shown} was tried"
        self._tried.append(shown)
        return f"{shown} is wrong"


_RIGHT = Verdict(passed=True, score=1.0, detail="right")


@cache
def _tasks(split: str, level: int) -> TaskSource:
    def draw(rng: Random, task_id: str) -> Task:
        if level == 0:
            return _closed(rng, task_id, split)
        formula, _ = _drawn(rng, split, level)
        return _task(task_id, split, level, formula, _way(rng, split), [])

    return TaskSource(MathChain.name, split, level, draw)


def _closed(rng: Random, task_id: str, split: str) -> Task:
    """A task of level 0: the values of several formulas, one of which is asked."""
    rank = rng.randrange(CHOICES)
    while True:
        formula, listed = one_of_several(
            rng, lambda: _drawn(rng, split, 0), CHOICES, rank
        )
        task = _task(task_id, split, 0, formula, _way(rng, split), listed)
        if _twin(task) is not None:
            return task


def _twin(task: Task) -> Task | None:
    """One number changed, and another value, which is listed where any are."""
    listed, answer = task.payload["choices"], task.payload["answer"]
    for formula in edits(task.payload["formula"]):
        try:
            found = str(value(formula))
        except CalcError:
            continue
        if found != answer and (not listed or found in listed):
            return _task(
                task.id, task.split, task.level, formula, task.payload["way"], listed
            )
    return None


def _drawn(rng: Random, split: str, level: int) -> tuple[Formula, int]:
    """A formula that belongs to the split and is worth asking, and its value, rounded down."""
    while True:
        if split == "ood/domain":
            formula = _unseen(rng, level)
        else:
            terms, most, operators = (_LONG if split == "ood/difficulty" else _SEEN)[
                level
            ]
            formula = drawn(rng, terms, operators, most)
        if not in_split(_family(formula), split, "ood/surface"):
            continue
        try:
            found = value(formula)
        except CalcError:
            continue
        if _asks(level, split, found):
            return formula, int(found)


def _asks(level: int, split: str, found: Fraction) -> bool:
    """Whether a value is of the kind that the level is about."""
    if split == "ood/domain":
        return level > 0 or found > 1
    fractional = found.denominator > 1
    return fractional == (level == 4) or level == 3


def _unseen(rng: Random, level: int) -> Formula:
    """Greatest common divisors, least common multiples and polynomials."""
    name = "gcd" if level == 0 else rng.choice(["gcd", "lcm"])
    if level < 2:
        factor = rng.randint(2, 12)
        return [name, *(factor * n for n in rng.sample(range(1, 9), 2))]
    if rng.random() < 0.5:
        degree = min(level, 3)
        x = (
            rng.randint(2, 9)
            if level < 4
            else ["/", rng.randint(1, 9), rng.choice([2, 3, 5])]
        )
        return [
            "poly",
            x,
            rng.randint(1, 9),
            *(rng.randint(-9, 9) for _ in range(degree)),
        ]
    factor = rng.randint(2, 6 + level)
    numbers = [factor * n for n in rng.sample(range(1, 10), level)]
    other = "lcm" if name == "gcd" else "gcd"
    return (
        [name, *numbers] if level == 2 else [name, [other, *numbers[:2]], *numbers[2:]]
    )


def _way(rng: Random, split: str) -> str | int:
    """How a formula is written: `digits`, `words` or a base."""
    if split != "ood/surface":
        return "digits"
    return rng.choice(["words", rng.choice(BASES)])


def _task(
    task_id: str,
    split: str,
    level: int,
    formula: Formula,
    way: str | int,
    listed: Sequence[str],
) -> Task:
    if way == "digits":
        question = f"{written(formula)} = ?"
    elif way == "words":
        question = f"{in_words(formula)} = ?"
    else:
        question = f"Numbers in base {way}, answer in base 10: {in_base(formula, int(way))} = ?"
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=_family(formula),
        prompt="\n".join(
            [question, *([f"Choose: {' '.join(listed)}"] if listed else [])]
        ),
        payload={
            "formula": formula,
            "answer": str(value(formula)),
            "way": way,
            "choices": list(listed),
        },
    )


def _family(formula: Formula) -> str:
    """The numbers, sorted, with the names of functions before them."""
    numbers = " ".join(map(str, sorted(leaves(formula))))
    return (
        f"{formula[0]} {numbers}" if formula[0] in ("gcd", "lcm", "poly") else numbers
    )


def _first_step(formula: Formula) -> Formula | None:
    """The leftmost operation on two plain numbers; None for functions."""
    if isinstance(formula, int) or formula[0] in ("gcd", "lcm", "poly"):
        return None
    left, right = formula[1:]
    inner = _first_step(left) or _first_step(right)
    return inner if inner is not None else formula
