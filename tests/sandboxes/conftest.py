"""Fixtures of the tests that need a Docker engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import docker
import pytest
from docker.errors import DockerException

from sandboxes import SandboxConfig, open_pool
from sandboxes.build import prepare_image
from sandboxes.containers import boot, compose_containers


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
        return {str(one.id) for one in listed if one.labels["scgrpo.owner"].startswith(mine)}

    return found


@pytest.fixture
def alone(client: docker.DockerClient) -> Iterator[None]:
    """Holds what somebody's `docker compose up sandbox` keeps, so that a test gets none of it."""
    with ExitStack() as stack:
        if kept := len(compose_containers(client)):
            pool = stack.enter_context(open_pool(SandboxConfig(backend="docker", size=kept)))
            for _ in range(kept):
                stack.enter_context(pool.lease())
        yield
