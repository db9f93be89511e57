"""Puzzles that take search: try, read what came out, try better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any

import numpy as np

from envs.math.puzzles import (
    IN_ORDER,
    POURS,
    Puzzle,
    countdown,
    grown,
    hidden,
    hidden_value,
    in_order,
    joined,
    judged,
    jugs,
    jugs_path,
    never_held,
    only_ways,
    other_argument,
    poured,
)
from envs.supply import TaskSource, in_split
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict

__all__ = ["MathSearch"]

COUNTDOWN_TURNS = 6
# So many of the ways to put signs can be tried, whatever the number of signs.
CLOSED_SHARE = Fraction(2, 9)
CHOICES = 4
TOP = 12
PROBES_FROM, PROBES_TO = -10, 10
# By level: how many numbers.
_SEEN, _LONG = (3, 3, 3, 4, 6), (4, 5, 5, 6, 7)
# By level: how many jugs, and the fewest and most moves of a shortest solution.
_JUGS = ((2, 2, 3), (2, 3, 4), (2, 5, 6), (2, 7, 9), (3, 5, 9))
# By level: degree and largest coefficient.
_HIDDEN = ((0, 20), (1, 9), (2, 5), (2, 9), (3, 5))
_FORMS = ("x + b", "a*x + b", "a*x^2 + b*x + c", "a*x^3 + b*x^2 + c*x + d")
_CHANCE = (float(CLOSED_SHARE), 0.25, 0.25, 0.08, 0.01)


class MathSearch(ToolEnv):
    """Reach a number by trying: every try says what came of it.

    | | |
    |---|---|
    | prompt | `Make 24 from 3, 8, 9 and 1.`; at level 0 the order is given, and only signs are |
    | | missing: `8 ? 3 ? 2 = 14` |
    | tool | `attempt(expression)`; out of domain those of the two other puzzles |
    | reply | the value of the expression, or what is wrong with it |
    | verifier | the exact value of the expression, which uses every number once; the litres in a |
    | | jug; the value of the hidden function |
    | limits | 6 turns of any kind; where the order is given, two for every nine ways, so that |
    | | they stay a choice; 12 out of domain |
    | level 0 | three numbers of 2 to 12 in order, + - * to choose, one way is right |
    | level 1 | three numbers up to 12, + - * |
    | level 2 | the same, with / |
    | level 3 | four numbers up to 12; every second target is 24 |
    | level 4 | six numbers up to 12 |
    | `train`, `id` | different sets of numbers, drawn alike |
    | `ood/difficulty` | 4, 5, 5, 6 and 7 numbers, by level; other sets of numbers again; 6 turns |
    | | for the 27 ways of level 0 |
    | `ood/domain` | water jugs (`fill`, `empty`, `pour`): 2 to 9 moves by level, three jugs at |
    | | level 4; and hidden polynomials (`probe`, `answer`): degree 1, 1, 2, 2 and 3, at level 0 |
    | | with four values to choose from |
    | size | 2,000 tasks of `train` and 300 of every other split, at each level |
    | family | the set of numbers; the jugs; the coefficients. Every split has its own |
    | oracle | the expression; a shortest list of moves; as many probes as coefficients, and the |
    | | value |
    | twin | another target; another argument of the function |
    | chance | level 0: untried signs, 2/9, out of domain random moves and listed values, about |
    | | 1/5; above, numbers in any order with any signs, measured on 2,000 episodes of `train` |
    | source, licence | generated here; Apache-2.0 |
    """

    name = "math_search"
    splits = ("train", "id", "ood/difficulty", "ood/domain")
    levels = (0, 1, 2, 3, 4)
    max_turns = 12
    instructions = "Reply with one tool call."

    def __init__(self) -> None:
        super().__init__()
        self._tried: list[str] = []
        self._litres: list[int] = []

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level, in the order in which they are drawn."""
        return _tasks(split, level)

    def begin(self, task: Task) -> None:
        """Nothing is tried, and the jugs are empty."""
        self._tried = []
        self._litres = [0] * len(task.payload.get("sizes", ()))

    def turn_budget(self, task: Task) -> int:
        """Two in nine of the ways to put signs in order, six for other countdowns, else twelve."""
        if task.payload["kind"] != "countdown":
            return self.max_turns
        ways = len(IN_ORDER) ** (len(task.payload["numbers"]) - 1)
        return int(CLOSED_SHARE * ways) if task.payload["ordered"] else COUNTDOWN_TURNS

    def tool_names(self) -> Sequence[str]:
        """The tools of the task's kind of puzzle."""
        kind = self.task.payload["kind"]
        return {
            "countdown": ("attempt",),
            "jugs": POURS,
            "hidden": ("probe", "answer"),
        }[kind]

    @tool
    def attempt(self, expression: str) -> str | Verdict:
        """Try an expression, such as (3 + 5) * 2."""
        self._tried.append(expression[:200])
        solved, said = judged(expression, self.task.payload)
        return Verdict(True, 1.0, "right") if solved else said

    @tool
    def fill(self, jug: int) -> str | Verdict:
        """Fill the jug of that size."""
        return self._poured("fill", jug)

    @tool
    def empty(self, jug: int) -> str | Verdict:
        """Empty the jug of that size."""
        return self._poured("empty", jug)

    @tool
    def pour(self, source: int, target: int) -> str | Verdict:
        """Pour from a jug into another, until it is full or the first is empty."""
        return self._poured("pour", source, target)

    @tool
    def probe(self, x: int) -> str:
        """Ask for f(x), x from -10 to 10."""
        if not PROBES_FROM <= x <= PROBES_TO:
            return f"x must be from {PROBES_FROM} to {PROBES_TO}"
        self._tried.append(str(x))
        return f"f({x}) = {hidden_value(self.task.payload['coefficients'], x)}"

    @tool
    def answer(self, value: int) -> Verdict:
        """Give the value that is asked for; it is final."""
        puzzle = self.task.payload
        right = value == hidden_value(puzzle["coefficients"], puzzle["asked"])
        return Verdict(right, float(right), "right" if right else f"{value} is wrong")

    def _poured(self, *move: Any) -> str | Verdict:
        sizes, target = self.task.payload["sizes"], self.task.payload["target"]
        if unknown := [jug for jug in move[1:] if jug not in sizes]:
            return f"there is no jug of {unknown[0]}: {' and '.join(map(str, sizes))}"
        if len(move) == 3 and move[1] == move[2]:
            return "pour into another jug"
        self._litres = poured(sizes, self._litres, move)
        if target in self._litres:
            return Verdict(True, 1.0, "right")
        held = (f"{size}: {n}" for size, n in zip(sizes, self._litres, strict=True))
        return ", ".join(held)

    def oracle(self, task: Task) -> list[str]:
        """The expression, the moves, or the probes that settle the function and its value."""
        puzzle = task.payload
        if puzzle["kind"] == "countdown":
            return [render_call("attempt", expression=puzzle["solution"])]
        if puzzle["kind"] == "jugs":
            return [
                _move_call(move)
                for move in jugs_path(tuple(puzzle["sizes"]))[puzzle["target"]]
            ]
        probes = [render_call("probe", x=x) for x in range(len(puzzle["coefficients"]))]
        value = hidden_value(puzzle["coefficients"], puzzle["asked"])
        return [*probes, render_call("answer", value=value)]

    def critical(self, task: Task) -> list[str]:
        """The expression, the last move, or the value."""
        puzzle = task.payload
        if puzzle["kind"] == "countdown":
            return [puzzle["solution"]]
        if puzzle["kind"] == "jugs":
            return [self.oracle(task)[-1]]
        return [str(hidden_value(puzzle["coefficients"], puzzle["asked"]))]

    def twin(self, task: Task) -> Task:
        """Another target that the solution of this one misses; another argument."""
        return _task(task.id, task.split, task.level, _edited(task.payload))

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def random_turn(self, rng: np.random.Generator) -> str:
        """Random signs that were not tried, a move, a probe; one turn in five an answer."""
        puzzle = self.task.payload
        if puzzle["kind"] == "countdown":
            return render_call("attempt", expression=self._random_expression(rng))
        if puzzle["kind"] == "jugs":
            a, b = (int(jug) for jug in rng.choice(puzzle["sizes"], 2, replace=False))
            return _move_call((str(rng.choice(POURS)), a, b))
        if rng.random() < 0.2:
            listed = puzzle.get("choices") or range(-100, 100)
            return render_call("answer", value=int(rng.choice(listed)))
        return render_call("probe", x=int(rng.integers(PROBES_FROM, PROBES_TO + 1)))

    def _random_expression(self, rng: np.random.Generator) -> str:
        puzzle = self.task.payload
        if puzzle["ordered"]:
            ways = [
                text
                for text, _ in in_order(puzzle["numbers"])
                if text not in self._tried
            ]
            return str(rng.choice(ways))
        numbers = [int(number) for number in rng.permutation(puzzle["numbers"])]
        return joined(numbers, list(rng.choice(list("+-*/"), len(numbers) - 1)))

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, what was tried, and what the jugs hold."""
        return {
            **super().get_state(),
            "tried": list(self._tried),
            "litres": list(self._litres),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode where it was."""
        super().set_state(state)
        self._tried, self._litres = list(state["tried"]), list(state["litres"])


