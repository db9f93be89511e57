"""Episodes are played once, kept, and played again only where they broke."""

from __future__ import annotations

import pytest

from envs.rollout import Limits
from envs.store import read_episodes, write_episodes
from envs.toy.guess import ToyGuess
from envs.types import Task
from evals.episodes import evaluate, kept
from evals.suites import Cell
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts

CELL = Cell("toy_guess", 0, "id")
TASKS = ToyGuess().tasks("id", 0)[:3]


class Counted:
    """Guesses 3, counts its episodes and breaks or is interrupted from a given one on."""

    version = 0

    def __init__(self, *, breaks: int = 99, interrupted: int = 99) -> None:
        self.seeds: list[int] = []
        self._breaks, self._interrupted = breaks, interrupted

    def begin(self, messages, tools, *, limits, seed):
        self.seeds.append(seed)
        if len(self.seeds) > self._interrupted:
            raise KeyboardInterrupt
        if len(self.seeds) > self._breaks:
            raise RuntimeError("the engine is gone")
        return ScriptedPolicy(["3", "2"]).begin(messages, tools, limits=limits, seed=seed)

    def close(self) -> None:
        pass


@pytest.fixture
def play():
    with Rollouts("toy_guess", Limits(), threads=1) as opened:
        yield opened


def run(play, path, policy, *, tasks=TASKS, rollouts=4, seed=0):
    return evaluate(policy, play, CELL, tasks, rollouts=rollouts, seed=seed, path=path)


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
    assert not set(first.seeds) & set(second.seeds)
    assert [len(group) for group in done] == [4, 4, 4]


def test_broken_episodes_are_played_again_and_wrong_answers_are_not(play, tmp_path):
    path = tmp_path / "x.jsonl"
    done = run(play, path, Counted(breaks=10))
    assert [e.error for e in done[2][2:]] == ["RuntimeError: the engine is gone"] * 2
    assert [e.verified for e in done[2]] == [False, False, None, None]
    done = run(play, path, policy := Counted())
    assert len(policy.seeds) == 2
    assert [e.verified for e in done[2]] == [False] * 4


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
    changed = Task(same.id, same.split, same.level, same.family, "Guess 1-9.", same.payload)
    assert kept(path, [same], 4) == [group]
    assert kept(path, [changed], 4) == [[]]


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="x.jsonl, line 1: not an episode"):
        kept(path, TASKS, 1)
    write_episodes(tmp_path / "y.jsonl", [])
    assert kept(tmp_path / "y.jsonl", TASKS, 1) == [[], [], []]
