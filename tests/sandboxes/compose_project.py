"""A Compose project of its own, for tests that need a container which Compose keeps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache

import docker
import pytest

from sandboxes import SandboxConfig, open_pool
from sandboxes.backends.containers import compose_containers
from sandboxes.limits import COMPOSE_FILE

COMPOSES = {"v1": ["docker-compose"], "v2": ["docker", "compose"]}


def usable(name: str) -> list[str]:
    """A compose command; the test is skipped where the machine lacks it."""
    command = COMPOSES[name]
    try:
        subprocess.run(
            [*command, "version"], capture_output=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"this machine has no Compose {name}: {error}")
    return command


@cache
def here() -> tuple[str, ...]:
    """Each Compose that this machine has; where it has none all, whose tests then say so."""
    found = []
    for name in COMPOSES:
        with suppress(pytest.skip.Exception):
            usable(name)
            found.append(name)
    return tuple(found or COMPOSES)


def any_usable() -> list[str]:
    """A compose command that this machine has; skips where there is none."""
    return usable(here()[0])


def run(command: list[str], *arguments: str) -> str:
    """What it says. A library that read .env may have put an image's name into our environment."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SCGRPO_")
    }
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=120, env=clean
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@contextmanager
def no_other(client: docker.DockerClient) -> Iterator[None]:
    """Holds what somebody's `docker compose up sandbox` keeps, so that a test gets none of it."""
    with ExitStack() as stack:
        if kept := len(compose_containers(client)):
            pool = stack.enter_context(
                open_pool(SandboxConfig(backend="docker", size=kept))
            )
            for _ in range(kept):
                stack.enter_context(pool.lease())
        yield


@contextmanager
def composed_sandbox(client: docker.DockerClient) -> Iterator[None]:
    """One container of `docker compose up`, which is the next to be leased."""
    command = [*any_usable(), "--file", str(COMPOSE_FILE)]
    command += ["--project-name", f"scgrpo-leftovers-{os.getpid()}"]
    with no_other(client):
        try:
            run(command, "up", "--detach", "sandbox")
            yield
        finally:
            run(command, "down", "--timeout", "0")
