"""Episodes of AgentBench's operating-system tasks, in our sandbox."""

from __future__ import annotations

import pytest

from envs.published.agentbench_os import env as env_module
from envs.published.agentbench_os import rows as rows_module
from envs.published.agentbench_os.env import AgentBenchOs, expected_answer
from envs.published.agentbench_os.shell import PROGRAMS, run_scripts
from envs.published.agentbench_os.usable import USABLE
from envs.rollout import play
from envs.splits import overlaps
from envs.toolspec import render_call
from sandboxes import SandboxError
from scgrpo.policies.scripted import ScriptedPolicy


def bash(command):
    return render_call("bash", command=command)


def answer(text):
    return render_call("answer", text=text)


@pytest.fixture
def env(small_data, make_env):
    return make_env("agentbench_os")


def first_task(env):
    return next(task for split in env.splits for task in env.tasks(split, 0))


def test_the_sandbox_has_a_shell_and_its_programs(sandboxes):
    look = "command -v $name > /dev/null || echo no $name"
    script = f"for name in {' '.join(PROGRAMS)}; do {look}; done"
    with sandboxes.lease() as sandbox:
        missing, home = run_scripts(sandbox, [script, "pwd; echo $HOME ~; ls -A"])
    assert (missing.stdout, missing.stderr) == (b"", b"")
    assert home.stdout == b"/work\n/work /work\n"


def test_what_a_command_changes_is_there_in_the_next_turn(env):
    task = first_task(env)
    turns = [bash("cd sub 2>/dev/null; echo x > new.txt"), bash("cat new.txt; pwd")]
    episode = play(env, ScriptedPolicy([*turns, answer("?")]), task)
    replies = [segment.text for segment in episode.segments if segment.source == "env"]
    assert replies[0] == "nothing was printed"
    assert replies[1].startswith("x\n")


def test_the_first_answer_is_final(env):
    task = first_task(env)
    _, right = env.oracle(task)
    assert play(env, ScriptedPolicy([answer("no"), right]), task).verified is False
    assert play(env, ScriptedPolicy(["Hm.", right]), task).verified is True


def test_long_output_is_shortened_and_errors_are_shown(env):
    env.reset(options={"split": first_task(env).split})
    text, *_ = env.step(bash("seq 10000"))
    assert text.endswith(" [truncated because the output is too long]")
    assert len(text) < 900
    text, *_ = env.step(bash("nothing_like_this"))
    assert "command not found" in text


@pytest.mark.slow
@pytest.mark.daily(0)
def test_a_command_without_an_end_is_killed_and_not_repeated(env):
    env.reset(options={"split": first_task(env).split})
    text, *_ = env.step(bash("sleep 60"))
    assert text == "killed after 5 s"
    text, *_ = env.step(bash("echo on"))
    assert text == "on"


def test_an_expected_answer_that_is_none_is_no_wrong_answer(
    small_data, sandboxes, monkeypatch
):
    row = rows_module.Row("q", "", "echo many", "integer-match")
    monkeypatch.setattr(env_module, "rows", lambda: [row])
    with pytest.raises(SandboxError, match=r"agentbench_os 0 printed 'many\\n'"):
        expected_answer(sandboxes, 0)


def test_published_rows_are_split_without_overlap(need_files):
    need_files("agentbench_os")
    env = AgentBenchOs()
    tasks = [task for split in env.splits for task in env.tasks(split, 0)]
    assert len(tasks) == len(USABLE)
    assert overlaps(tasks) == []


@pytest.mark.slow
@pytest.mark.daily(0)
def test_published_commands_score_one(need_files, make_env, day):
    need_files("agentbench_os")
    env = make_env("agentbench_os")
    tasks = [task for split in env.splits for task in env.tasks(split, 0)]
    for task in day.some(tasks, 12, "agentbench_os"):
        episode = play(env, ScriptedPolicy(env.oracle(task)), task)
        assert episode.verified is True, (task.id, episode.error, episode.verdict)
