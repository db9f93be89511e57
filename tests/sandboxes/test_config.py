"""The choice of a backend: by name, by a dotted path, and never plain processes by accident."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes import ExecResult, SandboxConfig, SandboxError, open_pool
from sandboxes.backends import bubblewrap, docker, unsafe
from sandboxes.config import BACKENDS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"backend": "dcoker"},
            "expected one of auto, docker, local, shell, unsafe, or my_package",
        ),
        ({"backend": "my-package:open_pool"}, "expected one of auto, docker"),
        ({"backend": "my_package.my_module"}, "expected one of auto, docker"),
        ({"backend": "unsafe"}, "allow_unsafe=true"),
        ({"backend": "fake"}, "FakePool"),
        ({"size": -1}, "expected 0 or more"),
        ({"hosts": ("engine:2375",)}, "expected unix:///path or tcp://address:port"),
        ({"hosts": ("ssh://me@there",)}, "ssh -N -L /tmp/engine.sock:.* me@there"),
        (
            {"hosts": ("tcp://127.0.0.1:1",), "backend": "local"},
            "expected backend=docker",
        ),
    ],
)
def test_a_wrong_setting_says_what_is_expected(config, words):
    with pytest.raises(ValueError, match=words):
        SandboxConfig(**config)


def test_the_size_is_the_settings_and_by_default_twice_the_cores_up_to_eight(
    monkeypatch,
):
    assert SandboxConfig(size=3).resolved_size == 3
    for cores, size in ((1, 2), (3, 6), (64, 8), (None, 2)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert SandboxConfig().resolved_size == size


def test_a_pool_has_the_resolved_size(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    with open_pool(SandboxConfig(backend="unsafe", allow_unsafe=True)) as pool:
        assert pool.description.startswith("unsafe: 6 plain processes")


def test_a_machine_without_any_backend_says_what_to_install_and_runs_nothing(
    monkeypatch,
):
    monkeypatch.setattr(docker, "available", lambda hosts=(): "no engine answers")
    monkeypatch.setattr(bubblewrap, "available", lambda: "bubblewrap is not installed")
    with pytest.raises(
        SandboxError, match="no engine answers.*not installed.*Install Docker or"
    ):
        open_pool(SandboxConfig(allow_unsafe=True))


def test_auto_says_why_it_is_not_docker(monkeypatch):
    monkeypatch.setattr(docker, "available", lambda hosts=(): "no engine answers")
    monkeypatch.setattr(bubblewrap, "available", lambda: "")
    with open_pool() as pool:
        assert pool.description.startswith("local:")
        assert pool.description.endswith("since docker: no engine answers")


def test_auto_does_not_take_this_machine_if_hosts_are_named(monkeypatch):
    monkeypatch.setattr(docker, "available", lambda hosts=(): f"{hosts[0]}: silent")
    monkeypatch.setattr(bubblewrap, "available", lambda: "")
    with pytest.raises(SandboxError, match="tcp://127.0.0.1:1: silent"):
        open_pool(SandboxConfig(hosts=("tcp://127.0.0.1:1",)))


PLUGGED_IN = '''
"""A backend that no module of the project knows."""

from sandboxes import ExecResult, SandboxConfig, SandboxPool
from sandboxes.backends.fake import FakePool


def open_pool(size: int, config: SandboxConfig) -> SandboxPool:
    text = f"{size} {config.backend}".encode()
    return FakePool(lambda argv, files, stdin: ExecResult(0, text, b""))


NOT_A_FUNCTION = 1
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of a package outside this project that has a backend."""
    package = tmp_path / "outside_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "remote.py").write_text(PLUGGED_IN)
    monkeypatch.syspath_prepend(tmp_path)
    yield package.name
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def test_a_backend_from_outside_is_plugged_in_by_its_dotted_path(outside):
    path = f"{outside}.remote:open_pool"
    with (
        open_pool(SandboxConfig(backend=path, size=5)) as pool,
        pool.lease() as sandbox,
    ):
        result = sandbox.run(["python", "-c", "1"], timeout_s=1)
    assert result == ExecResult(0, f"5 {path}".encode(), b"")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("remote:open_pool_2", "open_pool_2"),
        ("missing:open_pool", "No module named"),
        ("remote:NOT_A_FUNCTION", "not a function"),
    ],
)
def test_a_backend_that_cannot_be_loaded_is_named_with_those_that_can(
    outside, path, words
):
    with pytest.raises(ValueError, match=words) as caught:
        open_pool(SandboxConfig(backend=f"{outside}.{path}"))
    assert "expected one of auto, docker, local, shell, unsafe, or" in str(caught.value)


