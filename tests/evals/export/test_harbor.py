"""Harbor tasks: what the agent's container holds, and that the reward follows the repair."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs import registry
from envs.base import TextEnv
from envs.code.fn.tasks import calls_of, reference
from envs.code.observe import encode
from envs.code.swe_lite.tasks import rows_in
from envs.types import Task
from evals.export.harbor import IMAGE, main, write_task


def make_env(name: str) -> TextEnv:
    env = registry.make(name).unwrapped
    assert isinstance(env, TextEnv)
    return env


@pytest.fixture
def env() -> TextEnv:
    return make_env("swe_lite")


@pytest.fixture
def functions() -> TextEnv:
    return make_env("code_fn")


def first(env: TextEnv, level: int, start: str, split: str = "id") -> Task:
    """The first task whose id begins so behind its split and level."""
    begin = f"{split}/{level}/{start}"
    return next(task for task in env.tasks(split, level) if task.id.startswith(begin))


def reward_of(task: Path, app: Path, scratch: Path) -> str:
    """The reward that the task's own grader gives to a folder."""
    reward = scratch / "logs" / "reward.txt"
    grader = str(task / "tests" / "grade.py")
    # The interpreter of these tests may lie in a folder that no other user can read; without site
    # packages, since a container has no copy of this project.
    command = [sys.executable, "-S", "-E", grader, str(app), str(reward), "--same-user"]
    own = {**os.environ, "TMPDIR": str(scratch)}
    subprocess.run(command, check=True, capture_output=True, timeout=100, env=own)
    assert not processes_of(str(scratch))
    return reward.read_text()


