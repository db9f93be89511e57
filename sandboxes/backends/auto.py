"""The backend `auto`: Docker if an engine answers, else bubblewrap. Never plain processes."""

from __future__ import annotations

from sandboxes.backends import bubblewrap, docker
from sandboxes.client.pool import StreamPool
from sandboxes.config import SandboxConfig, no_sandbox_error

__all__ = ["open_pool"]


def open_pool(size: int, config: SandboxConfig) -> StreamPool:
    """A pool of the first backend that works here; its description says why the others do not.

    Raises SandboxError if none works, or if the one that works cannot be opened.
    """
    docker_reason = docker.available(config.hosts)
    if not docker_reason:
        return docker.open_pool(size, config)

    # Hosts name engines, so a sandbox of this machine is not what was configured.
    if config.hosts:
        raise no_sandbox_error(f"docker: {docker_reason}")

    local_reason = bubblewrap.available()
    if local_reason:
        raise no_sandbox_error(f"docker: {docker_reason}", f"local: {local_reason}")
    return bubblewrap.open_pool(size, config, since=f"docker: {docker_reason}")
