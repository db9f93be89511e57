"""An environment's identity: its id, and a digest of all code that an episode ran."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from envs import registry
from envs.code.debug.env import CodeDebug
from envs.code.swe_lite.env import SweLite
from envs.identity import (
    _Imports,
    _modules_of,
    _project_files,
    _source,
    code_digest,
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


def own_class(folder: Path, module: str, monkeypatch) -> type:
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(module).Own


def unlike(env_class: type, files: Iterable[Path]) -> list[str]:
    """The names of the files whose change leaves the digest as it was."""
    before, names = _source(env_class), []
    for file in files:
        after = digest_after_change(env_class, file)
        if after == before:
            names.append(file.name)
        before = after
    return names


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [folder / name for name in files]


def test_it_follows_what_a_lone_module_imports_and_names(tmp_path, monkeypatch):
    files = write(
        tmp_path,
        {
            "lone_env.py": "import json\nimport lone_helper\nfrom lone_numbers import SCALE\n"
            f"{ENV}    words = 'lone_words.txt'\n"
            "    def late(self):\n        from lone_late import late\n"
            "        import importlib\n        return importlib.import_module('lone_named')\n",
            "lone_helper.py": "from lone_deep.inner import deep\n",
            "lone_numbers.py": "SCALE = 1\n",
            "lone_deep/__init__.py": "",
            "lone_deep/inner.py": "from . import sibling\ndeep = sibling\n",
            "lone_deep/sibling.py": "",
            "lone_late.py": "",
            "lone_named.py": "",
            "lone_words.txt": "words\n",
        },
    )
    others = write(tmp_path, {"unused.py": "", "notes.txt": "", "data.csv": ""})
    own = own_class(tmp_path, "lone_env", monkeypatch)
    assert unlike(own, files) == []
    assert unlike(own, others) == ["unused.py", "notes.txt", "data.csv"]


def test_it_follows_a_package_with_its_data_and_no_caches(tmp_path, monkeypatch):
    package = tmp_path / "whole_package"
    files = write(
        package,
        {
            "__init__.py": "",
            "env.py": f"from whole_package.judge import rules\n{ENV}",
            "judge/__init__.py": "",
            "judge/rules.py": "",
            "data/words.txt": "words\n",
        },
    )
    others = write(
        package, {"__pycache__/env.pyc": "", ".cache/x": "", "cli/main.py": ""}
    )
    own = own_class(tmp_path, "whole_package.env", monkeypatch)
    assert unlike(own, files) == []
    assert unlike(own, others) == ["env.pyc", "x", "main.py"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder of installed packages, of which one distribution has two top-level packages."""
    folder = tmp_path / "site-packages"
    own = {
        "acme_env/__init__.py": "",
        "acme_env/env.py": f"import acme_lib\nimport other_lib\n{ENV}",
        "acme_lib/__init__.py": "from acme_lib import score\n",
        "acme_lib/score.py": "",
    }
    metadata = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n"
    others = {
        "other_lib.py": "",
        "acme-1.0.dist-info/METADATA": metadata.format("acme"),
        "acme-1.0.dist-info/top_level.txt": "acme_env\nacme_lib\n",
        "other-1.0.dist-info/METADATA": metadata.format("other"),
        "other-1.0.dist-info/top_level.txt": "other_lib\n",
    }
    files = write(folder, own)
    write(folder, others)
    return own_class(folder, "acme_env.env", monkeypatch), folder, files


def test_it_follows_the_distribution_of_an_installed_environment(installed):
    own, folder, files = installed
    assert unlike(own, files) == []
    assert unlike(own, [folder / "other_lib.py"]) == ["other_lib.py"]


def test_it_follows_the_version_of_what_is_installed(installed):
    own, folder, _ = installed
    before = _source(own)
    about = folder / "other-1.0.dist-info/METADATA"
    about.write_text(about.read_text().replace("1.0", "1.1"))
    _source.cache_clear()
    assert _source(own) != before


def test_a_class_without_a_file_never_has_the_digest_of_another(monkeypatch):
    module = ModuleType("in_a_notebook")
    monkeypatch.setitem(sys.modules, "in_a_notebook", module)
    classes = []
    for _ in range(2):
        exec(ENV, vars(module))
        classes.append(vars(module)["Own"])
    assert _source(classes[0]) != _source(classes[1])
    assert _source(classes[0]) == _source(classes[0])


def test_it_covers_the_sandbox_and_the_data_with_all_their_files():
    names = _project_files().keys()
    assert {
        "sandboxes/inside/runner.py",
        "sandboxes/inside/hidden_modules.txt",
        "sandboxes/image/Dockerfile",
        "envs/data/swe_lite/tasks.jsonl.gz",
        "envs/data/tool_files/bfcl_broken.json",
    } <= names
    assert not [name for name in names if "__pycache__" in name or "catalogue" in name]


def test_our_environments_bring_what_they_import_and_no_attacks():
    files = _Imports([part.__module__ for part in SweLite.__mro__]).files
    assert {
        "envs/toolspec/calls.py",
        "envs/parsing.py",
        "sandboxes/base.py",
    } <= files.keys()
    assert not [name for name in files if "attack" in name or "scgrpo/" in name]


def test_an_environment_is_known_wrapped_or_not():
    env = registry.make("toy_guess")
    assert code_digest(env) == code_digest(env.unwrapped) == identity(env).source