def processes_of(home: str) -> list[str]:
    """Processes whose home folder lies in this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"HOME={home}".encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.fixture
def task(env: TextEnv, tmp_path: Path) -> Path:
    return write_task(tmp_path / "out", env, first(env, 2, "lru"), IMAGE)


@pytest.mark.parametrize("level", [0, 2, 4])
def test_hidden_tests_and_answers_stay_out_of_the_environment(env, tmp_path, level):
    for source in env.tasks("id", level)[:20]:
        folder = write_task(tmp_path, env, source, IMAGE)
        shown = {
            path.name: path
            for path in (folder / "environment").rglob("*")
            if path.is_file()
        }
        seen = "\n".join(path.read_text() for path in shown.values())
        assert {"Dockerfile", "hide.py"} < set(shown)
        for row in rows_in(source):
            assert shown[row.package.file].read_text() == row.broken != row.package.text
            for hidden in row.package.hidden_ids:
                assert f"def {hidden.rpartition('.')[2]}(" not in _class(seen, hidden)
            kept = (folder / "tests" / "right" / row.package.test_file).read_text()
            assert kept == row.package.tests


def _class(text: str, test: str) -> str:
    """The part of test files that is about the class of a test."""
    _, _, rest = text.partition(f"class {test.partition('.')[0]}(")
    return rest.partition("\nclass ")[0]


def test_its_settings_are_toml_that_names_the_task(task, env):
    said = tomllib.loads((task / "task.toml").read_text())
    source = first(env, 2, "lru")
    assert said["task"]["name"] == f"scgrpo/{task.name}"
    assert said["metadata"]["content_hash"] == source.content_hash
    assert said["metadata"]["task"] == source.id
    assert source.prompt in (task / "instruction.md").read_text()
    assert (task / "tests" / "test.sh").stat().st_mode & 0o111


def test_a_link_to_the_right_code_is_none(task, tmp_path):
    """It dangles until the tests are uploaded, which bring the right code."""
    module = task / "environment" / "app" / "lru.py"
    module.unlink()
    module.symlink_to(task / "tests" / "right" / "lru.py")
    assert reward_of(task, task / "environment" / "app", tmp_path) == "0\n"


CASES = (
    ("swe_lite", "id", 2, "lru"),
    ("swe_lite", "id", 4, ""),
    ("code_fn", "id", 2, ""),
    ("code_fn", "ood/domain", 2, ""),
)
PATCH = """
import unittest
unittest.TestCase.run = lambda self, result: result.startTest(self) or result.stopTest(self)
"""


@pytest.mark.parametrize(("name", "split", "level", "start"), CASES)
def test_the_given_code_that_patches_the_test_runner_gets_0(
    tmp_path, name, split, level, start
):
    env = make_env(name)
    folder = write_task(tmp_path, env, first(env, level, start, split), IMAGE)
    app = folder / "environment" / "app"
    for right in (folder / "solution").glob("*.py"):
        module = app / right.name
        module.write_text(module.read_text() + PATCH)
    assert reward_of(folder, app, tmp_path) == "0\n"


def test_the_grader_tells_the_repair_from_what_is_none(task, tmp_path):
    app = task / "environment" / "app"
    module = app / "lru.py"
    assert reward_of(task, app, tmp_path) == "0\n"
    right = (task / "solution" / "lru.py").read_text()
    (app / "test_lru.py").write_text("")
    module.write_text(right)
    assert reward_of(task, app, tmp_path) == "1\n"
    for wrong in ("", "import os\n" + right, "]"):
        module.write_text(wrong)
        assert reward_of(task, app, tmp_path) == "0\n"
    module.unlink()
    assert reward_of(task, app, tmp_path) == "0\n"


def test_a_repair_that_does_not_end_gets_0_at_the_deadline(task, tmp_path):
    expected = task / "tests" / "expected.json"
    expected.write_text(
        json.dumps({**json.loads(expected.read_text()), "timeout_s": 3})
    )
    app = task / "environment" / "app"
    right = (task / "solution" / "lru.py").read_text()
    (app / "lru.py").write_text(right + "\nwhile True:\n    pass\n")
    assert reward_of(task, app, tmp_path) == "0\n"


@pytest.mark.parametrize(
    ("split", "level"), [("id", 0), ("ood/surface", 3), ("ood/domain", 1)]
)
def test_hidden_calls_and_the_function_stay_out_of_the_environment(
    functions, tmp_path, split, level
):
    for task in functions.tasks(split, level)[:20]:
        folder = write_task(tmp_path, functions, task, IMAGE)
        app = folder / "environment" / "app"
        seen = "\n".join(path.read_text() for path in app.iterdir())
        right = (folder / "solution" / "solution.py").read_text()
        judge = json.loads((folder / "tests" / "expected.json").read_text())["modules"][
            "solution"
        ]
        assert right == reference(task)
        assert right not in seen
        for call in (
            calls_of(task, hidden=True).keys() - calls_of(task, hidden=False).keys()
        ):
            assert call not in seen
            arguments = ast.literal_eval(call.removeprefix(judge["entry"])[:-1] + ",)")
            assert encode([*arguments]) in judge["arguments"]
        assert (app / "test_solution.py").exists() == bool(calls_of(task, hidden=False))
        assert task.prompt in (folder / "instruction.md").read_text()


@pytest.mark.parametrize(("split", "level"), [("id", 2), ("ood/domain", 2)])
def test_the_grader_tells_the_function_from_what_is_none(
    functions, tmp_path, split, level
):
    folder = write_task(
        tmp_path / "out", functions, first(functions, level, "", split), IMAGE
    )
    app = folder / "environment" / "app"
    solution = app / "solution.py"
    right = (folder / "solution" / "solution.py").read_text()
    assert reward_of(folder, app, tmp_path) == "0\n"
    for text in (right, "import os\nfor _ in range(1): pass\n" + right):
        solution.write_text(text)
        assert reward_of(folder, app, tmp_path) == "1\n"
    for text in ("", "def solve(xs):\n    return xs\n", "]", "raise KeyboardInterrupt"):
        solution.write_text(text)
        assert reward_of(folder, app, tmp_path) == "0\n"


def test_all_functions_get_1_and_all_beginnings_0(functions, tmp_path):
    """One of each split and level; HumanEval's whole is in the sandbox's own tests."""
    for split in functions.splits:
        for level in functions.levels:
            folder = write_task(
                tmp_path, functions, first(functions, level, "", split), IMAGE
            )
            assert reward_of(folder, folder / "solution", tmp_path) == "1\n"
            assert reward_of(folder, folder / "environment" / "app", tmp_path) == "0\n"


def test_the_command_writes_as_many_as_asked_and_refuses_what_is_not_there(
    tmp_path, capsys
):
    main(["swe_lite", "--level", "2", "--tasks", "2", "--out", str(tmp_path / "x")])
    assert len(list((tmp_path / "x").iterdir())) == 2
    for extra, sentence in (
        (["swe_lite", "--split", "train "], "got --split train "),
        (
            ["swe_lite", "--level", "9"],
            "got --level 9, expected one of swe_lite's: 0, 1, 2, 3, 4",
        ),
        (
            ["swe_lite", "--tasks", "0"],
            "argument --tasks: got '0', expected a whole number from 1",
        ),
        (
            ["toy_guess", "--level", "0"],
            "toy_guess has no export, expected one of code_fn, swe_lite",
        ),
        (
            ["swe_lite", "--level", "2", "--tasks", "2", "--out", str(tmp_path / "x")],
            "exists",
        ),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(
                [*extra, *([] if "--out" in extra else ["--out", str(tmp_path / "y")])]
            )
        assert stopped.value.code == 2
        assert sentence in capsys.readouterr().err


@pytest.fixture(scope="module")
def base() -> Iterator[tuple[Any, str]]:
    """An engine, and an image with Python, a shell and `cp` of this machine."""
    docker = pytest.importorskip("docker")
    from sandboxes.image.base_image import (
        add_file,
        add_link,
        base_archive,
        library_dependencies,
    )

    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    buffer = io.BytesIO(base_archive())
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        there = set(archive.getnames())
        programs = [Path("/usr/bin/dash"), Path("/usr/bin/cp")]
        for path in sorted({*programs, *library_dependencies(programs)}):
            if str(path).lstrip("/") not in there:
                add_file(archive, path)
        add_link(archive, "bin/sh", "/usr/bin/dash")
    client.api.import_image_from_data(buffer.getvalue(), "scgrpo-harbor-test", "base")
    yield client, "scgrpo-harbor-test:base"
    client.images.remove("scgrpo-harbor-test:base", force=True)
    client.close()


@pytest.mark.docker
@pytest.mark.parametrize(
    ("name", "split", "level", "start"), [*CASES, ("swe_lite", "id", 2, "colorsys")]
)
def test_in_a_container_the_solution_gets_1_and_the_given_code_0(
    base, tmp_path, name, split, level, start
):
    from docker.errors import ContainerError

    client, image = base
    env = make_env(name)
    folder = write_task(tmp_path, env, first(env, level, start, split), image)
    built, _ = client.images.build(
        path=str(folder / "environment"), network_mode="none", rm=True, forcerm=True
    )
    try:
        assert _reward(client, built, folder, solved=True) == "1"
        assert _reward(client, built, folder, solved=False) == "0"
        # The right module is in no library of the container, either.
        names = [path.stem for path in (folder / "solution").glob("*.py")]
        for name in names:
            with pytest.raises(ContainerError, match="ModuleNotFoundError"):
                client.containers.run(
                    built.id, ["python3", "-I", "-c", f"import {name}"], remove=True
                )
    finally:
        client.images.remove(built.id, force=True)


def _reward(client: Any, image: Any, folder: Path, *, solved: bool) -> str:
    """What Harbor does: start, solve, upload the tests, run them, read the file."""
    command = ["python3", "-c", "import time; time.sleep(600)"]
    box = client.containers.run(image.id, command, detach=True, network_mode="none")
    try:
        if solved:
            _upload(box, folder / "solution")
            done = box.exec_run(["sh", "/solution/solve.sh"])
            assert done.exit_code == 0, done.output
        assert box.exec_run(["sh", "-c", "[ -e /tests ]"]).exit_code == 1
        _upload(box, folder / "tests")
        done = box.exec_run(["/tests/test.sh"])
        assert done.exit_code == 0, done.output
        stream, _ = box.get_archive("/logs/verifier/reward.txt")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            said = archive.extractfile("reward.txt")
            assert said is not None
            return said.read().decode().strip()
    finally:
        box.remove(force=True)


def _upload(box: Any, folder: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, arcname=folder.name)
    assert box.put_archive("/", buffer.getvalue())
