"""math_search: reach a number by trying, reading the result, and trying better."""

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
    in_order,
    join,
    judge,
    jug_puzzle,
    jugs_path,
    litres_after,
    only_ways,
    other_argument,
    polynomial_puzzle,
    polynomial_value,
    random_expression,
    unreachable_amounts,
)
from envs.supply import TaskSource, in_split
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict

__all__ = ["MathSearch"]

COUNTDOWN_TURNS = 6
# In a fixed order there are 3**(n - 1) ways to put signs. The turns cover this share of them for
# every n, so that chance stays 2/9 and trying all of them is no strategy.
ORDERED_SHARE = Fraction(2, 9)
CHOICES = 4
TOP = 12
MIN_PROBE, MAX_PROBE = -10, 10
# By level: how many numbers.
_SEEN = (3, 3, 3, 4, 6)
_LONG = (4, 5, 5, 6, 7)
# By level: how many jugs, and the fewest and most moves of a shortest solution.
_JUGS = ((2, 2, 3), (2, 3, 4), (2, 5, 6), (2, 7, 9), (3, 5, 9))
# By level: degree and largest coefficient.
_HIDDEN = ((0, 20), (1, 9), (2, 5), (2, 9), (3, 5))
_FORMS = ("x + b", "a*x + b", "a*x^2 + b*x + c", "a*x^3 + b*x^2 + c*x + d")
_TOOLS = {"countdown": ("attempt",), "jugs": POURS, "hidden": ("probe", "answer")}
_CHANCE = (float(ORDERED_SHARE), 0.25, 0.25, 0.08, 0.01)