@pytest.mark.parametrize(
    "path", ["sandboxes.backends.unsafe:open_pool", "sandboxes.backends.unsafe:start"]
)
@pytest.mark.parametrize("allow_unsafe", [False, True])
def test_a_dotted_path_is_no_way_around_the_names(path, allow_unsafe):
    with pytest.raises(ValueError, match="a module of this project"):
        SandboxConfig(backend=path, allow_unsafe=allow_unsafe)


def test_plain_processes_refuse_a_configuration_that_does_not_allow_them():
    """Also if something else than `open_pool` calls them."""
    with pytest.raises(ValueError, match="allow_unsafe"):
        unsafe.open_pool(1, SandboxConfig())


NO_BACKEND = """
import sys
from sandboxes import SandboxConfig, SandboxError, open_pool
from sandboxes.config import BACKENDS
for backend in BACKENDS:
    if backend == "unsafe":
        continue
    try:
        print(backend, open_pool(SandboxConfig(backend=backend, allow_unsafe=True)).description)
    except SandboxError as error:
        print(backend, "refused")
print("sandboxes.backends.unsafe" in sys.modules)
"""


def test_where_nothing_isolates_no_backend_but_unsafe_itself_runs_plain_processes(
    tmp_path,
):
    """On a machine without engine and bubblewrap, and with leave to be unsafe."""
    bare = {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = subprocess.run(
        [sys.executable, "-c", NO_BACKEND],
        env={**os.environ, **bare},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (
        done.stdout
        == "auto refused\ndocker refused\nlocal refused\nshell refused\nFalse\n"
    ), done.stderr


def test_plain_processes_are_reached_from_one_place_alone():
    """The entry of `BACKENDS` for `unsafe`, a name that needs `allow_unsafe`."""
    ways = []
    for package in ("sandboxes", "envs", "scgrpo", "evals", "benchmarks", "examples"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_bytes()
            if b"unsafe" in text:
                for way in ways_to_unsafe(ast.parse(text)):
                    ways.append(f"{path.relative_to(ROOT)}: {way}")
    assert ways == ["sandboxes/config.py: BACKENDS['unsafe']"]
    others = [path for name, path in BACKENDS.items() if name != "unsafe"]
    assert not any("unsafe" in path for path in others)


def ways_to_unsafe(tree: ast.Module) -> Iterator[str]:
    """Where a module names `sandboxes.backends.unsafe`, in an import or a text, by any name."""
    entries = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if isinstance(key, ast.Constant):
                    name = f"{ast.unparse(node.targets[0])}[{key.value!r}]"
                    entries[value] = name
    for node in ast.walk(tree):
        if any("sandboxes.backends.unsafe" in name for name in names_in(node)):
            yield entries.get(node, f"line {getattr(node, 'lineno', 0)}")
        elif isinstance(node, ast.Attribute) and node.attr == "unsafe":
            yield f"line {node.lineno}"


def names_in(node: ast.AST) -> list[str]:
    """Modules that a node names in full, in an import or in a text."""
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or "sandboxes"
        return [module, *(f"{module}.{name.name}" for name in node.names)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return []


@pytest.mark.parametrize(
    ("source", "way"),
    [
        ("BACKENDS = {'unsafe': 'sandboxes.backends.unsafe:open_pool'}", "BACKENDS"),
        ("OTHERS = {'x': 'sandboxes.backends.unsafe:start'}", "OTHERS['x']"),
        ("import sandboxes.backends.unsafe as u", "line 1"),
        ("from sandboxes.backends.unsafe import start", "line 1"),
        ("def f():\n    from sandboxes.backends import unsafe as u", "line 2"),
        ("f('sandboxes.backends.unsafe')", "line 1"),
        ("from sandboxes import backends\nbackends.unsafe.start()", "line 2"),
    ],
)
def test_the_search_for_ways_to_plain_processes_sees_every_form(source, way):
    ways = list(ways_to_unsafe(ast.parse(source)))
    assert len(ways) == 1
    assert ways[0].startswith(way)


def test_the_protocol_is_imported_without_a_backend_or_its_libraries():
    code = (
        "import sys; from sandboxes import Sandbox, SandboxConfig, open_pool\n"
        "heavy = {'docker', 'requests', 'rich', 'yaml', 'gymnasium'} & set(sys.modules)\n"
        "print(heavy, [name for name in sys.modules if 'sandboxes.backends' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "set() []\n", done.stderr
