"""Sandboxes of every backend, and what the tests of the engine need."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import docker
import pytest
from docker.errors import DockerException

from sandboxes import Sandbox, SandboxConfig, SandboxPool, open_pool
from sandboxes.backends import bubblewrap
from sandboxes.backends.containers import boot
from sandboxes.image.images import prepare_image
from tests.sandboxes.compose_project import no_other

WAITING_S = 0.03
"""After this time a sandbox that nobody asks for anything has a child that waits for a command."""

BACKENDS = ("local", "unsafe", pytest.param("docker", marks=pytest.mark.docker))


@pytest.fixture(scope="module", params=BACKENDS)
def pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    """One sandbox of each backend in turn, so that a second lease meets what the first one left."""
    if request.param == "docker":
        request.getfixturevalue("client")
    if request.param == "local" and (reason := bubblewrap.available()):
        pytest.skip(reason)
    config = SandboxConfig(backend=request.param, allow_unsafe=True, size=1)
    with open_pool(config) as opened:
        yield opened


@pytest.fixture
def sandbox(pool: SandboxPool) -> Iterator[Sandbox]:
    """A lease of its own for each test."""
    with pool.lease() as leased:
        time.sleep(WAITING_S)
        yield leased


@pytest.fixture(
    scope="module", params=["local", pytest.param("docker", marks=pytest.mark.docker)]
)
def jails(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    """Four sandboxes of each backend that isolates."""
    if request.param == "docker":
        request.getfixturevalue("client")
    elif reason := bubblewrap.available():
        pytest.skip(f"local: {reason}")
    with open_pool(SandboxConfig(backend=request.param, size=4)) as opened:
        yield opened


@pytest.fixture
def jail(jails: SandboxPool) -> Iterator[Sandbox]:
    """A lease of its own for each test, in a sandbox that isolates."""
    with jails.lease() as leased:
        time.sleep(WAITING_S)
        yield leased


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """An engine that has the image."""
    try:
        opened = docker.from_env(timeout=120)
        opened.ping()
    except (DockerException, OSError) as error:
        pytest.skip(f"no Docker engine answers: {error}")
    with closing(opened):
        prepare_image(opened)
        yield opened


@pytest.fixture
def own_ids(client: docker.DockerClient) -> Callable[..., set[str]]:
    """Containers that a process has started for itself; other processes' do not count."""

    def found(pid: int | None = None) -> set[str]:
        listed = client.containers.list(
            all=True, ignore_removed=True, filters={"label": "scgrpo.owner"}
        )
        mine = f"{boot()}/{pid or os.getpid()}/"
        return {
            str(one.id) for one in listed if one.labels["scgrpo.owner"].startswith(mine)
        }

    return found


@pytest.fixture
def alone(client: docker.DockerClient) -> Iterator[None]:
    """Holds what somebody's `docker compose up sandbox` keeps, so that a test gets none of it."""
    with no_other(client):
        yield
