"""Each sandbox has a user id of its own, and gives it back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandboxes import SandboxConfig, SandboxError, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends import identities
from sandboxes.backends.containers import container_options
from sandboxes.inside.settings import START
from sandboxes.limits import compose_limits
from sandboxes.tools.soak_rounds import descendants


def uids_of_runners() -> list[int]:
    """Kernel's user ids of the runners in bubblewrap's sandboxes, which this process started."""
    runners: dict[str, tuple[str, int]] = {}
    for pid in descendants():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[0] == b"/usr/bin/python3" and START.encode() in words:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            status = dict(line.split(":", 1) for line in lines)
            runners[str(pid)] = (status["PPid"].strip(), int(status["Uid"].split()[0]))
    # The others are children that wait for a command.
    return [uid for parent, uid in runners.values() if parent not in runners]


@pytest.mark.skipif(bool(local.available()), reason=f"local: {local.available()}")
def test_sandboxes_of_bubblewrap_are_different_users_to_the_kernel():
    if os.geteuid() != 0:
        pytest.skip("only root may start a process as somebody else")
    before = set(identities._IN_USE)
    with open_pool(SandboxConfig(backend="local", size=3)) as pool:
        sandboxes = [pool.lease() for _ in range(3)]
        uids = uids_of_runners()
        assert len(uids) == len(set(uids)) == 3
        assert set(uids) == identities._IN_USE - before
        for sandbox in sandboxes:
            sandbox.close()
    assert before == identities._IN_USE


@pytest.mark.docker
def test_containers_of_our_own_are_different_users_to_the_kernel(client, alone):
    before = set(identities._IN_USE)
    code = (
        "import os; print(os.getuid(), os.getgid(), *[os.stat(p).st_uid for p in {}])"
    )
    folders = tuple(compose_limits().folders_mib)
    with open_pool(SandboxConfig(backend="docker", size=2)) as pool:
        sandboxes = [pool.lease() for _ in range(2)]
        said = [
            sandbox.run(["python", "-c", code.format(folders)], timeout_s=20).stdout
            for sandbox in sandboxes
        ]
        (one,), (other,) = (set(map(int, words.split())) for words in said)
        assert {one, other} == identities._IN_USE - before
        assert one != other
        for sandbox in sandboxes:
            sandbox.close()
    assert before == identities._IN_USE


def test_an_id_comes_back_where_a_sandbox_does_not_start():
    before = set(identities._IN_USE)
    taken: list[int] = []

    def start(uid: int):
        taken.append(uid)
        raise SandboxError("no room")

    for _ in range(3):
        with pytest.raises(SandboxError, match="no room"):
            identities.with_own_id(start)
    assert before == identities._IN_USE
    first = compose_limits().uid
    assert all(first < uid <= first + identities.MAX_IDS < 65534 for uid in taken)


def test_no_two_have_the_same_and_the_last_one_out_says_so(monkeypatch):
    monkeypatch.setattr(identities, "_IN_USE", set())
    monkeypatch.setattr(identities, "MAX_IDS", 3)
    assert len({identities._acquire() for _ in range(3)}) == 3
    with pytest.raises(SandboxError, match="all 3 user ids"):
        identities._acquire()


def test_a_container_for_another_user_differs_in_nothing_else():
    file, own = container_options(), container_options(61999)
    uid = compose_limits().uid
    assert str(own["command"]) == str(file["command"]).replace(str(uid), "61999")
    assert str(own["tmpfs"]) == str(file["tmpfs"]).replace(str(uid), "61999")
    assert {key for key in file if str(file[key]) != str(own[key])} == {
        "command",
        "tmpfs",
    }
