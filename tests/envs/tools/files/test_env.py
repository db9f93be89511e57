"""A desk is judged by what every app holds at the end, and by nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from envs.tools.files.env import ToolFiles
from envs.tools.files.jobs import JOBS
from envs.tools.files.tasks import COMPOSITION, goal, plan, writes
from envs.tools.files.world import Desk, canonical
from envs.toolspec import render_call

OWN = ("train", "id", COMPOSITION)
CELLS = [(split, level) for split in OWN for level in range(5)]

STATE = {
    "files": {
        "tax1.txt": {"folder": "home", "total": "310", "status": "closed"},
        "menu2.txt": {"folder": "home", "total": "420", "status": "open"},
    },
    "mail": {
        "M11": {
            "place": "inbox",
            "sender": "Ana",
            "code": "777",
            "title": "gym",
            "day": "Friday",
            "hour": "12",
        },
    },
    "calendar": {
        "E10": {"title": "lunch", "day": "Monday", "hour": "9"},
        "E20": {"title": "chess", "day": "Monday", "hour": "11"},
    },
    "contacts": {"Kim": {"phone": "5123"}},
    "notes": {"N30": {"title": "car", "pin": "808"}},
}

# By kind, a job and the changes that it asks for, worked out by hand.
BY_HAND = {
    "delete_total": ({"total": "420"}, [("delete_file", {"file": "menu2.txt"})]),
    "move_closed": (
        {"folder": "old"},
        [("move_file", {"file": "tax1.txt", "folder": "old"})],
    ),
    "archive_from": ({"sender": "Ana"}, [("archive_mail", {"mail": "M11"})]),
    "cancel_title": ({"title": "chess"}, [("cancel_event", {"event": "E20"})]),
    "send_total": (
        {"to": "Ben", "file": "tax1.txt"},
        [("send_mail", {"to": "Ben", "text": "310"})],
    ),
    "add_asked": (
        {"sender": "Ana"},
        [("add_event", {"title": "gym", "day": "Friday", "hour": 12})],
    ),
    "save_code": (
        {"sender": "Ana", "new": "a.txt"},
        [("write_file", {"file": "a.txt", "text": "777"})],
    ),
    "write_hour": (
        {"title": "lunch", "new": "a.txt"},
        [("write_file", {"file": "a.txt", "text": "9"})],
    ),
    "tell_hour": (
        {"title": "chess", "to": "Ben"},
        [("send_mail", {"to": "Ben", "text": "11"})],
    ),
    "if_closed": (
        {"file": "menu2.txt", "sender": "Ana", "title": "lunch"},
        [("cancel_event", {"event": "E10"})],
    ),
    "first_free": (
        {"event": "tour", "day": "Monday", "to": "Ben"},
        [
            ("add_event", {"title": "tour", "day": "Monday", "hour": 10}),
            ("send_mail", {"to": "Ben", "text": "10"}),
        ],
    ),
    "remove_phone": ({"phone": "5123"}, [("remove_contact", {"name": "Kim"})]),
    "remove_pin": ({"pin": "808"}, [("remove_note", {"note": "N30"})]),
    "send_phone": (
        {"to": "Ben", "contact": "Kim"},
        [("send_mail", {"to": "Ben", "text": "5123"})],
    ),
    "note_total": (
        {"heading": "sofa", "file": "tax1.txt"},
        [("add_note", {"title": "sofa", "text": "310"})],
    ),
    "note_hour": (
        {"heading": "sofa", "title": "lunch"},
        [("add_note", {"title": "sofa", "text": "9"})],
    ),
    "contact_code": (
        {"sender": "Ana"},
        [("add_contact", {"name": "Ana", "phone": "777"})],
    ),
    "save_pin": (
        {"note": "car", "new": "a.txt"},
        [("write_file", {"file": "a.txt", "text": "808"})],
    ),
}


@pytest.fixture
def env():
    return ToolFiles()


def play(env, task, turns):
    """Reward and info of the last step."""
    env.find = lambda *_: task
    env.reset(options={"split": task.split, "level": task.level, "task_id": task.id})
    del env.find
    for turn in turns:
        _, reward, terminated, truncated, info = env.step(turn)
        if terminated or truncated:
            break
    return reward, info


def apps_of(task):
    return {app for job in task.payload["jobs"] for app in JOBS[job["kind"]].apps}


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_asks_for_the_changes_worked_out_by_hand(kind):
    fields, wanted = BY_HAND[kind]
    case = {
        "level": 1,
        "state": STATE,
        "jobs": [{"kind": kind, **fields}],
        "offered": [],
    }
    assert writes(case) == wanted


def test_a_condition_takes_the_other_branch_for_a_closed_file():
    job = {"kind": "if_closed", "file": "tax1.txt", "sender": "Ana", "title": "lunch"}
    case = {"level": 1, "state": STATE, "jobs": [job], "offered": []}
    assert writes(case) == [("archive_mail", {"mail": "M11"})]


def test_the_goal_of_a_deletion_lacks_the_file_and_no_more():
    jobs = [{"kind": "delete_total", "total": "420"}]
    wanted = {**STATE, "files": {"tax1.txt": STATE["files"]["tax1.txt"]}}
    assert goal({"level": 1, "state": STATE, "jobs": jobs, "offered": []}) == wanted


def test_a_state_is_the_same_in_whatever_order_things_were_added():
    one, two = Desk(STATE), Desk(STATE)
    events = [
        {"title": "gym", "day": "Friday", "hour": 9},
        {"title": "a", "day": "b", "hour": 1},
    ]
    for desk, order in ((one, events), (two, events[::-1])):
        for event in order:
            assert desk.add_event(**event) == "done"
    assert one.state != two.state
    assert canonical(one.state) == canonical(two.state)
    two.add_event(**events[0])
    assert canonical(one.state) != canonical(two.state)


def test_items_show_what_they_hold():
    desk = Desk(STATE)
    assert desk.list_items("mail") == "M11 from Ana"
    assert (
        desk.read_item("M11")
        == "M11 from Ana: Code 777. Please plan gym on Friday at 12."
    )
    assert desk.list_items("files") == "tax1.txt in home\nmenu2.txt in home"
    assert desk.read_item("tax1.txt") == "tax1.txt in home: total 310, closed"
    assert desk.list_items("calendar") == "E10 lunch, Monday 9\nE20 chess, Monday 11"
    assert desk.list_items("notes") == "N30 car"
    assert desk.read_item("N30") == "N30 car: pin 808"
    assert desk.list_items("contacts") == "Kim 5123"
    desk.archive_mail("M11")
    desk.send_mail("Ben", "hello")
    assert desk.list_items("mail") == "M11 from Ana (archived)\nnew2 to Ben"
    assert desk.read_item("new2") == "new2 to Ben: hello"


def test_what_is_not_there_is_said_and_changes_nothing():
    desk = Desk(STATE)
    assert desk.list_items("notepad").startswith(
        "there is no app 'notepad'; apps: files, mail"
    )
    for tool in (
        "delete_file",
        "archive_mail",
        "cancel_event",
        "remove_note",
        "read_item",
    ):
        assert getattr(desk, tool)("x") == "there is no 'x'"
    assert desk.write_file("tax1.txt", "") == "there is such a file already"
    assert (desk.state, desk.changed) == (STATE, 0)


def test_a_desk_leaves_the_state_it_was_given_as_it_was():
    before = json.dumps(STATE)
    desk = Desk(STATE)
    desk.move_file("tax1.txt", "old")
    desk.cancel_event("E10")
    assert json.dumps(STATE) == before


@pytest.mark.parametrize(("split", "level"), CELLS)
def test_the_oracle_wins_and_its_twin_wants_something_else(env, split, level):
    for task in env.tasks(split, level)[:25]:
        turns, twin = env.oracle(task), env.twin(task)
        assert len(turns) <= env.turn_budget(task)
        assert play(env, task, turns)[0] == 1.0
        assert play(env, twin, env.oracle(twin))[0] == 1.0
        assert play(env, twin, turns)[0] == 0.0
        assert (twin.prompt == task.prompt) is (level > 0)


@pytest.mark.parametrize(("split", "level"), CELLS)
def test_a_change_left_out_or_one_too_many_fails(env, split, level):
    for task in env.tasks(split, level)[:10]:
        turns = env.oracle(task)
        changes = [render_call(name, **given) for name, given in writes(task.payload)]
        for change in changes:
            assert (
                play(env, task, [turn for turn in turns if turn != change] + [""] * 15)[
                    0
                ]
                == 0
            )
        if level:
            more = render_call("write_file", file="more.txt", text="1")
            if "write_file" in task.payload["offered"]:
                assert play(env, task, [more, *turns])[0] == 0.0


@pytest.mark.parametrize(("split", "level"), CELLS)
def test_nothing_and_the_end_at_once_score_zero(env, split, level):
    for task in env.tasks(split, level)[:8]:
        end = render_call("finish")
        assert play(env, task, [end] * 3)[1]["verified"] is False
        assert play(env, task, [""] * 15)[1]["verified"] is False
        if level:
            assert play(env, task, [end])[1]["parts"] == {"changes": 0.0}


def test_level_zero_ends_at_the_first_change(env):
    task = env.tasks("train", 0)[0]
    (right,) = env.oracle(task)
    wrong = env.oracle(env.twin(task))[0]
    assert play(env, task, [wrong, right])[0] == 0.0
    assert (
        play(env, task, ['{"name": "delete_file", "arguments": {"file": "x"}}', right])[
            0
        ]
        == 1
    )


def test_apps_of_the_splits_are_as_many_as_they_say(env):
    for level in env.levels:
        for split in ("train", "id"):
            for task in env.tasks(split, level)[:100]:
                assert set(task.payload["state"]) <= {"files", "mail", "calendar"}
        for task in env.tasks(COMPOSITION, level):
            assert len(task.payload["state"]) >= 4
            assert level < 2 or len(apps_of(task)) >= 4
    joined = {
        split: {
            JOBS[job["kind"]].apps
            for t in env.tasks(split, 4)
            for job in t.payload["jobs"]
        }
        for split in ("train", COMPOSITION)
    }
    assert {("files", "notes"), ("mail", "contacts")} <= joined[COMPOSITION] - joined[
        "train"
    ]


def test_no_change_of_a_goal_can_be_left_out(env):
    for task in env.tasks("train", 4):
        changes = writes(task.payload)
        for left_out in range(len(changes)):
            desk = Desk(task.payload["state"])
            for name, arguments in changes[:left_out] + changes[left_out + 1 :]:
                desk.apply(name, arguments)
            assert canonical(desk.state) != canonical(goal(task.payload))


def test_levels_grow_and_the_whole_desk_has_ten_tools(env):
    lengths = [
        np.mean([len(plan(task.payload)) for task in env.tasks("train", level)[:200]])
        for level in env.levels
    ]
    assert lengths[0] == 1
    assert lengths[1] < lengths[3] < lengths[4]
    env.reset(options={"split": "train", "level": 4})
    assert len(env.tools()) == 10


def test_level_zero_offers_two_tools_in_a_short_prompt(env):
    for task in env.tasks("train", 0)[:100]:
        _, info = env.reset(options={"split": "train", "level": 0, "task_id": task.id})
        assert len(info["tools"]) == 2
        text = json.dumps(info["tools"]) + "".join(
            m["content"] for m in info["messages"]
        )
        # English and JSON have about three and a half characters a token.
        assert len(text) < 1000
        assert len(env.oracle(task)[0]) < 80


def test_chance_at_level_zero_is_one_in_four(env):
    rng, tasks = np.random.default_rng(0), env.tasks("train", 0)
    solved = 0
    for number in range(800):
        env.reset(options={"split": "train", "level": 0, "task_id": tasks[number].id})
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


def test_a_snapshot_remembers_what_was_done(env):
    task = env.tasks("train", 4)[0]
    turns = env.oracle(task)
    for half in range(len(turns)):
        play(env, task, ["nonsense", *turns[:half]])
        other = ToolFiles()
        other.set_state(json.loads(json.dumps(env.get_state())))
        assert [other.step(turn) for turn in turns[half:]][-1][1] == 1.0
        assert other.malformed == 1


def test_what_an_item_holds_stays_out_of_what_the_policy_is_shown(env):
    for task in env.tasks("train", 2)[:50]:
        prompt, info = env.reset(
            options={"split": "train", "level": 2, "task_id": task.id}
        )
        seen = prompt + json.dumps([info["messages"], info["tools"]])
        codes = [item.get("code") for item in task.payload["state"]["mail"].values()]
        assert not any(code in seen for code in codes)
