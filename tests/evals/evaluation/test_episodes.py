"""Episodes are played once, kept, and played again only where they broke."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from envs.rollout import Limits
from envs.store import read_episodes, write_episodes
from envs.toy.guess import ToyGuess
from envs.types import Task
from evals.evaluation.budget import Budget, BudgetSpent
from evals.evaluation.episodes import evaluate, read_saved, rollout_seeds
from evals.evaluation.suites import Suite
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts

SUITE = Suite("toy_guess", 0, "id")
TASKS = ToyGuess().tasks("id", 0)[:3]


class Counted:
    """Guesses 3, counts its episodes and breaks, hangs or is interrupted from a given one on."""

    version = 0

    def __init__(
        self,
        *,
        breaks: int = 99,
        interrupted: int = 99,
        hangs: int = 99,
        tokens: int = 0,
    ) -> None:
        self.seeds: list[int] = []
        self._breaks, self._interrupted, self._hangs = breaks, interrupted, hangs
        self._tokens, self._closed = tokens, threading.Event()

    def begin(self, messages, tools, *, limits, seed):
        self.seeds.append(seed)
        if len(self.seeds) > self._interrupted:
            raise KeyboardInterrupt
        if len(self.seeds) > self._breaks:
            raise RuntimeError("the engine is gone")
        if len(self.seeds) > self._hangs:
            self._closed.wait()
            raise RuntimeError("the policy was closed")
        opened = ScriptedPolicy(["3", "2"]).begin(
            messages, tools, limits=limits, seed=seed
        )
        if self._tokens:
            speak = opened.generate
            opened.generate = lambda: replace(speak(), tokens=self._tokens)
        return opened

    def close(self) -> None:
        self._closed.set()


@pytest.fixture
def play():
    with Rollouts("toy_guess", Limits(), threads=1) as opened:
        yield opened


def run(play, path, policy, *, tasks=TASKS, rollouts=4, seed=0, budget=None):
    asked = {"rollouts": rollouts, "seed": seed, "path": path, "budget": budget}
    return evaluate(policy, play, SUITE, tasks, **asked)


def on_disk(path, *, tasks=TASKS, rollouts=4):
    return read_saved(path, SUITE, tasks, rollouts=rollouts, seed=0)


def test_every_task_is_played_as_often_as_asked(play, tmp_path):
    done = run(play, tmp_path / "x.jsonl", policy := Counted())
    assert [[e.task.id for e in group] for group in done] == [[t.id] * 4 for t in TASKS]
    # The windows begin at 2: numbers 2, 3 and 4; the script says 3, then 2.
    assert [e.verified for group in done for e in group] == [True] * 8 + [False] * 4
    assert len(set(policy.seeds)) == 12


def test_a_finished_evaluation_is_not_played_again(play, tmp_path):
    first = run(play, tmp_path / "x.jsonl", Counted())
    again = run(play, tmp_path / "x.jsonl", policy := Counted())
    assert policy.seeds == []
    assert again == first


def test_an_interrupted_evaluation_goes_on_where_it_stopped(play, tmp_path):
    path = tmp_path / "x.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(play, path, first := Counted(interrupted=5))
    assert len(list(read_episodes(path))) == 5
    done = run(play, path, second := Counted())
    assert len(second.seeds) == 7
    assert not set(first.seeds[:5]) & set(second.seeds)
    assert [len(group) for group in done] == [4, 4, 4]


def without_time(groups):
    """Everything of the episodes but the time that they took."""
    return [[replace(episode, wall_s=0.0) for episode in group] for group in groups]


def test_an_interrupted_evaluation_ends_with_the_episodes_of_an_uninterrupted_one(
    play, tmp_path
):
    whole = run(play, tmp_path / "whole.jsonl", one := Counted())
    with pytest.raises(KeyboardInterrupt):
        run(play, tmp_path / "cut.jsonl", Counted(interrupted=5))
    run(play, tmp_path / "cut.jsonl", Counted(breaks=2))
    resumed = run(play, tmp_path / "cut.jsonl", Counted())
    assert without_time(resumed) == without_time(whole)
    assert [e.seed for group in whole for e in group] == one.seeds


def test_seeds_are_those_of_the_task_and_fewer_rollouts_have_the_first_of_them():
    first, second = TASKS[:2]
    eight = rollout_seeds(SUITE, first, 8, 0)
    assert len(set(eight) | set(rollout_seeds(SUITE, second, 8, 0))) == 16
    assert rollout_seeds(SUITE, first, 3, 0) == eight[:3]
    assert not set(eight) & set(rollout_seeds(SUITE, first, 8, 1))
    assert all(
        0 <= number < 2**63 for number in eight
    )  # what a column of a data set holds


def test_a_spent_token_budget_stops_and_keeps_what_ended(play, tmp_path):
    path = tmp_path / "x.jsonl"
    # The first task takes two turns of ten tokens: its third episode goes past 50.
    with pytest.raises(BudgetSpent, match="60 tokens were written, --max-tokens is 50"):
        run(play, path, Counted(tokens=10), budget=Budget(tokens=50))
    assert [len(group) for group in on_disk(path)] == [3, 0, 0]
    done = run(play, path, policy := Counted(tokens=10), budget=Budget(tokens=10_000))
    assert len(policy.seeds) == 9
    assert [len(group) for group in done] == [4, 4, 4]


def test_the_time_ends_even_a_turn_that_hangs(play, tmp_path):
    path = tmp_path / "x.jsonl"
    begun = time.monotonic()
    with pytest.raises(BudgetSpent, match=r"--max-minutes 0.01 are over"):
        run(play, path, Counted(hangs=3), budget=Budget(minutes=0.01))
    assert time.monotonic() - begun < 10
    # What the end broke is no error of the model.
    assert [[e.verified for e in group] for group in on_disk(path)] == [
        [True] * 3,
        [],
        [],
    ]


def test_a_budget_that_is_spent_plays_nothing(play, tmp_path):
    with pytest.raises(BudgetSpent):
        run(
            play, tmp_path / "x.jsonl", policy := Counted(), budget=Budget(minutes=1e-9)
        )
    assert policy.seeds == []


def test_broken_episodes_are_played_again_and_wrong_answers_are_not(play, tmp_path):
    path = tmp_path / "x.jsonl"
    done = run(play, path, Counted(breaks=10))
    assert [e.error for e in done[2][2:]] == ["RuntimeError: the engine is gone"] * 2
    assert [e.verified for e in done[2]] == [False, False, None, None]
    done = run(play, path, policy := Counted())
    assert len(policy.seeds) == 2
    assert [e.verified for e in done[2]] == [False] * 4
    first = read_saved(path, SUITE, TASKS, rollouts=4, seed=0, first_try=True)
    assert [e.verified for e in first[2]] == [False, False, None, None]
    assert first[:2] == done[:2]


def test_a_torn_line_counts_as_not_played(play, tmp_path):
    path = tmp_path / "x.jsonl"
    run(play, path, Counted())
    path.write_bytes(path.read_bytes()[:-20])
    done = run(play, path, policy := Counted())
    assert len(policy.seeds) == 1
    assert [len(group) for group in done] == [4, 4, 4]


def test_policies_get_the_same_seeds_and_another_seed_others(play, tmp_path):
    run(play, tmp_path / "a.jsonl", one := Counted())
    run(play, tmp_path / "b.jsonl", two := Counted())
    run(play, tmp_path / "c.jsonl", three := Counted(), seed=1)
    assert one.seeds == two.seeds
    assert not set(one.seeds) & set(three.seeds)


def test_more_tasks_later_keep_the_episodes_of_the_first(play, tmp_path):
    path = tmp_path / "x.jsonl"
    run(play, path, Counted(), tasks=TASKS[:1])
    run(play, path, policy := Counted())
    assert len(policy.seeds) == 8


def test_episodes_of_a_task_that_changed_do_not_count(play, tmp_path):
    path = tmp_path / "x.jsonl"
    (group, *_) = run(play, path, Counted(), tasks=TASKS[:1])
    same = TASKS[0]
    changed = Task(
        same.id, same.split, same.level, same.family, "Guess 1-9.", same.payload
    )
    assert on_disk(path, tasks=[same]) == [group]
    assert on_disk(path, tasks=[changed]) == [[]]


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="x.jsonl, line 1: not an episode"):
        on_disk(path)
    write_episodes(tmp_path / "y.jsonl", [])
    assert on_disk(tmp_path / "y.jsonl") == [[], [], []]
