"""docker-compose.yml is the only place where limits are written: another file, other limits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandboxes import SandboxConfig, limits, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends import identities
from sandboxes.image import prepare_image

CHANGES = {"pids_limit": 77, "mem_limit": "300m", "memswap_limit": "300m", "cpus": 0.5}
ULIMITS = {"nofile": 199, "fsize": 3 << 20}
FOLDERS = {"/work": 7, "/tmp": 5, "/dev/shm": 3}
UID = 54321
SHOW = """
import json, os, resource
def size_mib(path):
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize >> 20
limit = lambda name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))[1]
print(json.dumps({
    "nofile": limit("NOFILE"), "fsize": limit("FSIZE"), "uid": os.getuid(),
    "folders": {path: size_mib(path) for path in ("/work", "/tmp", "/dev/shm")},
    "processes": limit("NPROC"), "memory": limit("AS"),
}))
"""


@pytest.fixture
def rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another compose file, in which every limit is another one."""
    service = dict(limits.compose_service())
    service |= CHANGES
    service["ulimits"] = {**service["ulimits"], **ULIMITS}
    text = json.dumps(service).replace("61234", str(UID))
    for path, size_mib in FOLDERS.items():
        text, count = re.subn(rf"({path}:[a-z,]*size=)\d+m", rf"\g<1>{size_mib}m", text)
        assert count == 1, path
    file = tmp_path / "docker-compose.yml"
    file.write_text(yaml.safe_dump({"services": {"sandbox": json.loads(text)}}))
    with monkeypatch.context() as patch:
        patch.setattr(limits, "COMPOSE_FILE", file)
        forget()
        yield
    forget()


def forget() -> None:
    limits.compose_service.cache_clear()
    limits.compose_limits.cache_clear()


@pytest.mark.skipif(bool(local.available()), reason=f"local: {local.available()}")
def test_every_limit_of_a_bubblewrap_sandbox_is_the_files(rewritten):
    with (
        open_pool(SandboxConfig(backend="local", size=1)) as pool,
        pool.lease() as sandbox,
    ):
        done = sandbox.run(["python", "-c", SHOW], timeout_s=30)
    assert json.loads(done.stdout) == {
        **ULIMITS,
        "uid": UID,
        "folders": FOLDERS,
        "processes": CHANGES["pids_limit"],
        "memory": 300 << 20,
    }


@pytest.mark.docker
def test_every_limit_of_a_container_is_the_files(client, own_ids, alone, rewritten):
    before = own_ids()
    with (
        open_pool(SandboxConfig(backend="docker", size=1)) as pool,
        pool.lease() as sandbox,
    ):
        found = json.loads(sandbox.run(["python", "-c", SHOW], timeout_s=30).stdout)
        (name,) = own_ids() - before
        host = client.containers.get(name).attrs["HostConfig"]
    assert {key: found[key] for key in ("nofile", "fsize", "folders")} == {
        **ULIMITS,
        "folders": FOLDERS,
    }
    # A container of our own has a user of its own.
    assert UID < found["uid"] <= UID + identities.MAX_IDS
    assert (host["PidsLimit"], host["NanoCpus"]) == (77, 500_000_000)
    assert host["Memory"] == host["MemorySwap"] == 300 << 20


def test_every_id_that_a_command_may_have_gets_a_name():
    compose = limits.compose_limits()
    ids = prepare_image.user_ids(compose.user_ids)
    assert (ids[0], len(ids)) == (compose.uid, 1 + identities.MAX_IDS)


def test_users_are_named_by_lines_after_those_of_the_base(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/:/none\n")
    prepare_image.name_users(tmp_path, prepare_image.user_ids("7-8"))
    lines = (tmp_path / "etc" / "passwd").read_text().splitlines()
    assert lines[0].startswith("root:")
    assert lines[1:] == [f"sandbox:x:{n}:{n}::/work:/none" for n in (7, 8)]
    groups = (tmp_path / "etc" / "group").read_text().splitlines()
    assert groups == [f"sandbox:x:{n}:" for n in (7, 8)]
