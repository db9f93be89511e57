"""Chains of arithmetic: compute a formula, with a calculator that does a part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import numpy as np

from envs.math.answers import NO_VALUE, one_of_several, random_operation, read_value
from envs.math.calc import CalcError, evaluate
from envs.math.formula import (
    Formula,
    edits,
    in_base,
    in_words,
    infix,
    leaves,
    random_formula,
    value,
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
_FUNCTIONS = ("gcd", "lcm", "poly")
_CHANCE = (CHOICE_TURNS / CHOICES, 0.45, 0.03, 0.02, 0.0)
# By level: how many numbers, the largest one, and the operators between them.
_SEEN = ((2, 30, "+"), (2, 99, "+-*"), (3, 50, "+-*"), (4, 20, "+-*/%"), (5, 9, "+-//"))
_LONG = (
    (8, 30, "+"),
    (8, 50, "+-"),
    (10, 30, "+-*"),
    (12, 20, "+-*/%"),
    (14, 9, "+-//"),
)


class MathChain(ToolEnv):
    """Compute the exact value of a formula; a wrong value is reported, and another may follow.

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
    | `ood/surface` | drawn like `id`, but written in English words, or in base 3, 5, 7 or 8 |
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
        self._tried = []
        self._result = None

    def turn_budget(self, task: Task) -> int:
        """Two turns if values are listed, else four."""
        return CHOICE_TURNS if task.level == 0 else self.max_turns

    def tool_names(self) -> Sequence[str]:
        """The calculator, above level 0."""
        return () if self.task.level == 0 else ("calc",)

    def reply(self, text: str) -> str | Verdict:
        """Judges a value, else runs the tool that the turn calls."""
        value_read = read_value(text)
        if value_read is not None:
            return self._judge(value_read)
        # Only a brace can begin a call: other prose gets the hint about values.
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
        """A first step in the calculator if there is one, and the value."""
        turns = []
        step = _first_step(task.payload["formula"])
        if task.level > 0 and step is not None:
            turns.append(render_call("calc", expression=infix(step)))
        turns.append(task.payload["answer"])
        return turns

    def critical(self, task: Task) -> list[str]:
        """The value, in the last turn."""
        return [task.payload["answer"]]

    def twin(self, task: Task) -> Task:
        """The same formula with one number changed, so that its value differs."""
        twin = _twin(task)
        if twin is None:
            raise ValueError(f"no single number changes the value of {task.id}")
        return twin

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def random_turn(self, rng: np.random.Generator) -> str:
        """An untried listed value; above level 0 a calculation, or the result of the last one."""
        if self.task.level == 0:
            choices = self.task.payload["choices"]
            untried = [choice for choice in choices if choice not in self._tried]
            return str(rng.choice(untried))

        if self._result is not None and self._result not in self._tried:
            return self._result
        expression = random_operation(rng, self.numbers())
        return render_call("calc", expression=expression)

    def numbers(self) -> Sequence[Any]:
        """The numbers of the prompt, for random turns."""
        return leaves(self.task.payload["formula"])

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, the values tried so far and the last result of the calculator."""
        state = super().get_state()
        state["tried"] = list(self._tried)
        state["result"] = self._result
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with what was tried and computed."""
        super().set_state(state)
        self._tried = list(state["tried"])
        self._result = state["result"]

    def _judge(self, value_read: Fraction) -> str | Verdict:
        text = str(value_read)
        if text == self.task.payload["answer"]:
            return _RIGHT
        choices = self.task.payload["choices"]
        if choices and text not in choices:
            return f"{text} is not listed"
        if text in self._tried:
            return f"{text} was tried"
        self._tried.append(text)
        return f"{text} is wrong"


_RIGHT = Verdict(passed=True, score=1.0, detail="right")


@cache
def _tasks(split: str, level: int) -> TaskSource:
    def draw(rng: Random, task_id: str) -> Task:
        """The next task of the split at the level."""
        if level == 0:
            return _choice_task(rng, task_id, split)
        formula, _ = _draw_formula(rng, split, level)
        notation = _notation(rng, split)
        return _task(task_id, split, level, formula, notation, [])

    return TaskSource(MathChain.name, split, level, draw)


def _choice_task(rng: Random, task_id: str, split: str) -> Task:
    """A task of level 0: the values of several formulas, and one of the formulas to compute."""
    rank = rng.randrange(CHOICES)
    while True:
        formula, choices = one_of_several(
            rng,
            lambda: _draw_formula(rng, split, 0),
            CHOICES,
            rank,
        )
        notation = _notation(rng, split)
        task = _task(task_id, split, 0, formula, notation, choices)
        if _twin(task) is not None:
            return task


