"""Each wall on its own: with it the attack fails, and with it taken away the attack works.

The first halves run with the very arguments that the backends use; nothing is sent anywhere.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import docker
import pytest

from sandboxes import Isolation
from sandboxes.backends import bubblewrap as local
from sandboxes.backends.containers import container_options
from sandboxes.image.images import prepare_image
from sandboxes.limits import compose_limits

LOCAL = pytest.mark.skipif(
    bool(local.available()), reason=f"local: {local.available()}"
)
WORK = next(iter(compose_limits().folders_mib))

NET = "print(*sorted(line.split(':')[0].strip() for line in open('/proc/net/dev') if ':' in line))"
SYS = "print([line.split()[3][:2] for line in open('/proc/mounts') if line.split()[1] == {!r}])"


def run_local(change: Callable[[list[str]], list[str]], code: str) -> str:
    """What Python prints in a changed bubblewrap sandbox; `!` and the error if it fails.

    The walls are those of the backend; only what runs inside is not the runner.
    """
    command = local._bubblewrap(local.root_folder())
    walls = command[: command.index("/usr/bin/python3")]
    done = subprocess.run(
        [*change(walls), "/usr/bin/python3", "-c", f"import ctypes, os\n{code}"],
        env={"PATH": os.environ["PATH"], "SECRET": "x"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        **local._identity(compose_limits().uid),  # type: ignore[arg-type]
    )
    return (
        done.stdout.strip()
        if done.returncode == 0
        else f"! {done.stderr.strip()[-200:]}"
    )


def same(walls: list[str]) -> list[str]:
    return walls


def without(*parts: str) -> Callable[[list[str]], list[str]]:
    """Takes a run of arguments away."""

    def change(walls: list[str]) -> list[str]:
        for place in range(len(walls)):
            if tuple(walls[place : place + len(parts)]) == parts:
                return walls[:place] + walls[place + len(parts) :]
        raise AssertionError(f"{parts} is not among {walls}")

    return change


def replaced(old: str, *new: str) -> Callable[[list[str]], list[str]]:
    """Puts other arguments in the place of one."""

    def change(walls: list[str]) -> list[str]:
        place = walls.index(old)
        return [*walls[:place], *new, *walls[place + 1 :]]

    return change


SETTINGS = """
opened = []
for folder, _, names in os.walk("/proc/sys"):
    for name in names:
        try:
            os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            continue
        opened.append(name)
print(opened)
"""
USERNS = "print(ctypes.CDLL(None).unshare(0x10000000))"
SHARED = (
    "--unshare-user",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup",
)
LOCAL_WALLS = {
    "no network": (
        replaced("--unshare-all", *SHARED),
        NET,
        lambda said: said == "lo",
    ),
    "/proc/sys is read-only": (
        without("--ro-bind", "/proc/sys", "/proc/sys"),
        SYS.format("/proc/sys"),
        lambda said: said == "['ro']",
    ),
    "no setting of the kernel can be written": (
        without("--ro-bind", "/proc/sys", "/proc/sys"),
        SETTINGS,
        lambda said: said == "[]",
    ),
    "no user namespace": (
        without("--disable-userns"),
        USERNS,
        lambda said: said == "-1",
    ),
    "/dev is read-only": (
        without("--remount-ro", "/dev"),
        "open('/dev/planted', 'w').close()",
        lambda said: "Read-only" in said,
    ),
    "the root is read-only": (
        replaced("--ro-bind", "--bind"),
        SYS.format("/"),
        lambda said: said == "['ro']",
    ),
    "a session of its own": (
        without("--new-session"),
        "print(os.getsid(0))",
        lambda said: said != "0",
    ),
    "a disk that ends": (
        without("--size", str(compose_limits().folders_mib[WORK] << 20)),
        f"s = os.statvfs({WORK!r}); print(s.f_blocks * s.f_frsize >> 20)",
        lambda said: said == str(compose_limits().folders_mib[WORK]),
    ),
    "no variable of ours": (
        without("--clearenv"),
        "print('SECRET' in os.environ)",
        lambda said: said == "False",
    ),
}


@LOCAL
@pytest.mark.parametrize("wall", LOCAL_WALLS)
def test_a_wall_of_local_holds_and_without_it_the_attack_works(wall):
    change, code, holds = LOCAL_WALLS[wall]
    assert holds(run_local(same, code))
    assert not holds(run_local(change, code))


@LOCAL
def test_without_the_filter_sockets_can_be_made():
    code = (
        "import socket; print(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).family)"
    )
    said = {}
    for filtered in (1, 0):
        command = [*local._bubblewrap(local.root_folder()), f"--seccomp={filtered}"]
        with local.start_runner(
            command, Isolation.NAMESPACE, local._identity(compose_limits().uid), {}
        ) as sandbox:
            said[filtered] = sandbox.run(["python", "-c", code], timeout_s=20)
    assert b"Address family not supported" in said[1].stderr
    assert said[0].exit_code == 0


@pytest.fixture(scope="module")
def in_container(client: docker.DockerClient) -> Callable[..., str]:
    """Runs Python in a container with the compose file's limits and some of them changed."""
    image = str(prepare_image(client).id)

    def run(code: str, **changed: object) -> str:
        options = {**container_options(), **changed}
        options["labels"] = {"scgrpo.test": "walls"}
        options["command"] = ["-c", f"import ctypes, os\n{code}"]
        # The output is read from the log, which a real sandbox does not have.
        options["log_config"] = docker.types.LogConfig(type="json-file")
        container = client.containers.create(image, entrypoint=["python3"], **options)
        try:
            container.start()
            container.wait(timeout=60)
            return container.logs().decode().strip()
        finally:
            container.remove(force=True, v=True)

    return run


