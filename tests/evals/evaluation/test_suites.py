"""Which cells and tasks an evaluation covers."""

from __future__ import annotations

import pytest
from gymnasium.error import NameNotFound

from envs import registry
from envs.base import TextEnv
from envs.toy.guess import ToyGuess
from evals.evaluation.suites import Cell, cells, choose, open_envs

TOY = {"toy_guess": ToyGuess()}


class Half(TextEnv):
    """Has no task at level 2, and nothing in its ood split at level 1."""

    name = "half"
    splits = ("train", "id", "ood/domain")
    levels = (1, 2)

    def tasks(self, split, level):
        empty = level == 2 or split == "ood/domain"
        return [] if empty else ToyGuess().tasks("id", 0)


def test_the_id_split_alone_or_with_every_shift():
    assert cells(TOY) == [Cell("toy_guess", 0, "id")]
    assert cells(TOY, ood=True, levels=[2, 0]) == [
        Cell("toy_guess", 0, "id"),
        Cell("toy_guess", 0, "ood/difficulty"),
        Cell("toy_guess", 2, "id"),
        Cell("toy_guess", 2, "ood/difficulty"),
    ]


def test_preferred_levels_are_those_that_an_environment_has():
    assert [c.level for c in cells(TOY, preferred=[1, 9])] == [1]
    assert [c.level for c in cells(TOY, preferred=[9])] == [0]
    assert [c.level for c in cells(TOY, levels=[3], preferred=[1])] == [3]


def test_a_level_that_an_environment_lacks_is_refused():
    with pytest.raises(
        ValueError, match="toy_guess has no level 7; wanted --levels among 0 1 2 3"
    ):
        cells(TOY, levels=[0, 7])


def test_splits_without_tasks_are_left_out():
    assert cells({"half": Half()}, ood=True) == [Cell("half", 1, "id")]
    with pytest.raises(ValueError, match="half has no task in the wanted splits"):
        cells({"half": Half()}, levels=[2])


def test_all_stands_for_every_environment_of_ours():
    assert list(open_envs(["all"])) == registry.names()
    assert list(open_envs(["toy_guess", "all"]))[0] == "toy_guess"
    with pytest.raises(NameNotFound, match="Did you mean 'toy_guess'"):
        open_envs(["toy_gues"])


def test_tasks_are_chosen_by_the_seed_without_repeats():
    cell, tasks = Cell("toy_guess", 3, "id"), ToyGuess().tasks("id", 3)
    chosen = choose(cell, tasks, 20, seed=0)
    assert len({task.id for task in chosen}) == 20
    assert chosen == choose(cell, tasks, 20, seed=0)
    assert chosen[:5] == choose(cell, tasks, 5, seed=0)
    assert chosen != choose(cell, tasks, 20, seed=1)
    everything = choose(cell, tasks, 1000, seed=0)
    assert sorted(task.id for task in everything) == sorted(task.id for task in tasks)
    assert everything != tasks
