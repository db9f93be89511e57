"""The store: its policy, its verifier, and what the splits change."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from envs.supply import OTHER_TASKS, TRAIN_TASKS
from envs.tools.store.cases import decisions, goal, plan
from envs.tools.store.env import TRY_AGAIN, ToolStore
from envs.tools.store.policy import Decision, Rules, decide, rule_violation
from envs.tools.store.words import DOMAINS, VOCABULARIES
from envs.tools.store.world import apply, deep_copy
from envs.toolspec import render_call

WISHES = ("cancel", "return", "exchange", "refuse", "finish")
CELLS = [(split, level) for split in ToolStore.splits for level in ToolStore.levels]


@pytest.fixture
def env():
    return ToolStore()


def state(status="open", *, days=3, final=False, gold=False, price=40, stock=2):
    order = {
        "person": "C1",
        "item": "P1",
        "status": status,
        "days": days,
        "final": final,
    }
    return {
        "people": {"C1": {"name": "Ann Chen", "gold": gold, "orders": ["O1"]}},
        "orders": {"O1": {**order, "outcome": ""}},
        "items": {
            "P1": {"name": "lamp", "price": price, "stock": 0},
            "P2": {"name": "rug", "price": 30, "stock": stock},
        },
    }


def play(env, task, turns):
    """The last step's reward and info, after as many turns as the episode lasts."""
    env.reset(options={"split": task.split, "level": task.level, "task_id": task.id})
    result = (0.0, {"verified": None})
    for turn in turns:
        _, reward, terminated, truncated, info = env.step(turn)
        result = reward, info
        if terminated or truncated:
            break
    return result


ALL = Rules(
    days=10, look=True, stock=True, gold=True, find=True, final=True, ask_over=50
)


@pytest.mark.parametrize(
    ("op", "facts", "says", "decision"),
    [
        ("cancel", {}, True, Decision("cancel", "status")),
        ("cancel", {"status": "moving"}, True, Decision("refuse", "status")),
        ("cancel", {"price": 50}, False, Decision("cancel", "status")),
        ("cancel", {"price": 51}, True, Decision("cancel", "ask")),
        ("cancel", {"price": 51}, False, Decision("refuse", "ask")),
        ("return", {"status": "done", "days": 10}, True, Decision("return", "days")),
        ("return", {"status": "done", "days": 11}, True, Decision("refuse", "gold")),
        (
            "return",
            {"status": "done", "days": 20, "gold": True},
            True,
            Decision("return", "gold"),
        ),
        (
            "return",
            {"status": "done", "days": 21, "gold": True},
            True,
            Decision("refuse", "days"),
        ),
        (
            "return",
            {"status": "done", "final": True},
            True,
            Decision("refuse", "final"),
        ),
        ("exchange", {"stock": 1}, True, Decision("exchange", "stock")),
        ("exchange", {"stock": 0}, True, Decision("refuse", "stock")),
        ("exchange", {"status": "done"}, True, Decision("refuse", "status")),
        ("undo", {}, True, Decision("cancel", "status")),
        ("undo", {"status": "done"}, True, Decision("return", "days")),
        ("undo", {"status": "moving"}, True, Decision("refuse", "status")),
    ],
)
def test_the_policy_decides_by_its_clauses(op, facts, says, decision):
    request = {"op": op, "order": "O1", "item": "P2"}
    assert decide(ALL, state(**facts), {"O1": says}, request, WISHES) == decision


def test_what_no_tool_can_do_is_refused():
    request = {"op": "cancel", "order": "O1", "item": ""}
    assert decide(Rules(), state(), {}, request, ["return"]) == Decision(
        "refuse", "tool"
    )
    assert decide(Rules(), state(), {}, request, ["update"]) == Decision(
        "cancel", "status"
    )


FIND = ("find", {"name": "Ann Chen"})
LOOK = ("look", {"id": "O1"})
ASK = ("ask", {"order": "O1"})
CANCEL = ("cancel", {"order": "O1"})


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        ([FIND, LOOK, ASK, CANCEL], ""),
        ([LOOK, ASK, CANCEL], "before Ann Chen was looked up"),
        (
            [("find", {"name": "Ben Chen"}), LOOK, ASK, CANCEL],
            "before Ann Chen was looked up",
        ),
        ([FIND, ASK, CANCEL], "before it was looked up"),
        ([FIND, ("look", {"id": "P1"}), ASK, CANCEL], "before it was looked up"),
        ([FIND, LOOK, CANCEL], "before Ann Chen was asked"),
        ([FIND, LOOK, CANCEL, ASK], "before Ann Chen was asked"),
    ],
)
def test_hard_rules_are_checked_in_the_order_of_the_log(log, fault):
    violation = rule_violation(ALL, state(price=51), "Ann Chen", log)
    assert fault in violation
    assert bool(violation) == bool(fault)


