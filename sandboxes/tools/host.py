"""What this machine offers for sandboxes, and what to install for what it lacks."""

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
from sandboxes.image.images import image_name, image_now
from sandboxes.tools.self_check import CheckResult

__all__ = ["host_checks"]

_CALL_S = 10
_ROOT = Path(__file__).resolve().parents[2]
_ENGINE_LIMITS = {
    "MemoryLimit": "memory",
    "SwapLimit": "swap",
    "PidsLimit": "processes",
    "CpuCfsQuota": "processor",
}
"""Key of the engine's info -> what it says the engine can limit."""

_USERNS_SETTINGS = {
    "unprivileged_userns_clone": "1",
    "apparmor_restrict_unprivileged_userns": "0",
}
"""Setting below kernel/ -> the value that allows user namespaces, if the kernel has the setting."""


def host_checks() -> Iterator[CheckResult]:
    """One result for each thing that a backend is made of."""
    yield from _engine()
    yield _compose()
    yield _bubblewrap()
    yield _user_namespaces()
    yield _cgroups()
    yield _seccomp()
    yield _locale_and_zones()


def _engine() -> Iterator[CheckResult]:
    name = "Docker engine"
    reason = containers.available()
    if reason:
        remedy = (
            "Debian and Ubuntu: apt-get install docker.io; start it (systemctl start docker) and "
            "let your user reach its socket (usermod -aG docker USER), or set DOCKER_HOST"
        )
        yield CheckResult(name, False, reason, remedy)
        return
    try:
        with closing(docker.from_env(timeout=_CALL_S)) as client:
            info = client.info()
            version = info["ServerVersion"]
            cgroups = f"control groups v{info.get('CgroupVersion', '?')}"
            detail = f"{version}, {cgroups}; isolation: container"
            yield CheckResult(name, True, detail)
            yield _engine_limits(info)
            yield _image(client)
    except (DockerException, OSError, SandboxError) as error:
        yield CheckResult(name, False, str(error)[:200], "start the engine again")


def _engine_limits(info: dict[str, object]) -> CheckResult:
    missing = [name for key, name in _ENGINE_LIMITS.items() if not info.get(key)]
    detail = ", ".join(_ENGINE_LIMITS.values())
    if missing:
        detail = f"cannot limit {', '.join(missing)}"
    remedy = "start the kernel with cgroup_enable=memory swapaccount=1"
    return CheckResult("limits of the engine", not missing, detail, remedy)


def _image(client: docker.DockerClient) -> CheckResult:
    name = "sandbox image"
    image = image_now(client)
    if image:
        return CheckResult(name, True, f"{image_name()} is current ({image.short_id})")
    detail = f"{image_name()} does not exist"
    remedy = "built at the first lease, or by `scgrpo sandbox build`"
    return CheckResult(name, False, detail, remedy)


def _compose() -> CheckResult:
    versions = []
    for command in (["docker", "compose"], ["docker-compose"]):
        version = _first_line([*command, "version", "--short"]).removeprefix("v")
        if version:
            versions.append(f"v{version}")
    remedy = (
        "only `docker compose up sandbox` needs it. Ubuntu: apt-get install docker-compose-v2; "
        "Debian: apt-get install docker-compose"
    )
    detail = ", ".join(versions) or "not installed"
    return CheckResult("Docker Compose", bool(versions), detail, remedy)


def _bubblewrap() -> CheckResult:
    version = _first_line(["bwrap", "--version"]).removeprefix("bubblewrap ")
    reason = local.available()
    remedy = "Debian and Ubuntu: apt-get install bubblewrap (0.8 or newer)"
    if version:
        remedy += "; user namespaces have to be allowed"
    detail = reason or f"{version}, makes sandboxes here; isolation: namespace"
    return CheckResult("bubblewrap", not reason, detail, remedy)


def _user_namespaces() -> CheckResult:
    limit = _kernel_setting("user/max_user_namespaces")
    details = [f"up to {limit}" if limit else "this kernel has none"]
    passed = limit not in ("", "0")

    # These exist on some distributions only, and forbid what the limit allows.
    for name, allowing in _USERNS_SETTINGS.items():
        value = _kernel_setting(f"kernel/{name}")
        if value not in ("", allowing):
            passed = False
            details.append(f"kernel.{name}={value}")

    remedy = (
        "only bubblewrap needs them: sysctl -w user.max_user_namespaces=10000, "
        "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0"
    )
    return CheckResult("user namespaces", passed, ", ".join(details), remedy)


def _cgroups() -> CheckResult:
    root = Path("/sys/fs/cgroup")
    unified = root / "cgroup.controllers"
    if unified.exists():
        version, controllers = "v2", set(unified.read_text().split())
    else:
        version = "v1"
        controllers = set(os.listdir(root)) if root.is_dir() else set()

    missing = sorted({"cpu", "memory", "pids"} - controllers)
    detail = f"{version}, with cpu, memory, pids"
    if missing:
        detail = f"{version}, lacking {', '.join(missing)}"
    remedy = (
        "only containers need them: mount the control groups, or start the machine "
        "with systemd"
    )
    return CheckResult("control groups", not missing, detail, remedy)


def _seccomp() -> CheckResult:
    """Installs the filter for real, in a process that ends with it."""
    code = "from sandboxes.inside import seccomp; seccomp.forbid()"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT
    )
    message = process.stderr.strip().rpartition("\n")[2]
    detail = message or "the kernel accepts the sandbox's filter"
    remedy = "use an x86_64 or aarch64 machine, and a kernel with CONFIG_SECCOMP_FILTER"
    return CheckResult("system-call filters", process.returncode == 0, detail, remedy)


def _locale_and_zones() -> CheckResult:
    """What a root made from this machine's Python copies from this machine."""
    parts = {"C.UTF-8": locale_files(), "time zones": time_zone_files()}
    missing = [name for name, files in parts.items() if next(files, None) is None]
    detail = "C.UTF-8 and the time zones"
    if missing:
        detail = f"lacking {', '.join(missing)}"
    remedy = (
        "Debian and Ubuntu: apt-get install libc-bin tzdata; then remove /var/cache/scgrpo and "
        "~/.cache/scgrpo, and the images scgrpo-base, so that they are built again"
    )
    return CheckResult("locale and time zones", not missing, detail, remedy)


def _kernel_setting(name: str) -> str:
    """A setting below /proc/sys; empty if this kernel has none of that name."""
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""


def _first_line(command: list[str]) -> str:
    """First line that a program prints; empty if it is missing or fails."""
    if not shutil.which(command[0]):
        return ""
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=_CALL_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if process.returncode != 0:
        return ""
    return process.stdout.partition("\n")[0].strip()
