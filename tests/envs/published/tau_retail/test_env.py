"""Episodes in tau-bench's shop, and its published tasks."""

from __future__ import annotations

import json

import pytest

from envs.published.tau_retail.data import FILES, _tasks_as_json, cases
from envs.published.tau_retail.env import (
    _FILE_OF,
    SIZES,
    UNJUDGED,
    TauRetailSolo,
    changes_after,
)
from envs.rollout import play
from envs.splits import overlaps
from envs.toolspec import render_call
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.published.small import EXCHANGE, TAU_TEST

DONE = render_call("done")


@pytest.fixture
def env(small_data):
    return TauRetailSolo()


def exchange(env, task, *items):
    arguments = {**EXCHANGE["kwargs"], "item_ids": ["101"], "new_item_ids": [*items]}
    call = render_call("exchange_delivered_order_items", **arguments)
    return play(env, ScriptedPolicy([call, DONE]), task)


def test_the_prompt_has_the_policy_and_the_script_and_no_gold_call(env):
    (task,) = env.tasks("id", 0)
    assert task.prompt == (
        "# Policy\n\nCancel pending orders alone.\n\n# The customer's script\n\n"
        "You are Ann Lee. Exchange a red mug of #W2 for a blue one."
    )
    assert task.payload == {"place": 1}


def test_the_final_records_decide(env):
    (task,) = env.tasks("id", 0)
    assert exchange(env, task, "102").verified is True
    episode = exchange(env, task, "104")
    assert episode.verified is False
    assert episode.verdict.detail == "wrong records: orders #W2"


def test_one_change_too_many_is_wrong(env):
    (task,) = env.tasks("id", 0)
    right, done = env.oracle(task)
    other = render_call(
        "cancel_pending_order", order_id="#W1", reason="no longer needed"
    )
    episode = play(env, ScriptedPolicy([right, other, done]), task)
    assert episode.verified is False
    assert episode.verdict.detail == "wrong records: orders #W1, users ann_lee_1"


def test_a_refused_call_may_be_corrected(env):
    (task,) = env.tasks("id", 0)
    right, done = env.oracle(task)
    wrong = right.replace("102", "103")
    episode = play(env, ScriptedPolicy([wrong, "Hm.", right, done]), task)
    assert episode.verified is True
    assert episode.malformed == 1


def test_a_transfer_ends_the_work_and_is_judged_like_the_end(env):
    (task,) = env.tasks("id", 0)
    transfer = render_call("transfer_to_human_agents", summary="No.")
    assert play(env, ScriptedPolicy([transfer]), task).verified is False


def test_without_an_end_the_right_records_are_not_enough(env):
    (task,) = env.tasks("id", 0)
    right, _ = env.oracle(task)
    episode = play(env, ScriptedPolicy([right, *["Hm."] * 40]), task)
    assert episode.verified is False
    assert len(episode.turns) == 30


MODULE = """\
from tau_bench.types import Task, Action

TASKS_TEST = [
    Task(
        annotator="0",
        user_id="ann_lee_1",
        instruction="You are Ann Lee. Exchange a red mug of #W2 for a blue one.",
        actions=[
            Action(
                name="exchange_delivered_order_items",
                kwargs={
                    "order_id": "#W2",
                    "item_ids": ["101"],
                    "new_item_ids": ["102"],
                    "payment_method_id": "credit_card_1",
                },
            ),
        ],
        outputs=[],
    ),
]
"""


def test_a_module_of_tasks_is_read_without_being_run():
    read = _tasks_as_json(MODULE.encode())
    assert json.loads(read) == [TAU_TEST[1]]
    assert read == json.dumps([TAU_TEST[1]], indent=0).encode()


@pytest.mark.parametrize(
    "module", ["x = ", "", "x = 1\ny = 2", "x = [Task(print())]", "x = [open('f')]"]
)
def test_another_module_is_refused(module):
    with pytest.raises(ValueError, match=r"."):
        _tasks_as_json(module.encode())


def test_published_tasks_are_written_back_as_they_are_read(need_files):
    need_files("tau_retail_solo")
    for name in ("tasks_train", "tasks_test"):
        content = FILES[name].path().read_bytes()
        rows = json.loads(content)
        lines = [
            f"Task({', '.join(f'{key}={_source(value)}' for key, value in row.items())})"
            for row in rows
        ]
        module = f"from x import y\nTASKS = [{', '.join(lines)}]\n"
        assert _tasks_as_json(module.encode()) == content


def _source(value):
    if isinstance(value, list):
        return f"[{', '.join(map(_source, value))}]"
    if isinstance(value, dict) and set(value) == {"name", "kwargs"}:
        return f"Action(name={value['name']!r}, kwargs={value['kwargs']!r})"
    return repr(value)


@pytest.mark.parametrize("split", SIZES)
def test_published_tasks_are_left_out_exactly_if_their_calls_change_nothing(
    split, need_files
):
    need_files("tau_retail_solo")
    published = cases(_FILE_OF[split])
    assert len(published) == SIZES[split]
    idle = {
        place for place, case in enumerate(published) if not changes_after(case.actions)
    }
    assert idle == UNJUDGED[split]


def test_published_splits_share_no_script(need_files):
    need_files("tau_retail_solo")
    env = TauRetailSolo()
    tasks = [task for split in env.splits for task in env.tasks(split, 0)]
    assert [len(env.tasks(split, 0)) for split in env.splits] == [495, 104]
    assert overlaps(tasks) == []


def test_published_calls_score_one(need_files, day):
    need_files("tau_retail_solo")
    env = TauRetailSolo()
    tasks = [task for split in env.splits for task in env.tasks(split, 0)]
    for task in day.some(tasks, 60, "tau_retail"):
        env.reset(options={"split": task.split, "task_id": task.id})
        for turn in env.oracle(task):
            _, reward, _, truncated, info = env.step(turn)
        assert (reward, truncated) == (1.0, False), (task.id, info["detail"])
