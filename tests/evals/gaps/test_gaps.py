"""Who reads a reference has a gap, who does not has none: by a script whose success is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from envs.rollout import Limits
from envs.toy.guess import ToyGuess
from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.evaluation.episodes import evaluate
from evals.evaluation.models import EvaluatedModel
from evals.evaluation.suites import Suite
from evals.gaps.conditions import by_seed, condition_episodes, conditions_of
from evals.gaps.play import ModelGap
from evals.gaps.references import ORACLE_SEED, TaskReferences, references_of
from evals.gaps.report import gap_rows
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.load import load_tokenizer
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.policies.conditioned import ConditionedPolicy
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts

SUITE = Suite("toy_guess", 0, "id")
TASKS = ToyGuess().tasks("id", 0)[:6]
LONG = Limits(episode_tokens=4096)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    folder = make_tiny(tmp_path_factory.mktemp("m") / "m", hidden=8, layers=1, heads=1)
    return Chat(load_tokenizer(folder))


@pytest.fixture
def play():
    with Rollouts("toy_guess", LONG, threads=2) as opened:
        yield opened


def copied(chat) -> str:
    """The last turn of the attempt that the system message shows; no guess without one."""
    turns = re.findall(r"Action \d+:\n(.+)", chat[0]["content"])
    return turns[-1] if turns else "nothing"


def references(play, tmp_path: Path) -> list[TaskReferences]:
    path = tmp_path / "references.jsonl"
    return references_of(play, TASKS, seed=0, path=path, description="")


def test_references_are_random_episodes_of_both_kinds_and_are_kept(play, tmp_path):
    first = references(play, tmp_path)
    for task, reference in zip(TASKS, first, strict=True):
        assert reference.verified is not None
        assert reference.failed is not None
        assert reference.verified.task.id == reference.failed.task.id == task.id
        assert reference.verified.verified
        assert not reference.failed.verified
        assert reference.is_random

    class Unplayable:
        def __call__(self, *_, **__):
            raise AssertionError("played again")

    assert references(Unplayable(), tmp_path) == first


def test_a_task_that_random_play_never_solves_has_the_oracles_episode(
    play, tmp_path, monkeypatch
):
    monkeypatch.setattr(ToyGuess, "random_turn", lambda self, rng: "nothing")
    for reference in references(play, tmp_path):
        assert reference.verified is not None
        assert reference.verified.verified
        assert reference.verified.seed == ORACLE_SEED
        assert not reference.is_random


def episode(name: str) -> Episode:
    task = Task(f"id/0/{name}", "id", 0, "f", "p")
    turn = Segment("policy", f"turn of {name}")
    prompt = Segment("prompt", "p")
    return Episode(task, (), (), (prompt, turn), Stop.FINISHED, Verdict(True, 1.0))


def test_other_is_the_next_task_that_has_a_verified_episode():
    a, c = episode("a"), episode("c")
    three = [TaskReferences(a), TaskReferences(None, episode("b")), TaskReferences(c)]
    assert condition_episodes("own", three) == [a, None, c]
    assert condition_episodes("other", three) == [c, c, a]
    assert condition_episodes("failed", three) == [None, three[1].failed, None]
    assert condition_episodes("other", [TaskReferences(a)]) == [None]


def test_a_reference_that_does_not_fit_is_not_shown(chat):
    both = [TaskReferences(episode("a")), TaskReferences()]
    fits = conditions_of("own", both, chat, ReferenceLimits())
    assert [condition is None for condition in fits] == [False, True]
    (first, *_) = fits
    assert first is not None
    (message,) = first([])
    assert message["content"].endswith(
        "<attempt>\n\nAction 1:\nturn of a\n\n</attempt>"
    )
    assert conditions_of("own", both, chat, ReferenceLimits(tokens=3)) == [None, None]
    # The guide alone, for each task.
    (guide, _) = conditions_of("guide", both, chat, ReferenceLimits())
    assert guide is not None
    assert "Use it as guidance." in guide([])[0]["content"]
    assert "attempt>" not in guide([])[0]["content"]


def measured(
    policy, play, chat, tmp_path, *, breaks: bool = False
) -> dict[str, object]:
    of_tasks = references(play, tmp_path)
    episodes, planned = {}, {}
    for name in ("none", "own", "other", "guide"):
        conditions = [None] * len(TASKS)
        if name != "none":
            conditions = conditions_of(name, of_tasks, chat, ReferenceLimits())
        seeds = by_seed(SUITE, TASKS, conditions, rollouts=2, seed=0)
        conditioned = ConditionedPolicy(policy, chat, Limits(), seeds)
        episodes[name] = evaluate(
            conditioned, play, SUITE, TASKS, rollouts=2, seed=0,
            path=tmp_path / f"{name}.jsonl",
        )  # fmt: skip
        planned[name] = 2 * len(TASKS)
    model = EvaluatedModel("model", "m", Path("m"))
    gap = ModelGap(SUITE, model, of_tasks, episodes, planned, {})
    rows = gap_rows(gap, 2, [task.family for task in TASKS])
    return {row.reference: row for row in rows}


def test_who_copies_what_it_is_shown_has_a_gap_and_controls_without_one(
    play, chat, tmp_path
):
    rows = measured(ScriptedPolicy(copied), play, chat, tmp_path)
    assert rows["none"].success.value == 0
    assert rows["none"].gap is None
    assert rows["own"].success.value == 1
    assert rows["own"].gap.value == 1
    assert rows["own"].gap.low > 0
    # Another task's number is wrong unless both windows hold it, and the guide shows none.
    assert rows["other"].gap.value < 0.5
    assert rows["guide"].gap.value == 0
    assert rows["guide"].gap.low < 0 < rows["guide"].gap.high
    assert {row.missing for row in rows.values()} == {0}


def test_who_reads_nothing_has_no_gap(play, chat, tmp_path):
    def first_of_range(chat):
        task = next(m["content"] for m in chat if m["role"] == "user")
        return task.split()[1].split("-")[0]

    rows = measured(ScriptedPolicy(first_of_range), play, chat, tmp_path)
    assert rows["own"].gap.value == 0
    assert rows["own"].gap.low < 0 < rows["own"].gap.high


def test_errored_episodes_are_left_out_and_counted(play, chat, tmp_path):
    class Breaks(ScriptedPolicy):
        def begin(self, messages, tools, *, limits, seed):
            if "attempt>" in messages[0]["content"] and seed % 2:
                raise RuntimeError("the engine is gone")
            return super().begin(messages, tools, limits=limits, seed=seed)

    rows = measured(Breaks(copied), play, chat, tmp_path)
    own = rows["own"]
    assert own.errored == own.missing > 0
    assert own.success.value == 1
    assert own.success.episodes == 12 - own.errored