def _twin(task: Task) -> Task | None:
    """The task with one number changed, so that another value is right: a listed one, if any are.

    None when no single number does that.
    """
    payload = task.payload
    choices = payload["choices"]
    for formula in edits(payload["formula"]):
        try:
            answer = str(value(formula))
        except CalcError:
            continue
        if answer == payload["answer"]:
            continue
        if choices and answer not in choices:
            continue
        return _task(
            task.id,
            task.split,
            task.level,
            formula,
            payload["way"],
            choices,
        )
    return None


def _draw_formula(rng: Random, split: str, level: int) -> tuple[Formula, int]:
    """A formula of the split that is worth asking, and its value, rounded down."""
    while True:
        formula = _candidate(rng, split, level)
        if not in_split(_family(formula), split, "ood/surface"):
            continue
        try:
            answer = value(formula)
        except CalcError:
            continue
        if _fits_level(level, split, answer):
            return formula, int(answer)


def _candidate(rng: Random, split: str, level: int) -> Formula:
    if split == "ood/domain":
        return _unseen_formula(rng, level)
    shapes = _LONG if split == "ood/difficulty" else _SEEN
    terms, largest, operators = shapes[level]
    return random_formula(rng, terms, operators, largest)


def _fits_level(level: int, split: str, answer: Fraction) -> bool:
    """Whether a value is of the kind that the level is about."""
    if split == "ood/domain":
        # A gcd of 1 is too good a guess.
        return level > 0 or answer > 1
    if level == 3:
        return True
    fractional = answer.denominator > 1
    return fractional == (level == 4)


def _unseen_formula(rng: Random, level: int) -> Formula:
    """A greatest common divisor, a least common multiple or a polynomial."""
    name = "gcd" if level == 0 else rng.choice(["gcd", "lcm"])
    if level < 2:
        # A common factor, because a gcd of 1 is too good a guess.
        factor = rng.randint(2, 12)
        left, right = rng.sample(range(1, 9), 2)
        return [name, factor * left, factor * right]
    if rng.random() < 0.5:
        return _random_polynomial(rng, level)

    factor = rng.randint(2, 6 + level)
    multiples = rng.sample(range(1, 10), level)
    numbers = [factor * n for n in multiples]
    if level == 2:
        return [name, *numbers]
    inner_name = "lcm" if name == "gcd" else "gcd"
    inner = [inner_name, *numbers[:2]]
    return [name, inner, *numbers[2:]]


def _random_polynomial(rng: Random, level: int) -> Formula:
    degree = min(level, 3)
    x = rng.randint(2, 9) if level < 4 else _random_fraction(rng)
    leading = rng.randint(1, 9)
    others = [rng.randint(-9, 9) for _ in range(degree)]
    return ["poly", x, leading, *others]


def _random_fraction(rng: Random) -> Formula:
    numerator = rng.randint(1, 9)
    denominator = rng.choice([2, 3, 5])
    return ["/", numerator, denominator]


def _notation(rng: Random, split: str) -> str | int:
    """How a formula is written: `digits`, `words` or a base."""
    if split != "ood/surface":
        return "digits"
    # The base is drawn first, and even if it is not used.
    base = rng.choice(BASES)
    return rng.choice(["words", base])


def _task(
    task_id: str,
    split: str,
    level: int,
    formula: Formula,
    notation: str | int,
    choices: Sequence[str],
) -> Task:
    prompt = _question(formula, notation)
    if choices:
        prompt += f"\nChoose: {' '.join(choices)}"
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=_family(formula),
        prompt=prompt,
        payload={
            "formula": formula,
            "answer": str(value(formula)),
            "way": notation,
            "choices": list(choices),
        },
    )


def _question(formula: Formula, notation: str | int) -> str:
    if notation == "digits":
        return f"{infix(formula)} = ?"
    if notation == "words":
        return f"{in_words(formula)} = ?"
    text = in_base(formula, int(notation))
    return f"Numbers in base {notation}, answer in base 10: {text} = ?"


def _family(formula: Formula) -> str:
    """The numbers, sorted, with the name of an outermost function before them."""
    numbers = " ".join(map(str, sorted(leaves(formula))))
    name = formula[0]
    return f"{name} {numbers}" if name in _FUNCTIONS else numbers


def _first_step(formula: Formula) -> Formula | None:
    """The leftmost operation on two plain numbers; None for functions."""
    if isinstance(formula, int) or formula[0] in _FUNCTIONS:
        return None
    left, right = formula[1:]
    inner = _first_step(left)
    if inner is None:
        inner = _first_step(right)
    return formula if inner is None else inner
