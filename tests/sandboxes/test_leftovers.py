"""A lease leaves nothing: the next one finds the sandbox as the first one did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from sandboxes import ExecResult, Isolation, Sandbox, SandboxConfig, SandboxPool
from sandboxes import open_pool as open_sandboxes
from sandboxes.backends import bubblewrap as local
from sandboxes.backends import containers
from sandboxes.client.pool import StreamPool
from sandboxes.client.stream import StreamSandbox
from tests.sandboxes.compose_project import composed_sandbox
from tests.sandboxes.leftovers import ATTACKS, SNAPSHOT, START

ENGINE = [pytest.mark.docker]
# Any other test that wants a sandbox meanwhile would be given Compose's.
COMPOSE = [*ENGINE, pytest.mark.alone]
BACKENDS = (
    "local",
    pytest.param("docker", marks=ENGINE),
    pytest.param("compose", marks=COMPOSE),
)


@pytest.fixture(scope="module", params=BACKENDS)
def pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    """One sandbox of each kind, so that a lease meets what the one before has left."""
    with opened(request, request.param) as leased:
        yield leased


def opened(request: pytest.FixtureRequest, kind: str) -> SandboxPool:
    if kind == "local":
        if reason := local.available():
            pytest.skip(reason)
        return open_sandboxes(SandboxConfig(backend="local", size=1))
    request.getfixturevalue("client" if kind == "docker" else "composed")
    return open_sandboxes(SandboxConfig(backend="docker", size=1))


@pytest.fixture(scope="module")
def composed(client: docker.DockerClient) -> Iterator[None]:
    """A container of `docker compose up`."""
    with composed_sandbox(client):
        yield


def python(sandbox: Sandbox, code: str) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=60)


def seen(pool: SandboxPool) -> dict[str, Any]:
    """What a lease finds, files that it writes included."""
    with pool.lease() as sandbox:
        done = python(sandbox, SNAPSHOT)
        assert done.exit_code == 0, done
        files = {f"pack/inner/{number}.py": b"x = 1\n" for number in range(20)}
        sandbox.write(
            {**files, "large": bytes(30 << 20), "main.py": b"import pack.inner.7\n"}
        )
        assert sandbox.read("pack/inner/7.py") == b"x = 1\n"
        ran = sandbox.run(
            ["python", "-c", "import pack.inner as p; print(p)"], timeout_s=20
        )
        assert ran.exit_code == 0, ran
        return json.loads(done.stdout)


@pytest.mark.daily(4, per="pool")
@pytest.mark.parametrize("name", ATTACKS)
def test_the_next_lease_finds_a_sandbox_as_the_first_one_did(pool, name):
    before = seen(pool)
    with pool.lease() as sandbox:
        done = python(sandbox, START + ATTACKS[name])
        assert done.exit_code == 0, done
    assert seen(pool) == before


def test_a_wiper_that_knows_no_names_in_advance_needs_no_new_sandbox(pool):
    """2,500 files with the names that were once given to folders on their way up."""
    with pool.lease() as sandbox:
        assert python(sandbox, START + ATTACKS["the wiper's own names"]).exit_code == 0
        sandbox.reset()
        assert python(sandbox, "import os; print(os.listdir())").stdout == b"[]\n"


@pytest.fixture(params=["local", pytest.param("docker", marks=ENGINE)])
def unfiltered(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SandboxPool]:
    """One sandbox of each backend without the filter of system calls, so only the wipe helps."""
    if request.param == "docker":
        request.getfixturevalue("client")
        request.getfixturevalue("alone")
        options = containers.container_options

        def without_filter(uid: int | None = None) -> dict[str, Any]:
            found = options(uid)
            return {**found, "command": [*found["command"], "--seccomp=0"]}

        monkeypatch.setattr(containers, "container_options", without_filter)
        pool = open_sandboxes(SandboxConfig(backend="docker", size=1))
    else:
        if reason := local.available():
            pytest.skip(reason)

        def start() -> StreamSandbox:
            command = [*local._bubblewrap(local.root_folder()), "--seccomp=0"]
            return local.start_runner(
                command, Isolation.NAMESPACE, local._identity(65000), {}
            )

        pool = StreamPool(start, 1, "without a filter")
    with pool:
        yield pool


REPLACED = ("queues of System V", "an attribute for each inode")
"""What no wipe takes away; there are more names of attributes than the kernel lists."""

PROVED = (
    *(
        "default list of rights",
        "list of rights",
        "a note in an attribute",
        "many attributes",
    ),
    "list of rights by a descriptor and by no link",
    "flags of the folders by the new call",
    *(name for name in ATTACKS if "flight" in name),
    *("a note in names of sockets", "a listener in its own queue"),
    *REPLACED,
)
"""What the filter refuses."""


@pytest.mark.daily(3, per="unfiltered")
@pytest.mark.parametrize("name", PROVED)
def test_without_the_filter_the_wipe_takes_it_away_or_ends_the_sandbox(
    unfiltered, name
):
    before = seen(unfiltered)
    with unfiltered.lease() as sandbox:
        first = sandbox._sandbox
        assert python(sandbox, START + ATTACKS[name]).exit_code == 0
    with unfiltered.lease() as sandbox:
        is_new = sandbox._sandbox is not first
    assert is_new == (name in REPLACED)
    after = seen(unfiltered)
    for path in ("/work", "/tmp", "/dev/shm", "/dev", "/dev/pts") if is_new else ():
        # Another sandbox began at another time.
        del before[path][0], after[path][0]
    assert after == before


QUEUE = "import ctypes; print(ctypes.CDLL(None).msgget(1, 0o1600))"


def test_a_sandbox_that_cannot_be_left_clean_ends_and_is_replaced(unfiltered):
    with unfiltered.lease() as sandbox:
        first = sandbox._sandbox
        assert python(sandbox, QUEUE).stdout != b"-1\n"
    with unfiltered.lease() as sandbox:
        assert sandbox._sandbox is not first
        assert (
            python(
                sandbox, "print(open('/proc/sysvipc/msg').read().count(chr(10)))"
            ).stdout
            == b"1\n"
        )


def test_a_proof_is_not_passed_by_what_was_there_a_moment_ago(pool, day):
    """Leases that leave descriptors in flight, each followed by one that needs all the room."""
    for _ in range(day.count(4, 10)):
        with pool.lease() as sandbox:
            assert python(sandbox, START + ATTACKS["files in flight"]).exit_code == 0
        with pool.lease() as sandbox:
            sandbox.write({"one": bytes(31 << 20), "two": bytes(31 << 20)})
