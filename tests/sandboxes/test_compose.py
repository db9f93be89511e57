"""`docker compose up sandbox`, with every Compose that this machine has."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack

import docker
import pytest

from sandboxes import SandboxConfig, SandboxError, open_pool
from sandboxes.image.images import image_name
from sandboxes.limits import COMPOSE_FILE, compose_limits, compose_service, size_bytes
from tests.sandboxes.compose_project import here, run, usable

PROJECT = f"scgrpo-test-{os.getpid()}"


# Any other test that wants a sandbox meanwhile would be given one of Compose's.
@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.alone) for name in here()])
def compose(request: pytest.FixtureRequest, alone: None) -> Iterator[list[str]]:
    """A compose command of its own project, which is taken down at the end."""
    command = usable(request.param)
    command = [*command, "--file", str(COMPOSE_FILE), "--project-name", PROJECT]
    yield command
    run(command, "down", "--timeout", "0")


def composed(client: docker.DockerClient) -> set[str]:
    """Running containers of this test's project."""
    label = f"com.docker.compose.project={PROJECT}"
    return {str(one.id) for one in client.containers.list(filters={"label": label})}


def test_sizes_are_read_as_compose_reads_them():
    assert (
        size_bytes("512m")
        == size_bytes("512M")
        == size_bytes("512mb")
        == 512 * 1024 * 1024
    )
    assert size_bytes("64k") == 65536
    assert size_bytes("2g") == 2147483648
    assert size_bytes(7) == size_bytes("7") == size_bytes("7b") == 7
    with pytest.raises(ValueError, match="'1.5m'"):
        size_bytes("1.5m")


def test_no_swap_and_room_for_the_working_folder():
    service, limits = compose_service(), compose_limits()
    assert service["mem_limit"] == service["memswap_limit"]
    assert limits.fsize_mib <= sum(limits.folders_mib.values()) < limits.memory_mib


def test_every_tmpfs_has_a_size_an_owner_and_a_number_of_files():
    for mount in compose_service()["tmpfs"]:
        options = {part.partition("=")[0] for part in mount.split(":")[1].split(",")}
        assert {"size", "nr_inodes", "uid", "gid", "mode"} <= options, mount


@pytest.mark.docker
def test_the_file_is_taken_without_a_warning(compose):
    said = run(compose, "config")
    assert "warn" not in said.lower()
    assert "obsolete" not in said
    assert f"image: {image_name()}\n" in said


@pytest.mark.docker
@pytest.mark.parametrize("name", here())
def test_a_checkout_that_never_made_the_image_has_a_name_for_it_too(name, tmp_path):
    shutil.copy(COMPOSE_FILE, tmp_path)
    (tmp_path / "sandboxes").mkdir()
    command = usable(name)
    said = run([*command, "--file", str(tmp_path / COMPOSE_FILE.name)], "config")
    assert "image: scgrpo-sandbox:latest\n" in said


@pytest.mark.docker
def test_running_containers_are_leased_before_own_ones_are_started(
    client, own_ids, compose
):
    own = own_ids()
    run(compose, "up", "--detach", "--scale", "sandbox=2", "sandbox")
    assert len(composed(client)) == 2
    with (
        open_pool(SandboxConfig(backend="docker", size=3)) as pool,
        ExitStack() as leases,
    ):
        sandboxes = [leases.enter_context(pool.lease()) for _ in range(2)]
        for number, sandbox in enumerate(sandboxes):
            sandbox.write({"mine": str(number).encode()})
        assert [sandbox.read("mine") for sandbox in sandboxes] == [b"0", b"1"]
        assert own_ids() == own
        leases.enter_context(pool.lease())
        assert len(own_ids() - own) == 1
    assert len(composed(client)) == 2
    assert own_ids() == own


@pytest.mark.docker
def test_two_pools_never_share_a_container(own_ids, compose):
    run(compose, "up", "--detach", "sandbox")
    own = own_ids()
    config = SandboxConfig(backend="docker", size=1)
    with (
        open_pool(config) as first,
        open_pool(config) as second,
        first.lease() as one,
        second.lease() as other,
    ):
        one.write({"mine": b""})
        with pytest.raises(FileNotFoundError):
            other.read("mine")
        assert len(own_ids() - own) == 1


@pytest.mark.docker
def test_a_container_that_was_given_back_is_clean_and_can_be_leased_again(
    own_ids, compose
):
    run(compose, "up", "--detach", "sandbox")
    own = own_ids()
    for _ in range(3):
        with (
            open_pool(SandboxConfig(backend="docker", size=1)) as pool,
            pool.lease() as sandbox,
        ):
            assert own_ids() == own
            done = sandbox.run(
                ["python", "-c", "import os; print(os.listdir())"], timeout_s=20
            )
            assert done.stdout == b"[]\n"
            sandbox.write({"left": b"behind"})


@pytest.mark.docker
def test_a_container_restarted_by_compose_is_an_error_and_then_leased_again(
    client, compose
):
    run(compose, "up", "--detach", "sandbox")
    (name,) = composed(client)
    with open_pool(SandboxConfig(backend="docker", size=1)) as pool:
        with pool.lease() as sandbox:
            client.containers.get(name).restart(timeout=0)
            with pytest.raises(SandboxError):
                sandbox.run(["python", "-c", "print(1)"], timeout_s=5)
        time.sleep(1)
        with pool.lease() as sandbox:
            assert (
                sandbox.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\n"
            )


@pytest.mark.docker
def test_a_weaker_container_of_the_same_name_is_not_leased(own_ids, compose, tmp_path):
    weaker = tmp_path / "weaker.json"
    weaker.write_text(json.dumps({"services": {"sandbox": {"read_only": False}}}))
    at = compose.index("--project-name")
    command = [*compose[:at], "--file", str(weaker), *compose[at:]]
    run(command, "up", "--detach", "sandbox")
    own = own_ids()
    with open_pool(SandboxConfig(backend="docker", size=1)) as pool, pool.lease():
        assert len(own_ids() - own) == 1
