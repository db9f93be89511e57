"""Counts of a report, by hand, from real records."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.evaluation.suites import Suite
from evals.report.scores import compare

SUITE = Suite("lab", 0, "id")
TASKS = [Task(f"id/0/{i}", "id", 0, family, "?") for i, family in enumerate("aabb")]


TOOL = {"type": "function", "function": {"name": "look"}}


def episode(
    task, passed, *, turns=1, malformed=0, wall_s=1.0, cut=False, tools=(TOOL,)
):
    """One with `turns` turns of two tokens; errored for passed=None."""
    verdict = None if passed is None else Verdict(passed, float(passed))
    turn = Segment("policy", "x", (1, 2), (-1.0, -1.0), cut=cut)
    return Episode(
        task=task,
        messages=(),
        tools=tools,
        segments=(Segment("prompt", "?", (9,)), *(turn for _ in range(turns))),
        stop=Stop.FINISHED if verdict else Stop.ERROR,
        verdict=verdict,
        error="" if verdict else "SandboxError: gone",
        malformed=malformed,
        wall_s=wall_s,
    )


BASE = [
    [
        episode(TASKS[0], False, turns=4, malformed=3, wall_s=3.0),
        episode(TASKS[0], True, turns=2),
    ],
    [
        episode(TASKS[1], False),
        episode(TASKS[1], None, turns=5, malformed=5, wall_s=99.0),
    ],
    [episode(TASKS[2], None), episode(TASKS[2], None)],
    [episode(TASKS[3], False), episode(TASKS[3], False)],
]
TRAINED = [[episode(task, True), episode(task, i != 0)] for i, task in enumerate(TASKS)]


def test_errored_episodes_are_counted_separately_and_averaged_nowhere():
    score = compare(SUITE, TASKS, {"base": BASE}, 2).scores["base"]
    # Task means 1/2, 0, none, 0 over 5 verdicts; 9 turns of 2 tokens, 3 of them malformed.
    assert score.success.value == pytest.approx(1 / 6)
    assert (score.success.tasks, score.episodes, score.errors) == (3, 5, 3)
    assert score.error == "SandboxError: gone"
    assert score.malformed == pytest.approx(3 / 9)
    assert (score.turns, score.tokens) == (pytest.approx(9 / 5), pytest.approx(18 / 5))
    assert score.seconds == pytest.approx(7 / 5)
    assert score.tool_calls == pytest.approx((9 - 3) / 5)
    assert score.truncated == 0
    assert score.stops == {"finished": 5, "max_turns": 0, "max_tokens": 0, "error": 3}


def test_causes_are_counted_and_the_bound_has_every_errored_episode_failed():
    score = compare(SUITE, TASKS, {"base": BASE}, 2).scores["base"]
    assert score.causes == {"SandboxError": 3}
    # Task means 1/2, 0, 0, 0: the task of errored episodes alone counts as well.
    assert score.success_bound == pytest.approx(1 / 8)


def test_a_later_try_does_not_take_an_errored_episode_from_causes_and_bound():
    full = replace(
        episode(TASKS[0], None), error="OSError: [Errno 28] No space left on device"
    )
    first = [[full, TRAINED[0][1]], *TRAINED[1:]]
    row = compare(SUITE, TASKS, {"a": BASE, "b": TRAINED}, 2, {"a": BASE, "b": first})
    score = row.scores["b"]
    # The first task has 0 of 2 and not 1 of 2, the others 2 of 2.
    assert (score.errors, score.causes) == (0, {"ENOSPC": 1})
    assert score.success.value == pytest.approx(7 / 8)
    assert score.success_bound == pytest.approx(6 / 8)
    assert row.scores["a"].causes == {"SandboxError": 3}


def test_without_errors_the_bound_is_the_rate():
    score = compare(SUITE, TASKS, {"model": TRAINED}, 2).scores["model"]
    assert score.causes == {}
    assert score.success_bound == score.success.value == pytest.approx(7 / 8)


def test_truncated_turns_are_a_share_of_turns_and_only_tool_tasks_have_tool_calls():
    groups = [
        [episode(TASKS[0], True, turns=3, cut=True, tools=())],
        [episode(TASKS[1], True)],
    ]
    score = compare(SUITE, TASKS[:2], {"model": groups}, 1).scores["model"]
    assert score.truncated == pytest.approx(3 / 4)
    assert score.tool_calls == pytest.approx(1 / 2)


def test_tokens_without_ids_are_counted():
    turn = Segment("policy", "x", tokens=7)
    counted = replace(episode(TASKS[0], True), segments=(turn, turn))
    assert (
        compare(SUITE, TASKS[:1], {"model": [[counted]]}, 1).scores["model"].tokens
        == 14
    )


def test_pass_k_is_over_the_tasks_with_enough_verdicts():
    score = compare(SUITE, TASKS, {"base": BASE}, 2).scores["base"]
    assert list(score.pass_at) == [1, 2]
    # Tasks 0 and 3 have two verdicts, with 1 and 0 successes.
    assert score.pass_at[2] == pytest.approx(1 / 2)
    assert score.pass_hat[2] == 0


def test_differences_are_of_the_last_model_the_nearest_first():
    row = compare(SUITE, TASKS, {"base": BASE, "warm": TRAINED, "trained": TRAINED}, 2)
    assert [(d.after, d.before) for d in row.differences] == [
        ("trained", "warm"),
        ("trained", "base"),
    ]
    assert row.differences[0].estimate.value == 0
    # Tasks 0, 1, 3 have verdicts of both: 1/2 - 1/2, 1 - 0, 1 - 0.
    assert row.differences[1].estimate.value == pytest.approx(2 / 3)
    assert row.differences[1].estimate.tasks == 3


def test_a_model_alone_has_no_difference():
    assert compare(SUITE, TASKS, {"model": TRAINED}, 2).differences == ()


def test_only_errored_episodes_give_no_number():
    broken = [[episode(task, None)] for task in TASKS]
    score = compare(SUITE, TASKS, {"model": broken}, 1).scores["model"]
    assert (score.episodes, score.errors) == (0, 4)
    assert all(map(math.isnan, (score.success.value, score.malformed, score.turns)))
