"""Small scripts with wrong lines: what solves them, and what only pretends to."""

import pytest

from envs.code.debug.sandbox import judge
from envs.code.debug.scripts import lines_with_bugs
from envs.rollout import play
from envs.toolspec import render_call
from scgrpo.policies.scripted import ScriptedPolicy


@pytest.fixture
def env(make_env):
    return make_env("code_debug")


def test_restoring_the_lines_solves_and_the_given_code_does_not(env, sandboxes):
    for split in env.splits:
        for level in env.levels:
            payload = env.tasks(split, level)[0].payload
            right = judge(sandboxes, payload, payload["right"])
            given = judge(sandboxes, payload, lines_with_bugs(payload))
            assert not isinstance(right, str)
            assert not isinstance(given, str)
            assert (right.passed, given.shown) == (True, False)


def test_a_special_case_for_the_shown_call_does_not_win(env):
    task = env.tasks("train", 1)[0]
    value = task.payload["visible"][0][1]
    env.reset(options={"split": "train", "level": 1, "task_id": task.id})
    body = [render_call("fix", line=2, text=f"return {value}")]
    results = [env.step(turn) for turn in body]
    assert results[-1][1:3] == (0.0, True)
    assert results[-1][4]["parts"]["shown"] == 1.0


def started(env, level):
    task = env.tasks("train", level)[0]
    env.reset(options={"split": "train", "level": level, "task_id": task.id})
    return task


@pytest.mark.parametrize("place", ["the assertion", "behind it", 0, -1])
def test_what_is_no_line_of_the_code_is_out_of_reach(env, place):
    last = len(started(env, 2).payload["right"])
    # Counted from the end, 0 and -1 would be lines of the code.
    line = {"the assertion": last + 1, "behind it": last + 2}.get(place, place)
    before = env.get_state()["lines"]
    reply, reward, ended, *_ = env.step(render_call("fix", line=line, text="pass"))
    assert (reward, ended) == (0.0, False)
    assert "cannot be changed" in reply
    assert env.get_state()["lines"] == before


@pytest.mark.parametrize(
    "text", ["pass\nx = 1", "pass\rx = 1", "x" * 201, "pass\n\nx = 1\n"]
)
def test_a_fix_is_one_line(env, text):
    started(env, 2)
    before = env.get_state()["lines"]
    assert "give one line" in env.step(render_call("fix", line=2, text=text))[0]
    assert env.get_state()["lines"] == before


@pytest.mark.parametrize(
    "text",
    [
        "from os import abort",
        "import os",
        "print(open('test_script.py').read())",
        "exec('pass')",
        "getattr(x, 'a')",
        "x.gi_frame",
        "x.f_back",
        "x.f_globals",
        "x.__class__",
        "'{0.a}'.format(x)",
        'x = """',
    ],
)
def test_a_line_that_reaches_out_of_the_script_finds_no_assertion(env, text):
    started(env, 2)
    reply, reward, ended, *_ = env.step(render_call("fix", line=2, text=text))
    assert (reward, ended) == (0.0, False)
    assert "line 2 replaced" in reply


def test_patching_the_assertions_as_the_script_is_imported_does_not_win(env):
    started(env, 2)
    head = env.get_state()["lines"][0]
    patch = "import unittest; unittest.TestCase.assertEqual = lambda *a: None"
    text = head.replace("):", f", q=exec({patch!r})):")
    assert text.startswith("def ")
    assert len(text) <= 200
    assert env.step(render_call("fix", line=1, text=text))[1:3] == (0.0, False)


def test_what_eval_leaves_behind_is_not_there_when_a_fix_is_judged(env):
    task = started(env, 2)
    for name in ("unittest.py", "json.py", "script/__init__.py", "sitecustomize.py"):
        plant = f"__import__('os').makedirs({name.rpartition('/')[0] or '.'!r}, exist_ok=True)"
        plant += f" or open({name!r}, 'w').write('import os; os._exit(0)')"
        assert env.step(render_call("eval", expression=plant))[0] == "22"
    results = [env.step(turn) for turn in env.oracle(task)]
    assert results[-1][1] == 1.0


def test_eval_sees_the_state_and_a_fix_changes_it(env):
    task = env.tasks("train", 1)[0]
    call, value = task.payload["visible"][0]
    env.reset(options={"split": "train", "level": 1, "task_id": task.id})
    assert env.step(render_call("eval", expression="1 + 1"))[0] == "2"
    told = env.step(render_call("eval", expression=call))[0]
    assert told != value
    assert env.step(render_call("eval", expression="1 / 0"))[0].startswith(
        "ZeroDivisionError"
    )


def test_what_solves_a_task_fails_on_its_twin(env):
    for level in (0, 1, 3):
        task = env.tasks("id", level)[1]
        twin = env.twin(task)
        assert env.twin(twin) == task
        env.find = lambda *_, twin=twin: twin
        assert play(env, ScriptedPolicy(env.oracle(twin)), twin).verified is True
        assert play(env, ScriptedPolicy(env.oracle(task)), twin).verified is False


def test_every_split_has_its_size(env):
    for split in env.splits:
        for level in env.levels:
            assert len(env.tasks(split, level)) == (2000 if split == "train" else 300)
