"""Containers that the client starts, loses and removes."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound
from docker.models.containers import Container

from sandboxes import SandboxConfig, SandboxError, open_pool
from sandboxes.backends.containers import boot, owner
from sandboxes.backends.docker import EngineStream
from sandboxes.image.images import image_name
from sandboxes.inside.frames import pack
from sandboxes.limits import compose_limits

CONFIG = SandboxConfig(backend="docker", size=1)
TRAINER = """
import sys, time
from sandboxes import SandboxConfig, open_pool
with open_pool(SandboxConfig(backend="docker", size=1)) as pool:
    with pool.lease() as sandbox:
        assert sandbox.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\\n"
        print("ready", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def started(client, own_ids, alone) -> Callable[[], Container]:
    """Finds the container that came since the test began."""
    before = own_ids()

    def find() -> Container:
        (name,) = own_ids() - before
        return client.containers.get(name)

    return find


@pytest.fixture
def trainer(alone) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds a lease."""
    with subprocess.Popen(
        [sys.executable, "-c", TRAINER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def left(own_ids: Callable[..., set[str]], pid: int | None = None) -> set[str]:
    """A process's own containers, once the engine has had time to finish their removal."""
    until = time.monotonic() + 10
    while own_ids(pid) and time.monotonic() < until:
        time.sleep(0.1)
    return own_ids(pid)


def gone(container: Container) -> bool:
    """Whether the engine has removed a container."""
    try:
        container.reload()
    except NotFound:
        return True
    return False


@pytest.mark.docker
def test_a_container_has_the_limits_of_the_compose_file(started):
    limits = compose_limits()
    with open_pool(CONFIG) as pool, pool.lease():
        host = started().attrs["HostConfig"]
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
def test_a_container_killed_while_a_command_runs_is_an_error_within_seconds(
    started, own_ids
):
    before = own_ids()
    with open_pool(CONFIG) as pool:
        with pool.lease() as sandbox:
            container = started()
            threading.Timer(0.5, container.kill).start()
            begun = time.monotonic()
            with pytest.raises(SandboxError):
                sandbox.run(
                    ["python", "-c", "import time; time.sleep(60)"], timeout_s=60
                )
            assert time.monotonic() - begun < 5
        with pool.lease() as sandbox:
            assert started().id != container.id
            assert (
                sandbox.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\n"
            )
    assert left(own_ids) <= before


@pytest.mark.docker
@pytest.mark.parametrize(
    "words", [0, 2_000_000], ids=["in a command", "before it has begun"]
)
def test_a_container_ends_with_its_client_at_any_moment(started, words):
    argv = ["python", "-c", "import time; time.sleep(600)", *["a"] * words]
    job = json.dumps({"argv": argv, "cwd": "."}).encode()
    with open_pool(CONFIG) as pool:
        stream = pool.lease()._sandbox._stream
        container = started()
        frame = pack({"op": "run", "job": len(job), "timeout_s": 600}, len(job))
        stream.send(frame + job, time.monotonic() + 20)
        time.sleep(0 if words else 0.5)
        stream.close()
        until = time.monotonic() + 20
        while not gone(container) and time.monotonic() < until:
            time.sleep(0.1)
        assert gone(container)


@pytest.mark.docker
def test_a_container_that_hangs_is_an_error_after_the_deadline(started, own_ids):
    before = own_ids()
    with open_pool(CONFIG) as pool, pool.lease() as sandbox:
        started().pause()
        begun = time.monotonic()
        with pytest.raises(SandboxError):
            sandbox.run(["python", "-c", "print(1)"], timeout_s=0.5)
        assert 2.4 < time.monotonic() - begun < 5
    assert left(own_ids) <= before


@pytest.mark.docker
@pytest.mark.slow
def test_many_deaths_leave_no_container_and_no_open_file(own_ids, alone, day):
    before, files = own_ids(), []
    for _ in range(day.count(3, 20)):
        with open_pool(CONFIG) as pool, pool.lease() as sandbox:
            # A client of its own: a client keeps connections, which are not what is counted here.
            with closing(docker.from_env()) as engine:
                (name,) = {
                    one.id
                    for one in engine.containers.list(
                        filters={"label": f"scgrpo.owner={owner()}"}
                    )
                } - before
                engine.containers.get(name).kill()
            with pytest.raises(SandboxError):
                sandbox.run(["python", "-c", "print(1)"], timeout_s=5)
        gc.collect()
        files.append(len(os.listdir("/proc/self/fd")))
    assert left(own_ids) <= before
    assert max(files[1:]) == files[1]


@pytest.mark.docker
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_told_to_end_takes_its_containers_along(trainer, own_ids, number):
    assert len(own_ids(trainer.pid)) == 1
    trainer.send_signal(number)
    assert trainer.wait(30) != 0
    assert not left(own_ids, trainer.pid)


@pytest.mark.docker
def test_containers_of_a_dead_process_go_and_no_others(client, trainer, own_ids):
    (alive,) = own_ids(trainer.pid)
    stranger = client.containers.create(image_name(), labels={"scgrpo.sandbox": "1"})
    # What a process that died between creating and leasing has left.
    label = f"{boot()}/{trainer.pid}/1"
    orphan = client.containers.create(
        image_name(), labels={"scgrpo.sandbox": "1", "scgrpo.owner": label}
    )
    try:
        open_pool(CONFIG).close()
        with pytest.raises(NotFound):
            orphan.reload()
        stranger.reload()
        assert own_ids(trainer.pid) == {alive}
    finally:
        stranger.remove(force=True)
    trainer.kill()
    assert not left(own_ids, trainer.pid)


@pytest.mark.docker
def test_a_lease_is_exclusive_and_a_late_one_is_refused(client):
    with open_pool(CONFIG) as pool:
        with pool.lease() as sandbox:
            sandbox.write({"mine": b""})
            with pytest.raises(SandboxError):
                pool.lease(timeout_s=0.2)
        with pool.lease(timeout_s=5) as sandbox, pytest.raises(FileNotFoundError):
            sandbox.read("mine")


@pytest.mark.docker
def test_no_sandbox_is_left_after_a_close_in_the_middle_of_a_lease(own_ids):
    before = own_ids()
    pool = open_pool(CONFIG)
    sandbox = pool.lease()
    pool.close()
    pool.close()
    with pytest.raises(SandboxError):
        sandbox.run(["python", "-c", "print(1)"], timeout_s=5)
    sandbox.close()
    assert left(own_ids) <= before


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


HEAD = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)


def part(content: bytes) -> bytes:
    """What a command printed, as the engine labels it."""
    return b"\1\0\0\0" + len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize("early", [0, 5, 8, 11, None], ids="{} bytes".format)
def test_what_comes_in_one_piece_with_the_engines_answer_is_not_lost(
    tmp_path: Path, early
):
    path, hello = f"{tmp_path}/engine.sock", pack({"hello": "v1"})
    sent = part(hello[:9]) + part(hello[9:])
    cut = len(sent) if early is None else early

    def answer() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(HEAD + sent[:cut])
            time.sleep(0.2)
            connection.sendall(sent[cut:])
            connection.recv(1)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        with closing(
            docker.DockerClient(base_url=f"unix://{path}", version="1.41")
        ) as client:
            stream = EngineStream(client.api.exec_start("x", socket=True))
            with closing(stream):
                assert stream.receive(len(hello), time.monotonic() + 5) == hello
        thread.join(10)
