"""Which suites and tasks an evaluation covers."""

from __future__ import annotations

import pytest
from gymnasium.error import NameNotFound

from envs import registry
from envs.base import TextEnv
from envs.toy.guess import ToyGuess
from evals.evaluation.suites import Suite, open_envs, select_suites, select_tasks

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
    assert select_suites(TOY) == [Suite("toy_guess", 0, "id")]
    assert select_suites(TOY, ood=True, levels=[2, 0]) == [
        Suite("toy_guess", 0, "id"),
        Suite("toy_guess", 0, "ood/difficulty"),
        Suite("toy_guess", 2, "id"),
        Suite("toy_guess", 2, "ood/difficulty"),
    ]


def test_preferred_levels_are_those_that_an_environment_has():
    assert [c.level for c in select_suites(TOY, preferred=[1, 9])] == [1]
    assert [c.level for c in select_suites(TOY, preferred=[9])] == [0]
    assert [c.level for c in select_suites(TOY, levels=[3], preferred=[1])] == [3]


def test_a_level_that_an_environment_lacks_is_refused():
    with pytest.raises(
        ValueError, match="got --levels 7, expected levels of toy_guess: 0 1 2 3"
    ):
        select_suites(TOY, levels=[0, 7])


def test_splits_without_tasks_are_left_out():
    assert select_suites({"half": Half()}, ood=True) == [Suite("half", 1, "id")]
    with pytest.raises(
        ValueError, match="half: no task in the `id` split at these levels"
    ):
        select_suites({"half": Half()}, levels=[2])


def test_all_stands_for_every_environment_of_ours():
    assert list(open_envs(["all"])) == registry.names()
    assert list(open_envs(["toy_guess", "all"]))[0] == "toy_guess"
    with pytest.raises(NameNotFound, match="Did you mean 'toy_guess'"):
        open_envs(["toy_gues"])


def test_tasks_are_chosen_by_the_seed_without_repeats():
    suite, tasks = Suite("toy_guess", 3, "id"), ToyGuess().tasks("id", 3)
    chosen = select_tasks(suite, tasks, 20, seed=0)
    assert len({task.id for task in chosen}) == 20
    assert chosen == select_tasks(suite, tasks, 20, seed=0)
    assert chosen[:5] == select_tasks(suite, tasks, 5, seed=0)
    assert chosen != select_tasks(suite, tasks, 20, seed=1)
    everything = select_tasks(suite, tasks, 1000, seed=0)
    assert sorted(task.id for task in everything) == sorted(task.id for task in tasks)
    assert everything != tasks