def _move_call(move: Sequence[Any]) -> str:
    if move[0] == "pour":
        return render_call("pour", source=move[1], target=move[2])
    return render_call(move[0], jug=move[1])


@cache
def _tasks(split: str, level: int) -> TaskSource:
    def draw(rng: Random, task_id: str) -> Task:
        return _task(task_id, split, level, _drawn(rng, split, level))

    return TaskSource(MathSearch.name, split, level, draw)


def _drawn(rng: Random, split: str, level: int) -> Puzzle:
    if split == "ood/domain":
        if rng.random() < 0.5:
            return jugs(rng, *_JUGS[level])
        return hidden(rng, *_HIDDEN[level], choices=CHOICES if level == 0 else 0)
    count = (_LONG if split == "ood/difficulty" else _SEEN)[level]
    signs, lowest = ("+-*" if level < 2 else "+-*/"), (2 if level == 0 else 1)
    wanted = 24 if count == 4 and level and rng.random() < 0.5 else None
    while True:
        numbers = [rng.randint(lowest, TOP) for _ in range(count)]
        if in_split(_numbers_family(numbers), split, "ood/difficulty"):
            puzzle = countdown(
                rng, numbers, ordered=level == 0, signs=signs, wanted=wanted
            )
            if puzzle is not None:
                return puzzle