def test_an_exchange_moves_one_item_and_settles_the_order_once():
    now, words = state(stock=1), DOMAINS["shop"]
    step = "exchange", {"order": "O1", "item": "P2"}
    assert apply(now, *step, {}, words) == ("done", True)
    assert (now["items"]["P1"]["stock"], now["items"]["P2"]["stock"]) == (1, 0)
    assert (now["orders"]["O1"]["item"], now["orders"]["O1"]["outcome"]) == (
        "P2",
        "exchanged",
    )
    before = deep_copy(now)
    assert apply(now, "cancel", {"order": "O1"}, {}, words) == (
        "O1 is settled already",
        False,
    )
    assert now == before


@pytest.mark.daily(6)
@pytest.mark.parametrize(("split", "level"), CELLS)
def test_there_are_as_many_tasks_as_promised_and_each_decides_something(
    env, split, level
):
    tasks = env.tasks(split, level)
    assert len(tasks) == (TRAIN_TASKS if split == "train" else OTHER_TASKS)
    assert len({task.content_hash for task in tasks}) == len(tasks)
    settled = Counter(d.op for task in tasks[:200] for d in decisions(task.payload))
    assert max(settled.values()) < 0.8 * settled.total()


@pytest.mark.parametrize(("split", "level"), CELLS)
def test_the_oracle_solves_a_task_and_fails_its_twin(env, split, level):
    for task in env.tasks(split, level)[:12]:
        turns, twin = env.oracle(task), env.twin(task)
        assert len(turns) <= env.turn_budget(task)
        assert play(env, task, turns)[0] == 1.0
        env.find = lambda *_, task=twin: task
        assert play(env, twin, env.oracle(twin))[0] == 1.0
        assert play(env, twin, turns)[0] == 0.0
        del env.find
        changed = [
            key for key in task.payload if task.payload[key] != twin.payload[key]
        ]
        assert len(changed) == 1
        assert changed[0] in ("state", "says")


@pytest.mark.parametrize(("split", "level"), [cell for cell in CELLS if cell[1] > 0])
def test_nothing_everything_and_the_end_at_once_score_zero(env, split, level):
    for task in env.tasks(split, level)[:8]:
        payload = task.payload
        words = VOCABULARIES[payload["vocabulary"]]
        end = render_call(words.tools["finish"])
        assert play(env, task, [end] * 2)[1]["verified"] is False
        assert play(env, task, [""] * 15)[1]["verified"] is False
        env.reset(options={"split": split, "level": level, "task_id": task.id})
        everything = [
            env.random_turn(np.random.default_rng(n)) for n in range(40) if n != level
        ]
        assert play(env, task, [*everything[:13], end, end])[1]["verified"] is False
        refusals = [
            render_call(words.tools["refuse"], **{words.arguments["order"]: key})
            for key in payload["state"]["orders"]
        ]
        assert play(env, task, [*refusals, end, end])[1]["verified"] is False


def test_settling_another_order_too_fails(env):
    for task in env.tasks("train", 2)[:10]:
        asked = {request["order"] for request in task.payload["requests"]}
        other = next(key for key in task.payload["state"]["orders"] if key not in asked)
        extra = [render_call("look_up", id=other), render_call("refuse", order=other)]
        reward, info = play(env, task, [*extra, *env.oracle(task)])
        assert reward == 0.0
        assert other in info["detail"]


def test_settling_without_a_look_keeps_the_state_and_breaks_the_policy(env):
    for task in env.tasks("train", 1)[:10]:
        _, *rest = env.oracle(task)
        reward, info = play(env, task, rest)
        assert (reward, info["parts"]) == (0.0, {"state": 1.0, "policy": 0.0})


def test_no_tool_enforces_the_policy(env):
    task = next(
        task
        for task in env.tasks("train", 1)
        if task.payload["requests"][0]["op"] == "cancel"
        and decisions(task.payload)[0].op == "refuse"
    )
    order = task.payload["requests"][0]["order"]
    wrong = [
        render_call("look_up", id=order),
        render_call("cancel_order", order=order),
        render_call("refuse", order=order),
        render_call("finish"),
    ]
    assert play(env, task, wrong)[1]["verified"] is False


def test_the_goal_changes_only_what_was_asked_for(env):
    for task in env.tasks("train", 4)[:50]:
        start, end = task.payload["state"], goal(task.payload)
        asked = {request["order"] for request in task.payload["requests"]}
        assert {
            key for key in start["orders"] if start["orders"][key] != end["orders"][key]
        } == asked
        assert start["people"] == end["people"]


