"""An environment's identity: its id, and a digest of all code that an episode ran."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from envs import registry
from envs.code.debug.env import CodeDebug
from envs.code.swe_lite.env import SweLite
from envs.identity import (
    _imported_by,
    _modules_of,
    _sandbox_files,
    _source,
    identity,
)
from envs.tool_env import ToolEnv

ENV = "from envs.toy.guess import ToyGuess\nclass Own(ToyGuess):\n    pass\n"


def digest_after_change(env_class: type, path: Path) -> str:
    path.write_text(path.read_text() + "# another one\n")
    _source.cache_clear()
    return _source(env_class)


def test_the_identity_changes_with_the_code_and_not_with_the_instance(
    tmp_path, monkeypatch
):
    first, second = registry.make("toy_guess"), registry.make("toy_guess")
    assert identity(first) == identity(second)
    assert identity(first).env == "scgrpo/toy_guess-v0"
    module = tmp_path / "own_env.py"
    module.write_text(ENV)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = importlib.import_module("own_env").Own
    before = _source(own)
    assert digest_after_change(own, module) != before


def test_it_follows_shared_code_of_the_family_and_no_build_command(
    tmp_path, monkeypatch
):
    family = tmp_path / "own_package" / "family"
    for folder in (family / "quiz" / "build", family / "riddle"):
        folder.mkdir(parents=True)
    for file in ("quiz/tasks.py", "quiz/build/main.py", "shared.py", "riddle/env.py"):
        (family / file).write_text("")
    (family / "quiz" / "env.py").write_text(ENV)
    outside = family.parent / "command.py"
    outside.write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    own = importlib.import_module("own_package.family.quiz.env").Own

    before = _source(own)
    assert digest_after_change(own, family / "quiz" / "build" / "main.py") == before
    assert digest_after_change(own, outside) == before
    for file in ("quiz/env.py", "quiz/tasks.py", "shared.py", "riddle/env.py"):
        after = digest_after_change(own, family / file)
        assert after != before
        before = after


@pytest.mark.parametrize("env_class", [SweLite, CodeDebug])
def test_code_environments_cover_what_judges_them(env_class: type):
    names = {name for name, _ in _modules_of(env_class)}
    shared = (
        "driver",
        "evidence",
        "observe",
        "values",
        "vet",
        "vet_names",
        "vet_tables",
    )
    assert names >= {f"envs/code/{name}.py" for name in (*shared, "witness", "testing")}
    assert {"envs/code/bugs/mutate.py", "envs/code/swe_lite/grading.py"} <= names
    assert not [name for name in names if "/build/" in name]


def test_a_base_class_brings_the_modules_of_its_folder_alone():
    names = {name for name, _ in _modules_of(ToolEnv)}
    assert {"envs/base.py", "envs/tool_env.py", "envs/rollout.py"} <= names
    assert all(name.count("/") == 1 for name in names)


def test_it_follows_what_an_environment_from_outside_imports(tmp_path, monkeypatch):
    helper, deeper = tmp_path / "own_helper.py", tmp_path / "own_deeper.py"
    deeper.write_text("SCALE = 1\ndef scale():\n    return SCALE\n")
    helper.write_text("from own_deeper import scale\n")
    (tmp_path / "own_judged_env.py").write_text(
        f"import json\nimport own_helper\n{ENV}"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = importlib.import_module("own_judged_env").Own
    before = _source(own)
    for file in (helper, deeper):
        after = digest_after_change(own, file)
        assert after != before
        before = after


def test_it_covers_the_sandbox_and_no_installed_package():
    _source.cache_clear()
    names = set(_sandbox_files())
    assert {"sandboxes/inside/runner.py", "sandboxes/client/lease.py"} <= names
    assert list(_imported_by(SweLite)) == []