class MathSearch(ToolEnv):
    """Reach a number by trying: every reply says what the attempt gave.

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
        """2/9 of the ways to put signs in order (see ORDERED_SHARE); else six, or twelve."""
        puzzle = task.payload
        if puzzle["kind"] != "countdown":
            return self.max_turns
        if not puzzle["ordered"]:
            return COUNTDOWN_TURNS
        gaps = len(puzzle["numbers"]) - 1
        ways = len(IN_ORDER) ** gaps
        return int(ORDERED_SHARE * ways)

    def tool_names(self) -> Sequence[str]:
        """The tools of the task's kind of puzzle."""
        return _TOOLS[self.task.payload["kind"]]

    @tool
    def attempt(self, expression: str) -> str | Verdict:
        """Try an expression, such as (3 + 5) * 2."""
        self._tried.append(expression[:200])
        solved, reply = judge(expression, self.task.payload)
        return _RIGHT if solved else reply

    @tool
    def fill(self, jug: int) -> str | Verdict:
        """Fill the jug of that size."""
        return self._move("fill", jug)

    @tool
    def empty(self, jug: int) -> str | Verdict:
        """Empty the jug of that size."""
        return self._move("empty", jug)

    @tool
    def pour(self, source: int, target: int) -> str | Verdict:
        """Pour from a jug into another, until it is full or the first is empty."""
        return self._move("pour", source, target)

    @tool
    def probe(self, x: int) -> str:
        """Ask for f(x), x from -10 to 10."""
        if not MIN_PROBE <= x <= MAX_PROBE:
            return f"x must be from {MIN_PROBE} to {MAX_PROBE}"
        self._tried.append(str(x))
        value = polynomial_value(self.task.payload["coefficients"], x)
        return f"f({x}) = {value}"

    @tool
    def answer(self, value: int) -> Verdict:
        """Give the value that is asked for; it is final."""
        if value == _answer_of(self.task.payload):
            return _RIGHT
        return Verdict(False, 0.0, f"{value} is wrong")

    def _move(self, kind: str, *jugs: int) -> str | Verdict:
        sizes = self.task.payload["sizes"]
        for jug in jugs:
            if jug not in sizes:
                listed = " and ".join(map(str, sizes))
                return f"there is no jug of {jug}: {listed}"
        if len(jugs) != len(set(jugs)):
            return "pour into another jug"

        self._litres = litres_after(sizes, self._litres, (kind, *jugs))
        if self.task.payload["target"] in self._litres:
            return _RIGHT
        amounts = zip(sizes, self._litres, strict=True)
        return ", ".join(f"{size}: {litres}" for size, litres in amounts)

    def oracle(self, task: Task) -> list[str]:
        """The expression, the moves, or the probes that settle the function and its value."""
        puzzle = task.payload
        if puzzle["kind"] == "countdown":
            return [render_call("attempt", expression=puzzle["solution"])]
        if puzzle["kind"] == "jugs":
            paths = jugs_path(tuple(puzzle["sizes"]))
            return [_move_call(move) for move in paths[puzzle["target"]]]

        # As many values as coefficients settle a polynomial.
        unknowns = len(puzzle["coefficients"])
        turns = [render_call("probe", x=x) for x in range(unknowns)]
        turns.append(render_call("answer", value=_answer_of(puzzle)))
        return turns

    def critical(self, task: Task) -> list[str]:
        """The expression, the last move, or the value."""
        puzzle = task.payload
        if puzzle["kind"] == "countdown":
            return [puzzle["solution"]]
        if puzzle["kind"] == "jugs":
            return [self.oracle(task)[-1]]
        return [str(_answer_of(puzzle))]

    def twin(self, task: Task) -> Task:
        """Another target that the solution of this one misses; another argument."""
        return _task(task.id, task.split, task.level, _twin(task.payload))

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def random_turn(self, rng: np.random.Generator) -> str:
        """Random signs that were not tried, a move, a probe; one turn in five an answer."""
        puzzle = self.task.payload
        if puzzle["kind"] == "countdown":
            return render_call("attempt", expression=self._random_expression(rng))
        if puzzle["kind"] == "jugs":
            jugs = rng.choice(puzzle["sizes"], 2, replace=False)
            kind = str(rng.choice(POURS))
            return _move_call((kind, *jugs.tolist()))

        if rng.random() < 0.2:
            choices = puzzle.get("choices")
            value = rng.choice(choices or range(-100, 100))
            return render_call("answer", value=int(value))
        x = rng.integers(MIN_PROBE, MAX_PROBE + 1)
        return render_call("probe", x=int(x))

    def _random_expression(self, rng: np.random.Generator) -> str:
        numbers = self.task.payload["numbers"]
        if self.task.payload["ordered"]:
            untried = []
            for text, _ in in_order(numbers):
                if text not in self._tried:
                    untried.append(text)
            return str(rng.choice(untried))
        shuffled = [int(number) for number in rng.permutation(numbers)]
        signs = rng.choice(list("+-*/"), len(numbers) - 1)
        return join(shuffled, list(signs))

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, what was tried, and what the jugs hold."""
        state = super().get_state()
        state["tried"] = list(self._tried)
        state["litres"] = list(self._litres)
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode where it was."""
        super().set_state(state)
        self._tried = list(state["tried"])
        self._litres = list(state["litres"])


_RIGHT = Verdict(passed=True, score=1.0, detail="right")


def _answer_of(puzzle: Mapping[str, Any]) -> int:
    return polynomial_value(puzzle["coefficients"], puzzle["asked"])


def _move_call(move: Sequence[Any]) -> str:
    """The turn that makes a move; what follows the one jug of `fill` and `empty` is ignored."""
    kind = move[0]
    if kind == "pour":
        return render_call("pour", source=move[1], target=move[2])
    return render_call(kind, jug=move[1])


@cache
def _tasks(split: str, level: int) -> TaskSource:
    def draw(rng: Random, task_id: str) -> Task:
        """The next task of the split at the level."""
        puzzle = _draw_puzzle(rng, split, level)
        return _task(task_id, split, level, puzzle)

    return TaskSource(MathSearch.name, split, level, draw)


def _draw_puzzle(rng: Random, split: str, level: int) -> Puzzle:
    if split != "ood/domain":
        return _draw_countdown(rng, split, level)
    if rng.random() < 0.5:
        return jug_puzzle(rng, *_JUGS[level])
    degree, top = _HIDDEN[level]
    choices = CHOICES if level == 0 else 0
    return polynomial_puzzle(rng, degree, top, choices)


