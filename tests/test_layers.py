"""The layout as rules: who may import whom, and where a module may stand."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path

import pytest

from evals.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sandboxes", "envs", "scgrpo", "evals")
DATA = ROOT / "envs" / "data"
MAX_MODULES = 16

IMPORTABLE_COMMANDS = {
    "scgrpo.config": "the settings are its records; as a command it prints them",
}
"""Commands that other modules may import, and why."""


@cache
def sources() -> Mapping[str, Path]:
    """Every module of the packages by its dotted name; a package by its own name."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in sorted(paths)
        if DATA not in path.parents
    }


def imported_names(source: str) -> set[str]:
    """Dotted names of everything that a module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            # What is imported from a package may be a module of it.
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def imported_packages(source: str) -> set[str]:
    """First names of everything that a module imports."""
    return {name.partition(".")[0] for name in imported_names(source)}


@cache
def imports() -> Mapping[str, Set[str]]:
    """The modules of ours that each module imports."""
    known = sources()
    return {
        name: (imported_names(path.read_text()) & known.keys()) - {name}
        for name, path in known.items()
    }


def circles(graph: Mapping[str, Set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches all the others by imports."""
    reachable = {name: reached_from(name, graph) for name in graph}
    groups = {
        tuple(sorted(other for other in reached if name in reachable[other]))
        for name, reached in reachable.items()
    }
    return sorted(list(group) for group in groups if len(group) > 1)


def reached_from(name: str, graph: Mapping[str, Set[str]]) -> set[str]:
    """What a module imports, directly or through others."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting.extend(new)
    return reached


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """The result of code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_itself_and_lower_ones(package):
    higher = set(PACKAGES[PACKAGES.index(package) + 1 :])
    modules = {
        name: path
        for name, path in sources().items()
        if name.partition(".")[0] == package
    }
    assert modules
    wrong = {
        name: sorted(imported_packages(path.read_text()) & higher)
        for name, path in modules.items()
    }
    assert {name: packages for name, packages in wrong.items() if packages} == {}


def test_the_import_finder_sees_every_form():
    source = "import a.b\ndef f():\n    from c.d import e\nfrom . import g\nfrom .h import i\n"
    assert imported_packages(source) == {"a", "c"}
    assert imported_names(source) == {"a.b", "c.d", "c.d.e"}


def test_no_modules_import_each_other_in_a_circle():
    # A package that re-exports its parts stands on both sides of them, and hides no dependency.
    packages = {name for name, path in sources().items() if path.stem == "__init__"}
    graph = {
        name: imported - packages
        for name, imported in imports().items()
        if name not in packages
    }
    assert circles(graph) == []


def test_the_search_for_circles_sees_long_and_separate_ones():
    graph = {
        "a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"f", "a"}, "f": {"e"},
    }  # fmt: skip
    assert circles(graph) == [["a", "b", "c"], ["e", "f"]]


def test_no_module_imports_a_command():
    """A command is the top of the tree: what others need of it belongs into a module of its own."""
    commands = {module for module, _ in COMMANDS.values()} - IMPORTABLE_COMMANDS.keys()
    wrong = {name: sorted(imported & commands) for name, imported in imports().items()}
    assert {name: targets for name, targets in wrong.items() if targets} == {}


IMPORT_SETTINGS = """
import sys
import scgrpo.config, scgrpo.settings.help, scgrpo.settings.parse
print(sorted({"torch", "transformers", "scgrpo.update"} & sys.modules.keys()))
"""


def test_the_settings_are_read_without_torch_and_without_the_update():
    done = run_python(IMPORT_SETTINGS)
    assert done.stdout == "[]\n", done.stderr


def test_what_runs_inside_a_sandbox_imports_the_standard_library_alone():
    names = [name for name in sources() if name.startswith("sandboxes.inside")]
    assert len(names) > 5
    wrong = {
        name: sorted(foreign_imports(sources()[name].read_text())) for name in names
    }
    assert {name: foreign for name, foreign in wrong.items() if foreign} == {}


def foreign_imports(source: str) -> Iterator[str]:
    """Imports that a sandbox's own interpreter could not resolve."""
    for name in imported_names(source):
        ours = f"{name}.".startswith("sandboxes.inside.") or name == "sandboxes"
        if not ours and name.partition(".")[0] not in sys.stdlib_module_names:
            yield name


def test_no_folder_has_more_modules_than_a_reader_can_survey():
    counts = Counter(path.parent.relative_to(ROOT) for path in sources().values())
    crowded = {
        str(folder): count for folder, count in counts.items() if count > MAX_MODULES
    }
    assert crowded == {}


def test_the_folders_of_tests_are_those_of_the_packages():
    folders = [path for path in (ROOT / "tests").rglob("*") if path.is_dir()]
    mirrored = [
        folder.relative_to(ROOT / "tests")
        for folder in folders
        if any(folder.glob("*.py"))
    ]
    assert len(mirrored) > len(PACKAGES)
    assert [str(path) for path in mirrored if not (ROOT / path).is_dir()] == []


def test_consoles_and_columns_of_text_are_made_in_one_place():
    """Rich's own read names in square brackets as markup."""
    paths = [*sources().values(), *(ROOT / "benchmarks").rglob("*.py")]
    wrong = {
        str(path.relative_to(ROOT))
        for path in paths
        if path != ROOT / "sandboxes" / "terminal.py"
        and calls(path.read_text()) & {"Console", "TextColumn", "from_markup"}
    }
    assert wrong == set()


def calls(source: str) -> set[str]:
    """Last names of everything that a module calls."""
    functions = [
        node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)
    ]
    return {getattr(f, "id", "") or getattr(f, "attr", "") for f in functions}


def test_the_call_finder_sees_both_forms():
    assert calls("rich.Console(a)\nTextColumn('x')") == {"Console", "TextColumn"}


IMPORT_ALL = """
import importlib, pkgutil, sys

from importlib.util import find_spec

# Each wants a package of an extra, and is imported by whoever has it.
extras = {
    "envs.interop.openenv_server": "openenv",
    "envs.interop.verifiers_tasks": "verifiers",
}
missing = [name for name, extra in extras.items() if find_spec(extra) is None]

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "vllm", "peft", "ray"):
            raise ImportError(f"{name} must not be imported here")

sys.meta_path.insert(0, Refuse())
count = 0
for package in ("sandboxes", "envs"):
    waiting = [package]
    while waiting:
        name = waiting.pop()
        if name in missing:
            continue
        module = importlib.import_module(name)
        count += 1
        for inner in pkgutil.iter_modules(getattr(module, "__path__", ())):
            if name != "envs.data":
                waiting.append(f"{name}.{inner.name}")
importlib.import_module("scgrpo.policies.scripted")
print(count)
"""


def test_environments_and_sandboxes_import_without_model_libraries():
    done = run_python(IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


IMPORT_ENVS = """
import sys
import envs
import gymnasium
ours = {k: v.entry_point for k, v in gymnasium.registry.items() if k.startswith("scgrpo/")}
print(len(ours), all(isinstance(entry_point, str) for entry_point in ours.values()))
heavy = {"torch", "docker", "rich", "sandboxes"} & sys.modules.keys()
deep = [name for name in sys.modules if name.startswith("envs.") and name.count(".") > 1]
print(sorted(heavy), deep)
"""


def test_importing_the_environments_registers_their_names_and_imports_none_of_them():
    done = run_python(IMPORT_ENVS)
    assert done.stdout == "31 True\n[] []\n", done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_ours(package):
    done = run_python(f"import {package}; print({package}.__file__)")
    assert Path(done.stdout.strip()) == ROOT / package / "__init__.py", done.stderr