def test_level_four_takes_ten_calls_and_meets_every_exception(env):
    plans = [plan(task.payload) for task in env.tasks("train", 4)[:300]]
    assert Counter(map(len, plans)).most_common(1)[0][0] == max(map(len, plans)) == 10
    clauses = {
        d.clause
        for task in env.tasks("train", 4)[:300]
        for d in decisions(task.payload)
    }
    assert clauses == {"status", "days", "gold", "final", "stock", "ask"}


def test_level_zero_offers_two_tools_in_a_short_prompt(env):
    for task in env.tasks("train", 0)[:100]:
        _, info = env.reset(options={"split": "train", "level": 0, "task_id": task.id})
        assert len(info["tools"]) == 2
        text = json.dumps(info["tools"]) + "".join(
            m["content"] for m in info["messages"]
        )
        # English and JSON have about three and a half characters a token.
        assert len(text) < 1000


def test_the_shop_has_eight_tools_at_the_last_level(env):
    env.reset(options={"split": "train", "level": 4})
    assert len(env.tools()) == 8


def test_chance_at_level_zero_is_one_in_four(env):
    rng, tasks = np.random.default_rng(0), env.tasks("train", 0)
    solved = 0
    for number in range(800):
        task = tasks[number]
        env.reset(options={"split": "train", "level": 0, "task_id": task.id})
        _, reward, ended, _, info = env.step(env.random_turn(rng))
        assert ended
        assert info["malformed"] == 0
        solved += reward
    # Four standard errors of 800 throws at 0.25 are 0.061.
    assert solved / 800 == pytest.approx(env.chance(0), abs=0.061)


@pytest.mark.parametrize(("split", "level"), CELLS)
def test_random_turns_are_well_formed(env, split, level):
    rng = np.random.default_rng(level)
    for task in env.tasks(split, level)[:8]:
        env.reset(options={"split": split, "level": level, "task_id": task.id})
        for _ in range(env.turn_budget(task)):
            _, _, terminated, truncated, info = env.step(env.random_turn(rng))
            assert info["malformed"] == 0
            if terminated or truncated:
                break


def test_a_flaky_tool_fails_once_without_effect(env):
    task = env.tasks("ood/noise", 0)[0]
    (turn, again) = env.oracle(task)
    assert turn == again
    env.reset(options={"split": "ood/noise", "level": 0, "task_id": task.id})
    before = deep_copy(env.get_state()["state"])
    assert env.step(turn)[:2] == (TRY_AGAIN, 0.0)
    assert env.get_state()["state"] == before
    assert env.step(turn)[1] == 1.0


def test_a_snapshot_remembers_which_tools_have_failed(env):
    task = env.tasks("ood/noise", 3)[0]
    turns = env.oracle(task)
    for half in range(len(turns)):
        play(env, task, turns[:half])
        other = ToolStore()
        other.set_state(json.loads(json.dumps(env.get_state())))
        results = [other.step(turn) for turn in turns[half:]]
        assert results[-1][1] == 1.0


def test_the_tools_shift_renames_hides_adds_and_merges(env):
    kinds = Counter()
    plain = {tool for tool in VOCABULARIES["shop"].tools.values()}
    for task in env.tasks("ood/tools", 3):
        env.reset(options={"split": "ood/tools", "level": 3, "task_id": task.id})
        names = {tool["function"]["name"] for tool in env.tools()}
        kinds["renamed"] += not names & plain
        kinds["extra"] += "delete_order" in names
        kinds["schema"] += "update_order" in names
        kinds["missing"] += len(names) == 6 and "update_order" not in names
    assert kinds == dict.fromkeys(
        ("renamed", "extra", "schema", "missing"), OTHER_TASKS // 4
    )


def test_the_merged_tool_takes_one_of_three_actions(env):
    task = next(
        t for t in env.tasks("ood/tools", 2) if "update" in t.payload["offered"]
    )
    env.reset(options={"split": "ood/tools", "level": 2, "task_id": task.id})
    update = next(
        t["function"] for t in env.tools() if t["function"]["name"] == "update_order"
    )
    actions = update["parameters"]["properties"]["action"]["enum"]
    assert actions == ["cancel", "return", "exchange"]
    assert update["parameters"]["required"] == ["order", "action"]


def test_other_domains_share_no_word_for_a_tool_that_acts(env):
    names = {
        split: {
            json.loads(turn)["name"]
            for task in env.tasks(split, 4)[:60]
            for turn in env.oracle(task)
        }
        for split in ("train", "ood/domain")
    }
    assert names["train"] & names["ood/domain"] == {"look_up", "refuse", "finish"}


def test_the_payload_stays_out_of_what_the_policy_sees(env):
    task = env.tasks("train", 4)[0]
    prompt, info = env.reset(options={"split": "train", "level": 4, "task_id": task.id})
    seen = prompt + json.dumps(info)
    assert not any(key in seen for key in task.payload["state"]["orders"])