FORKS = """
import time
count = 0
try:
    while count < 200:
        if not os.fork():
            time.sleep(30)
        count += 1
except OSError:
    pass
print(count < 128, flush=True)
os._exit(0)
"""
FILL = f"""
os.setgid({compose_limits().uid}); os.setuid({compose_limits().uid})
count = 0
try:
    while count < 9000:
        os.close(os.open(f"{WORK}/{{count}}", os.O_CREAT | os.O_RDWR))
        count += 1
except OSError:
    pass
print(count < 9000)
"""
CAPABILITIES = (
    "print(*[line.split()[1].lstrip('0') for line in open('/proc/self/status') if {}])"
)
ROOM = {WORK: "exec,size=64m,uid=61234,gid=61234,mode=0700"}
DOCKER_WALLS = {
    "no network": ({"network_mode": "bridge"}, NET, "lo"),
    "the root is read-only": ({"read_only": False}, SYS.format("/"), "['ro']"),
    "processes end at a number": ({"pids_limit": 256}, FORKS, "True"),
    "files end at a number": ({"tmpfs": ROOM}, FILL, "True"),
    "two capabilities for the runner": (
        {"cap_drop": []},
        CAPABILITIES.format("line.startswith('CapPrm')"),
        "c0",
    ),
    "no new privileges": (
        {"security_opt": []},
        CAPABILITIES.format("line.startswith('NoNewPrivs')"),
        "1",
    ),
    "memory ends": (
        {"mem_limit": 1 << 30, "memswap_limit": 1 << 30},
        "held = b'x' * (700 << 20); print('taken')",
        "",
    ),
    "no swap": (
        {"memswap_limit": 1 << 30},
        "print(int(open('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes').read()) >> 20)",
        "512",
    ),
    "shared memory ends": (
        {"ipc_mode": "private", "tmpfs": ROOM},
        "s = os.statvfs('/dev/shm'); print(s.f_blocks * s.f_frsize >> 20)",
        str(compose_limits().folders_mib["/dev/shm"]),
    ),
    "open files end at a number": (
        {"ulimits": []},
        "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 256)",
        "True",
    ),
}


@pytest.mark.docker
@pytest.mark.parametrize("wall", DOCKER_WALLS)
def test_a_wall_of_docker_holds_and_without_it_the_attack_works(in_container, wall):
    changed, code, held = DOCKER_WALLS[wall]
    if "memsw" in code and not os.path.exists("/sys/fs/cgroup/memory"):
        pytest.skip("control groups v2 name the file otherwise")
    assert in_container(code) == held
    assert in_container(code, **changed) != held
