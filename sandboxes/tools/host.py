"""What this machine brings for sandboxes, and what to install for what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
from docker.errors import DockerException

from sandboxes.backends import bubblewrap as local
from sandboxes.backends import docker as containers
from sandboxes.base import SandboxError
from sandboxes.image.base_image import locale_files, time_zone_files
from sandboxes.image.build import image_name, image_now
from sandboxes.tools.self_check import Finding

__all__ = ["look_around"]

_ASK_S = 10
_HERE = Path(__file__).resolve().parent


def look_around() -> Iterator[Finding]:
    """One finding for each thing that a backend is made of."""
    yield from _engine()
    yield _compose()
    yield _bubblewrap()
    yield _user_namespaces()
    yield _cgroups()
    yield _seccomp()
    yield _locale_and_zones()


def _engine() -> Iterator[Finding]:
    reason = containers.available()
    if reason:
        remedy = (
            "Debian and Ubuntu: apt-get install docker.io; start it (systemctl start docker) and "
            "let your user reach its socket (usermod -aG docker USER), or set DOCKER_HOST"
        )
        yield Finding("Docker engine", False, reason, remedy)
        return
    try:
        with closing(docker.from_env(timeout=_ASK_S)) as client:
            info = client.info()
            yield Finding(
                "Docker engine",
                True,
                f"{info['ServerVersion']}, control groups v{info.get('CgroupVersion', '?')}; "
                "isolation: container",
            )
            yield _engine_limits(info)
            yield _image(client)
    except (DockerException, OSError, SandboxError) as error:
        yield Finding(
            "Docker engine", False, str(error)[:200], "start the engine again"
        )


def _engine_limits(info: dict[str, object]) -> Finding:
    wanted = {
        "MemoryLimit": "memory",
        "SwapLimit": "swap",
        "PidsLimit": "processes",
        "CpuCfsQuota": "processor",
    }
    lacking = [name for key, name in wanted.items() if not info.get(key)]
    return Finding(
        "limits of the engine",
        not lacking,
        f"cannot limit {', '.join(lacking)}"
        if lacking
        else "memory, swap, processes, processor",
        "start the kernel with cgroup_enable=memory swapaccount=1",
    )


def _image(client: docker.DockerClient) -> Finding:
    name = "sandbox image"
    if image := image_now(client):
        return Finding(name, True, f"{image_name()} is current ({image.short_id})")
    found = f"{image_name()} is not there"
    return Finding(
        name,
        False,
        found,
        "made at the first lease, or by python -m sandboxes.image.build",
    )


def _compose() -> Finding:
    found = [
        f"v{version}"
        for command in (["docker", "compose"], ["docker-compose"])
        if (version := _printed([*command, "version", "--short"]).removeprefix("v"))
    ]
    return Finding(
        "Docker Compose",
        bool(found),
        ", ".join(found) or "not installed",
        "only `docker compose up sandbox` needs it. Ubuntu: apt-get install docker-compose-v2; "
        "Debian: apt-get install docker-compose",
    )


def _bubblewrap() -> Finding:
    version = _printed(["bwrap", "--version"]).removeprefix("bubblewrap ")
    reason = local.available()
    remedy = "Debian and Ubuntu: apt-get install bubblewrap (0.8 or newer)"
    if version:
        remedy += "; user namespaces have to be allowed"
    found = reason or f"{version}, makes sandboxes here; isolation: namespace"
    return Finding("bubblewrap", not reason, found, remedy)


def _user_namespaces() -> Finding:
    limit = _setting("user/max_user_namespaces")
    refused = [
        f"kernel.{name}={value}"
        for name, value, free in (
            (
                "unprivileged_userns_clone",
                _setting("kernel/unprivileged_userns_clone"),
                "1",
            ),
            (
                "apparmor_restrict_unprivileged_userns",
                _setting("kernel/apparmor_restrict_unprivileged_userns"),
                "0",
            ),
        )
        if value not in ("", free)
    ]
    good = limit not in ("", "0") and not refused
    found = f"up to {limit}" if limit else "this kernel has none"
    remedy = (
        "only bubblewrap needs them: sysctl -w user.max_user_namespaces=10000, "
        "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0"
    )
    return Finding("user namespaces", good, ", ".join([found, *refused]), remedy)


def _cgroups() -> Finding:
    root = Path("/sys/fs/cgroup")
    wanted = {"cpu", "memory", "pids"}
    if (root / "cgroup.controllers").exists():
        version, there = "v2", set((root / "cgroup.controllers").read_text().split())
    else:
        version = "v1"
        there = set(os.listdir(root)) if root.is_dir() else set()
    lacking = sorted(wanted - there)
    return Finding(
        "control groups",
        not lacking,
        f"{version}, {'lacking ' + ', '.join(lacking) if lacking else 'with cpu, memory, pids'}",
        "only containers need them: mount the control groups, or start the machine with systemd",
    )


def _seccomp() -> Finding:
    """Tried for real, in a process that ends with it."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from sandboxes.inside import seccomp; seccomp.forbid()",
        ],
        capture_output=True,
        text=True,
        cwd=_HERE.parents[1],
    )
    said = done.stderr.strip().rpartition("\n")[2]
    return Finding(
        "system-call filters",
        done.returncode == 0,
        said or "the kernel takes ours",
        "use an x86_64 or aarch64 machine, and a kernel with CONFIG_SECCOMP_FILTER",
    )


def _locale_and_zones() -> Finding:
    """What a root made from this machine's Python takes along."""
    parts = {"C.UTF-8": locale_files(), "time zones": time_zone_files()}
    lacking = [name for name, files in parts.items() if next(iter(files), None) is None]
    return Finding(
        "locale and time zones",
        not lacking,
        f"lacking {', '.join(lacking)}" if lacking else "C.UTF-8 and the time zones",
        "Debian and Ubuntu: apt-get install libc-bin tzdata; then remove /var/cache/scgrpo and "
        "~/.cache/scgrpo, and the images scgrpo-base, so that they are made anew",
    )


def _setting(name: str) -> str:
    """A kernel setting below /proc/sys; empty where this kernel has none of that name."""
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""


def _printed(command: list[str]) -> str:
    """First line that a program prints; empty where it is missing or fails."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else ""