def _draw_countdown(rng: Random, split: str, level: int) -> Puzzle:
    count = (_LONG if split == "ood/difficulty" else _SEEN)[level]
    signs = "+-*" if level < 2 else "+-*/"
    lowest = 2 if level == 0 else 1
    # Four numbers are the classic game, whose target is 24: half of them ask for it.
    classic = count == 4 and level > 0 and rng.random() < 0.5
    target = 24 if classic else None

    while True:
        numbers = [rng.randint(lowest, TOP) for _ in range(count)]
        if not in_split(_numbers_family(numbers), split, "ood/difficulty"):
            continue
        puzzle = countdown(
            rng,
            numbers,
            ordered=level == 0,
            signs=signs,
            target=target,
        )
        if puzzle is not None:
            return puzzle


def _twin(puzzle: Mapping[str, Any]) -> Puzzle:
    """The puzzle with one number changed, so that this one's solution fails."""
    if puzzle["kind"] == "hidden":
        return {**puzzle, "asked": other_argument(puzzle)}
    if puzzle["kind"] == "jugs":
        sizes = tuple(puzzle["sizes"])
        nearest = unreachable_amounts(sizes, puzzle["target"])[0]
        return {**puzzle, "target": nearest}
    if puzzle["ordered"]:
        ways = only_ways(puzzle["numbers"])
        target = min(ways.keys() - {puzzle["target"]})
        return {**puzzle, "solution": ways[target], "target": target}

    # Seeded by the puzzle itself: a task has the same twin in every process.
    rng = Random(f"twin {puzzle['numbers']} {puzzle['target']}")
    while True:
        way = random_expression(rng, puzzle["numbers"], "+-*")
        if way is None:
            continue
        target, solution = way
        if target != puzzle["target"]:
            return {**puzzle, "solution": solution, "target": target}


def _task(task_id: str, split: str, level: int, puzzle: Puzzle) -> Task:
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=_family(puzzle),
        prompt=_prompt(puzzle),
        payload=dict(puzzle),
    )


def _prompt(puzzle: Mapping[str, Any]) -> str:
    if puzzle["kind"] == "jugs":
        return _jugs_prompt(puzzle)
    if puzzle["kind"] == "hidden":
        return _polynomial_prompt(puzzle)
    numbers = [str(number) for number in puzzle["numbers"]]
    target = puzzle["target"]
    if puzzle["ordered"]:
        gaps = " ? ".join(numbers)
        return f"{gaps} = {target}. Put +, - or * for each ?."
    listed = f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"Make {target} from {listed}: each once, with + - * / and parentheses."


def _jugs_prompt(puzzle: Mapping[str, Any]) -> str:
    *sizes, last = map(str, puzzle["sizes"])
    return (
        f"Empty jugs hold {', '.join(sizes)} and {last} litres. Fill, empty and pour until one "
        f"of them has exactly {puzzle['target']}."
    )


def _polynomial_prompt(puzzle: Mapping[str, Any]) -> str:
    coefficients = puzzle["coefficients"]
    known = puzzle["known"]
    value = polynomial_value(coefficients, known)
    degree = len(coefficients) - 1
    # x + b alone has a leading coefficient of 1.
    form = _FORMS[0] if coefficients[-1] == 1 else _FORMS[degree]
    question = (
        f"f(x) = {form} with hidden whole numbers; f({known}) = "
        f"{value}. What is f({puzzle['asked']})?"
    )
    listed = " ".join(map(str, puzzle.get("choices", ())))
    return f"{question}\nChoose: {listed}" if listed else question


def _family(puzzle: Mapping[str, Any]) -> str:
    """The numbers that matter, sorted; the jugs; the coefficients."""
    if puzzle["kind"] == "countdown":
        return _numbers_family(puzzle["numbers"])
    return f"{puzzle['kind']} {puzzle.get('sizes') or puzzle['coefficients']}"


def _numbers_family(numbers: Sequence[int]) -> str:
    return f"countdown {' '.join(map(str, sorted(numbers)))}"
