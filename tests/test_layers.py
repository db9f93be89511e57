"""Dependencies run one way, and environments need no model library."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("sandboxes", "envs", "scgrpo", "evals")
DATA = ROOT / "envs" / "data"


def imported_packages(source: str) -> set[str]:
    """First names of everything that a module imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_itself_and_lower_ones(package):
    higher = set(PACKAGES[PACKAGES.index(package) + 1 :])
    modules = [
        path for path in (ROOT / package).rglob("*.py") if DATA not in path.parents
    ]
    assert modules
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in modules
        if (found := imported_packages(path.read_text()) & higher)
    }
    assert not wrong


def test_the_import_finder_sees_every_form():
    source = "import a.b\ndef f():\n    from c.d import e\nfrom . import g\nfrom .h import i\n"
    assert imported_packages(source) == {"a", "c"}


IMPORT_ALL = """
import importlib, pkgutil, sys

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
        module = importlib.import_module(name)
        count += 1
        for inner in pkgutil.iter_modules(getattr(module, "__path__", ())):
            if name != "envs.data":
                waiting.append(f"{name}.{inner.name}")
importlib.import_module("scgrpo.policies.scripted")
print(count)
"""


def test_environments_and_sandboxes_import_without_model_libraries():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


def test_importing_the_environments_registers_nothing():
    code = "import gymnasium, envs.registry; print([i for i in gymnasium.registry if 'scgrpo' in i])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_ours(package):
    code = f"import {package}; print({package}.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert Path(done.stdout.strip()) == ROOT / package / "__init__.py", done.stderr