def _edited(puzzle: Mapping[str, Any]) -> Puzzle:
    """The puzzle with one number changed, so that this one's solution fails."""
    if puzzle["kind"] == "hidden":
        return {**puzzle, "asked": other_argument(puzzle)}
    if puzzle["kind"] == "jugs":
        return {
            **puzzle,
            "target": never_held(tuple(puzzle["sizes"]), puzzle["target"])[0],
        }
    if puzzle["ordered"]:
        ways = only_ways(puzzle["numbers"])
        target = min(ways.keys() - {puzzle["target"]})
        return {**puzzle, "solution": ways[target], "target": target}
    rng = Random(f"twin {puzzle['numbers']} {puzzle['target']}")
    while True:
        found = grown(rng, puzzle["numbers"], "+-*")
        if found is not None and found[0] != puzzle["target"]:
            return {**puzzle, "solution": found[1], "target": found[0]}


def _task(task_id: str, split: str, level: int, puzzle: Puzzle) -> Task:
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=_family(puzzle),
        prompt=_told(puzzle),
        payload=dict(puzzle),
    )


def _told(puzzle: Mapping[str, Any]) -> str:
    if puzzle["kind"] == "jugs":
        *most, last = map(str, puzzle["sizes"])
        return (
            f"Empty jugs hold {', '.join(most)} and {last} litres. Fill, empty and pour until one "
            f"of them has exactly {puzzle['target']}."
        )
    if puzzle["kind"] == "hidden":
        coefficients, known = puzzle["coefficients"], puzzle["known"]
        form = _FORMS[0 if coefficients[-1] == 1 else len(coefficients) - 1]
        question = (
            f"f(x) = {form} with hidden whole numbers; f({known}) = "
            f"{hidden_value(coefficients, known)}. What is f({puzzle['asked']})?"
        )
        listed = " ".join(map(str, puzzle.get("choices", ())))
        return f"{question}\nChoose: {listed}" if listed else question
    numbers = [str(number) for number in puzzle["numbers"]]
    if puzzle["ordered"]:
        return f"{' ? '.join(numbers)} = {puzzle['target']}. Put +, - or * for each ?."
    listed = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"Make {puzzle['target']} from {listed}: each once, with + - * / and parentheses."


def _family(puzzle: Mapping[str, Any]) -> str:
    """The numbers that matter, sorted; the jugs; the coefficients."""
    if puzzle["kind"] == "countdown":
        return _numbers_family(puzzle["numbers"])
    return f"{puzzle['kind']} {puzzle.get('sizes') or puzzle['coefficients']}"


def _numbers_family(numbers: Sequence[int]) -> str:
    return f"countdown {' '.join(map(str, sorted(numbers)))}"
