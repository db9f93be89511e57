"""What is listed at level 0 does not give the right value away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from statistics import mean

import pytest

from envs.math.chain import MathChain
from envs.math.gym.env import MathGym
from envs.math.word import MathWord
from envs.types import Task

# Turns that may each try a listed value: so many of the places that a rule names are tried.
TURNS = {MathChain: 2, MathGym: 2, MathWord: 1}
CELLS = [(made, split) for made in TURNS for split in made.splits]

Order = Callable[[Sequence[Fraction]], Sequence[Fraction]]


def near(point: Callable[[Sequence[Fraction]], Fraction | float]) -> Order:
    """The values by their distance from a point."""
    return lambda listed: sorted(listed, key=lambda v: (abs(v - point(listed)), v))


ORDERS: dict[str, Order] = {
    "as listed": lambda listed: listed,
    "by size": sorted,
    "by size, from 1": lambda listed: sorted(listed, key=lambda v: (v < 1, v)),
    "from the mean": near(mean),
    **{f"from {c}": near(lambda _, c=c: c) for c in (1, 4, 10, 20, 30, 60)},
}


def best_rule(tasks: Sequence[Task], turns: int, order: Order) -> float:
    """Share of the tasks that are solved by the values at the best places of the order."""
    places: Counter[int] = Counter()
    for task in tasks:
        listed = [Fraction(choice) for choice in task.payload["choices"]]
        places[order(listed).index(Fraction(task.payload["answer"]))] += 1
    return sum(count for _, count in places.most_common(turns)) / len(tasks)


@pytest.mark.parametrize(("made", "split"), CELLS)
def test_no_place_among_the_listed_values_is_right_much_more_often_than_by_chance(
    made, split
):
    tasks, turns = made().tasks(split, 0), TURNS[made]
    found = {name: best_rule(tasks, turns, order) for name, order in ORDERS.items()}
    # A quarter by chance; the best of 8 places in 300 tasks is up to four standard errors better.
    allowed = 0.29 if split == "train" else 0.35
    assert [(name, share) for name, share in found.items() if share > allowed] == []


def test_knowing_the_family_of_a_question_does_not_help_either():
    tasks = MathGym().tasks("train", 0)
    for source in {task.payload["source"] for task in tasks}:
        of_it = [task for task in tasks if task.payload["source"] == source]
        assert len(of_it) > 200
        assert best_rule(of_it, 2, ORDERS["by size"]) < 0.35, source


@pytest.mark.parametrize(("made", "split"), CELLS)
def test_every_listed_task_has_a_twin_whose_value_is_listed(made, split):
    env = made()
    for task in env.tasks(split, 0):
        twin = env.twin(task)
        assert twin.payload["choices"] == task.payload["choices"]
        assert twin.payload["answer"] in {*task.payload["choices"]} - {
            task.payload["answer"]
        }
