"""Agents with a shell work on files: what they find, and the verdict on what they leave."""

import shutil
from collections.abc import Iterator

import pytest

from envs.code.file_tasks import FileTasks
from envs.code.swe_lite.env import SweLite
from envs.code.swe_lite.tasks import rows_in
from envs.types import Task
from sandboxes import SandboxConfig, open_pool


@pytest.fixture(scope="module")
def env() -> Iterator[SweLite]:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    with open_pool(SandboxConfig(backend="local", size=1)) as pool:
        yield SweLite(pool)


def start(env: SweLite, level: int, index: int = 0) -> Task:
    task = env.tasks("train", level)[index]
    env.reset(options={"split": "train", "level": level, "task_id": task.id})
    return task


def test_the_environment_has_tasks_of_files():
    assert isinstance(SweLite(), FileTasks)


@pytest.mark.parametrize("level", [0, 1, 4])
def test_an_agent_finds_the_broken_modules_and_the_visible_tests(level):
    env = SweLite()
    task = start(env, level)
    files = env.files()
    sources = env.workspace.sources
    assert set(files) == {*sources, *(s.test_file for s in sources.values())}
    for row in rows_in(task):
        assert files[row.package.file] == row.broken
    for source in sources.values():
        assert files[source.test_file] == source.visible != source.tests
    assert set(env.editable()) == set(sources)


def test_the_prompt_names_files_and_commands_and_no_tool_of_the_environment():
    env = SweLite()
    task = start(env, 1)
    prompt = env.agent_prompt()
    assert prompt.startswith(task.prompt)
    assert f"python -m unittest {env.workspace.source.test_file}" in prompt
    assert not {"submit", "run_tests", "apply("} & set(prompt.split())


def test_repaired_files_pass_and_others_do_not(env):
    task = start(env, 1)
    (row,) = rows_in(task)
    path = row.package.file
    verdict = env.grade_files({path: row.with_lines(row.right)})
    assert verdict.passed, verdict.detail
    assert not env.grade_files({path: row.broken}).passed
    assert not env.grade_files({path: "not python("}).passed
    assert not env.grade_files({path: ""}).passed


def test_a_repository_passes_with_all_of_its_bugs_repaired(env):
    task = start(env, 4)
    texts = {path: env.files()[path] for path in env.editable()}
    first, second = rows_in(task)
    texts[first.package.file] = first.with_lines(first.right)
    assert not env.grade_files(texts).passed
    texts[second.package.file] = second.with_lines(second.right)
    assert env.grade_files(texts).passed
