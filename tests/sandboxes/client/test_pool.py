"""The choice of a backend, and leases among many users."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes import (
    Isolation,
    Sandbox,
    SandboxConfig,
    SandboxError,
    SandboxPool,
    open_pool,
)
from sandboxes.backends import bubblewrap
from sandboxes.backends import docker as docker_backend
from sandboxes.client.pool import StreamPool

UNSAFE = SandboxConfig(backend="unsafe", allow_unsafe=True, size=1)
HELLO = ["python", "-c", "print('hello')"]
ROOT = Path(__file__).resolve().parents[3]


def unsafe(size: int) -> SandboxPool:
    return open_pool(SandboxConfig(backend="unsafe", allow_unsafe=True, size=size))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"backend": "dcoker"}, "wanted one of auto, docker"),
        ({"backend": "unsafe"}, "allow_unsafe=true"),
        ({"backend": "fake"}, "FakePool"),
        ({"size": -1}, "wanted 0 or more"),
    ],
)
def test_a_wrong_setting_says_what_is_wanted(config, words):
    with pytest.raises(ValueError, match=words):
        SandboxConfig(**config)


def test_a_machine_without_any_backend_says_what_to_install_and_runs_nothing(
    monkeypatch,
):
    monkeypatch.setattr(
        docker_backend, "available", lambda hosts=(): "no engine answers"
    )
    monkeypatch.setattr(bubblewrap, "available", lambda: "bubblewrap is not installed")
    with pytest.raises(
        SandboxError, match="no engine answers.*not installed.*Install Docker or"
    ):
        open_pool(SandboxConfig(allow_unsafe=True))


NO_BACKEND = """
import sys
from sandboxes import SandboxConfig, SandboxError, open_pool
for backend in ("auto", "docker", "local"):
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
    assert done.stdout == "auto refused\ndocker refused\nlocal refused\nFalse\n", (
        done.stderr
    )


def test_plain_processes_are_reached_from_one_place_alone():
    """The branch of `open_pool` that is taken for `backend=unsafe`."""
    found = []
    for package in ("sandboxes", "envs", "scgrpo", "evals", "benchmarks", "examples"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if b"unsafe" in (text := path.read_bytes()):
                ways = ways_to_unsafe(ast.parse(text))
                found += [f"{path.relative_to(ROOT)}: {way}" for way in ways]
    assert found == ["sandboxes/client/pool.py: config.backend == 'unsafe'"]


def ways_to_unsafe(tree: ast.Module) -> Iterator[str]:
    """The condition above each import of the module `sandboxes.backends.unsafe`, by whatever name."""
    above = {
        child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)
    }
    for node in ast.walk(tree):
        if "sandboxes.backends.unsafe" in imported(node):
            parent = above[node]
            yield (
                ast.unparse(parent.test)
                if isinstance(parent, ast.If)
                else "no condition"
            )


def imported(node: ast.AST) -> list[str]:
    """Modules that a node names in full, in an import or in a text."""
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or "sandboxes"
        return [module, *(f"{module}.{name.name}" for name in node.names)]
    return (
        [node.value]
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        else []
    )


def test_auto_says_why_it_is_not_docker(monkeypatch):
    monkeypatch.setattr(
        docker_backend, "available", lambda hosts=(): "no engine answers"
    )
    monkeypatch.setattr(bubblewrap, "available", lambda: "")
    with open_pool() as pool:
        assert pool.description.startswith("local:")
        assert pool.description.endswith("since docker: no engine answers")


def test_pools_and_sandboxes_keep_the_protocol():
    with open_pool(UNSAFE) as pool, pool.lease() as sandbox:
        assert isinstance(sandbox, Sandbox)
        assert sandbox.isolation is Isolation.PROCESS
        assert sandbox.run(HELLO, timeout_s=20).stdout == b"hello\n"


def test_a_lease_waits_for_a_sandbox_and_gives_up_in_time():
    with open_pool(UNSAFE) as pool, pool.lease() as sandbox:
        begun = time.monotonic()
        with pytest.raises(SandboxError, match="all 1 sandboxes are out"):
            pool.lease(timeout_s=0.2)
        assert 0.2 <= time.monotonic() - begun < 2
        threading.Timer(0.2, sandbox.close).start()
        with pool.lease(timeout_s=20) as other:
            assert other.run(HELLO, timeout_s=20).stdout == b"hello\n"


def test_many_threads_never_share_a_sandbox():
    seen: list[bool] = []

    def work(number: int) -> None:
        for _ in range(3):
            with pool.lease() as sandbox:
                empty = sandbox.run(
                    ["python", "-c", "import os; print(os.listdir())"], timeout_s=20
                )
                sandbox.write({"who": str(number).encode()})
                sandbox.run(
                    ["python", "-c", "import time; time.sleep(0.01)"], timeout_s=20
                )
                seen.append(
                    empty.stdout == b"[]\n"
                    and sandbox.read("who") == str(number).encode()
                )

    with unsafe(2) as pool:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [True] * 18


def test_a_lease_that_is_over_is_no_way_to_the_next_user():
    with open_pool(UNSAFE) as pool:
        sandbox = pool.lease()
        sandbox.close()
        sandbox.close()
        with pool.lease() as other:
            other.write({"theirs": b"1"})
            for deed in (
                lambda: sandbox.read("theirs"),
                lambda: sandbox.write({"x": b""}),
                lambda: sandbox.run(HELLO, timeout_s=5),
                sandbox.reset,
            ):
                with pytest.raises(SandboxError, match="lease is over"):
                    deed()


def test_a_closed_pool_ends_its_sandboxes_and_leases_none():
    pool = open_pool(UNSAFE)
    sandbox = pool.lease()
    pool.close()
    pool.close()
    with pytest.raises(SandboxError):
        sandbox.run(HELLO, timeout_s=5)
    sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        pool.lease()


def test_closing_wakes_those_who_wait():
    pool = open_pool(UNSAFE)
    pool.lease()
    threading.Timer(0.2, pool.close).start()
    begun = time.monotonic()
    with pytest.raises(SandboxError, match="closed"):
        pool.lease(timeout_s=30)
    assert time.monotonic() - begun < 10


def test_a_sandbox_that_does_not_start_is_an_error_and_keeps_no_place():
    tries = 0

    def start():
        nonlocal tries
        tries += 1
        raise SandboxError("no room")

    with StreamPool(start, 1, "broken") as pool:
        for _ in range(3):
            with pytest.raises(SandboxError, match="no room"):
                pool.lease(timeout_s=5)
    assert tries == 3


def test_a_broken_sandbox_is_replaced():
    with open_pool(UNSAFE) as pool:
        code = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
        with pool.lease() as sandbox, pytest.raises(SandboxError):
            sandbox.run(["python", "-c", code], timeout_s=20)
        with pool.lease() as sandbox:
            assert sandbox.run(HELLO, timeout_s=20).stdout == b"hello\n"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"hosts": ("engine:2375",)}, "wanted unix:///path or tcp://address:port"),
        ({"hosts": ("ssh://me@there",)}, "ssh -N -L /tmp/engine.sock:.* me@there"),
        (
            {"hosts": ("tcp://127.0.0.1:1",), "backend": "local"},
            "wanted backend=docker",
        ),
    ],
)
def test_a_wrong_address_of_an_engine_says_what_is_wanted(config, words):
    with pytest.raises(ValueError, match=words):
        SandboxConfig(**config)
