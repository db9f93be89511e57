"""Right work is scored right after another lease has tried to spoil the sandbox for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from envs.base import TextEnv
from envs.code.debug.env import CodeDebug
from envs.code.fn.env import CodeFn
from envs.code.swe_lite.env import SweLite
from envs.toolspec import render_call
from sandboxes import SandboxConfig, SandboxPool, open_pool
from sandboxes.backends import bubblewrap as local
from tests.sandboxes.compose_project import composed_sandbox
from tests.sandboxes.leftovers import ATTACKS, START

ENGINE = [pytest.mark.docker]
ACL = (
    '__import__("os").setxattr("/work","system.posix_acl_default",b"\\x02\\0\\0\\0"+b"".join('
    'bytes([t,0,0,0])+b"\\xff"*4 for t in (1,4,32)))'
)
SPOILING = (
    *("default list of rights", "many attributes", "an attribute for each inode"),
    *("files in flight", "modes of the folders", "the wiper's own names"),
)


@pytest.fixture(
    scope="module",
    params=[
        "local",
        pytest.param("docker", marks=ENGINE),
        pytest.param("compose", marks=[*ENGINE, pytest.mark.alone]),
    ],
)
def pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    """One sandbox, which every episode shares with the attack before it."""
    if request.param == "local":
        if reason := local.available():
            pytest.skip(reason)
        with open_pool(SandboxConfig(backend="local", size=1)) as opened:
            yield opened
        return
    engine = request.getfixturevalue("client")
    if request.param == "docker":
        with open_pool(SandboxConfig(backend="docker", size=1)) as opened:
            yield opened
        return
    with (
        composed_sandbox(engine),
        open_pool(SandboxConfig(backend="docker", size=1)) as opened,
    ):
        yield opened


def oracle_reward(env: TextEnv, level: int) -> float:
    """What the first training task of a level gives for its own solution."""
    task = env.tasks("train", level)[0]
    env.reset(seed=0, options={"split": "train", "level": level, "task_id": task.id})
    reward = 0.0
    for turn in env.oracle(task):
        _, reward, terminated, _, _ = env.step(turn)
        if terminated:
            break
    return float(reward)


def right_work_passes(pool: SandboxPool) -> bool:
    rewards = [oracle_reward(env(pool), 1) for env in (CodeFn, CodeDebug, SweLite)]
    return rewards == [1.0, 1.0, 1.0]


@pytest.mark.daily(2, per="pool")
@pytest.mark.parametrize("name", SPOILING)
def test_right_work_passes_after_a_lease_that_spoils_the_sandbox(pool, name):
    with pool.lease() as sandbox:
        assert (
            sandbox.run(["python", "-c", START + ATTACKS[name]], timeout_s=60).exit_code
            == 0
        )
    assert right_work_passes(pool)


def test_right_work_passes_after_an_expression_of_another_episode(pool):
    env = CodeDebug(pool)
    task = env.tasks("train", 0)[0]
    env.reset(seed=0, options={"split": "train", "level": 0, "task_id": task.id})
    env.step(render_call("eval", expression=ACL))
    assert right_work_passes(pool)
    assert oracle_reward(CodeDebug(pool), 0) == 1.0


def test_right_work_passes_after_a_run_of_another_episode(pool):
    env = CodeFn(pool)
    task = env.tasks("train", 1)[0]
    env.reset(seed=0, options={"split": "train", "level": 1, "task_id": task.id})
    env.step(render_call("run", code=f"{ACL}\ndef solve(*a):\n    pass\n"))
    assert right_work_passes(pool)
