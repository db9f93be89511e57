"""Containers that the client starts, loses and removes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from docker.models.containers import Container

from sandboxes import SandboxConfig, SandboxError, open_pool
from sandboxes.limits import compose_limits

CONFIG = SandboxConfig(backend="docker", size=1)
TRAINER = """
import sys, time
from sandboxes import SandboxConfig, open_pool
with open_pool(SandboxConfig(backend="docker", size=1)) as pool:
    with pool.lease() as box:
        assert box.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\\n"
        print("ready", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    """An engine on which no other process's sandboxes are counted."""
    try:
        opened = docker.from_env(timeout=10)
        opened.ping()
    except (DockerException, OSError) as error:
        pytest.skip(f"no Docker engine answers: {error}")
    with closing(opened):
        yield opened


def ids(client: docker.DockerClient) -> set[str]:
    """Containers of the kind that the client starts for itself, of every process."""
    found = client.containers.list(
        all=True, ignore_removed=True, filters={"label": ["scgrpo.sandbox", "scgrpo.owner"]}
    )
    return {str(container.id) for container in found}


def started(client: docker.DockerClient, before: set[str]) -> Container:
    """The only container that came since `before`."""
    (name,) = ids(client) - before
    return client.containers.get(name)


@pytest.fixture
def trainer() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds a lease."""
    with subprocess.Popen(
        [sys.executable, "-c", TRAINER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


@pytest.mark.docker
def test_a_container_has_the_limits_of_the_compose_file(client):
    limits, before = compose_limits(), ids(client)
    with open_pool(CONFIG) as pool, pool.lease():
        host = started(client, before).attrs["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == limits.memory_mib << 20
    assert host["PidsLimit"] == limits.pids
    assert host["NanoCpus"] == limits.cpus * 1e9
    assert host["NetworkMode"] == host["IpcMode"] == "none"
    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["Binds"]
    assert host["LogConfig"]["Type"] == "none"
    assert any(part.startswith("no-new-privileges") for part in host["SecurityOpt"])
    assert {
        "Name": "fsize",
        "Soft": limits.fsize_mib << 20,
        "Hard": limits.fsize_mib << 20,
    } in host["Ulimits"]


@pytest.mark.docker
def test_a_container_killed_while_a_command_runs_is_an_error_within_seconds(client):
    before = ids(client)
    with open_pool(CONFIG) as pool:
        with pool.lease() as box:
            container = started(client, before)
            threading.Timer(0.5, container.kill).start()
            begun = time.monotonic()
            with pytest.raises(SandboxError):
                box.run(["python", "-c", "import time; time.sleep(60)"], timeout_s=60)
            assert time.monotonic() - begun < 5
        with pool.lease() as box:
            assert started(client, before).id != container.id
            assert box.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\n"
    assert ids(client) == before


@pytest.mark.docker
def test_a_container_that_hangs_is_an_error_after_the_deadline(client):
    before = ids(client)
    with open_pool(CONFIG) as pool, pool.lease() as box:
        started(client, before).pause()
        begun = time.monotonic()
        with pytest.raises(SandboxError):
            box.run(["python", "-c", "print(1)"], timeout_s=0.5)
        assert time.monotonic() - begun < 30
    assert ids(client) == before


@pytest.mark.docker
@pytest.mark.slow
def test_twenty_deaths_leave_no_container_and_no_open_file(client):
    before, files = ids(client), []
    for _ in range(20):
        with open_pool(CONFIG) as pool, pool.lease() as box:
            started(client, before).kill()
            with pytest.raises(SandboxError):
                box.run(["python", "-c", "print(1)"], timeout_s=5)
        files.append(len(os.listdir("/proc/self/fd")))
    assert ids(client) == before
    assert max(files[1:]) == files[1]


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_told_to_end_takes_its_containers_along(client, trainer, number):
    held = ids(client)
    trainer.send_signal(number)
    assert trainer.wait(30) != 0
    assert len(held - ids(client)) == 1


@pytest.mark.docker
def test_containers_of_a_dead_process_are_reaped_and_no_others(client, trainer):
    alive = ids(client)
    with subprocess.Popen(
        [sys.executable, "-c", TRAINER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as dying:
        assert dying.stdout is not None
        assert dying.stdout.readline() == b"ready\n"
        dying.kill()
    (orphan,) = ids(client) - alive
    stranger = client.containers.create(
        client.containers.get(orphan).image, labels={"scgrpo.sandbox": "1"}
    )
    try:
        with open_pool(CONFIG) as pool, pool.lease():
            now = ids(client)
        assert orphan not in now
        assert alive <= now
        stranger.reload()
    finally:
        stranger.remove(force=True)
    assert trainer.poll() is None


@pytest.mark.docker
def test_a_lease_is_exclusive_and_a_late_one_is_refused(client):
    with open_pool(CONFIG) as pool:
        with pool.lease() as box:
            box.write({"mine": b""})
            with pytest.raises(SandboxError):
                pool.lease(timeout_s=0.2)
        with pool.lease(timeout_s=5) as box, pytest.raises(FileNotFoundError):
            box.read("mine")


@pytest.mark.docker
def test_no_box_is_left_after_a_close_in_the_middle_of_a_lease(client):
    before = ids(client)
    pool = open_pool(CONFIG)
    box = pool.lease()
    pool.close()
    pool.close()
    with pytest.raises(SandboxError):
        box.run(["python", "-c", "print(1)"], timeout_s=5)
    box.close()
    assert ids(client) == before


def refusal(address: str) -> tuple[str, float]:
    """What opening a pool says where the engine is at `address`, and after how many seconds."""
    code = (
        "import time; from sandboxes import *; begun = time.monotonic()\n"
        "try: open_pool(SandboxConfig(backend='docker', size=1)).lease()\n"
        "except SandboxError as error: print(time.monotonic() - begun, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DOCKER_HOST": address},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    seconds, _, text = done.stdout.partition(" ")
    return text, float(seconds)


def test_an_engine_that_is_not_there_is_named(tmp_path: Path):
    text, seconds = refusal(f"unix://{tmp_path}/none.sock")
    assert "docker" in text.lower()
    assert seconds < 5


def test_an_engine_that_never_answers_is_given_up(tmp_path: Path):
    path = f"{tmp_path}/mute.sock"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(path)
        mute.listen()
        text, seconds = refusal(f"unix://{path}")
    assert "docker" in text.lower()
    assert seconds < 10
