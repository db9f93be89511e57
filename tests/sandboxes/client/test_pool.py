"""Leases of a pool among many users."""

from __future__ import annotations

import threading
import time

import pytest

from sandboxes import (
    Isolation,
    Sandbox,
    SandboxConfig,
    SandboxError,
    SandboxPool,
    open_pool,
)
from sandboxes.client.pool import StreamPool

UNSAFE = SandboxConfig(backend="unsafe", allow_unsafe=True, size=1)
HELLO = ["python", "-c", "print('hello')"]


def unsafe(size: int) -> SandboxPool:
    return open_pool(SandboxConfig(backend="unsafe", allow_unsafe=True, size=size))


def test_pools_and_sandboxes_keep_the_protocol():
    with open_pool(UNSAFE) as pool, pool.lease() as sandbox:
        assert isinstance(sandbox, Sandbox)
        assert sandbox.isolation is Isolation.PROCESS
        assert sandbox.run(HELLO, timeout_s=20).stdout == b"hello\n"


def test_a_lease_waits_for_a_sandbox_and_gives_up_in_time():
    with open_pool(UNSAFE) as pool, pool.lease() as sandbox:
        begun = time.monotonic()
        with pytest.raises(
            SandboxError, match="all 1 sandboxes are leased; none was returned"
        ):
            pool.lease(timeout_s=0.2)
        assert 0.2 <= time.monotonic() - begun < 2
        threading.Timer(0.2, sandbox.close).start()
        with pool.lease(timeout_s=20) as other:
            assert other.run(HELLO, timeout_s=20).stdout == b"hello\n"


def test_many_threads_never_share_a_sandbox():
    seen: list[bool] = []

    def work(number: int) -> None:
        for _ in range(3):
            with pool.lease() as sandbox:
                empty = sandbox.run(
                    ["python", "-c", "import os; print(os.listdir())"], timeout_s=20
                )
                sandbox.write({"who": str(number).encode()})
                sandbox.run(
                    ["python", "-c", "import time; time.sleep(0.01)"], timeout_s=20
                )
                seen.append(
                    empty.stdout == b"[]\n"
                    and sandbox.read("who") == str(number).encode()
                )

    with unsafe(2) as pool:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [True] * 18


def test_a_lease_that_is_over_is_no_way_to_the_next_user():
    with open_pool(UNSAFE) as pool:
        sandbox = pool.lease()
        sandbox.close()
        sandbox.close()
        with pool.lease() as other:
            other.write({"theirs": b"1"})
            for action in (
                lambda: sandbox.read("theirs"),
                lambda: sandbox.write({"x": b""}),
                lambda: sandbox.run(HELLO, timeout_s=5),
                sandbox.reset,
            ):
                with pytest.raises(SandboxError, match="lease is over"):
                    action()


def test_a_closed_pool_ends_its_sandboxes_and_leases_none():
    pool = open_pool(UNSAFE)
    sandbox = pool.lease()
    pool.close()
    pool.close()
    with pytest.raises(SandboxError):
        sandbox.run(HELLO, timeout_s=5)
    sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        pool.lease()


def test_closing_wakes_those_who_wait():
    pool = open_pool(UNSAFE)
    pool.lease()
    threading.Timer(0.2, pool.close).start()
    begun = time.monotonic()
    with pytest.raises(SandboxError, match="closed"):
        pool.lease(timeout_s=30)
    assert time.monotonic() - begun < 10


def test_a_sandbox_that_does_not_start_is_an_error_and_keeps_no_place():
    tries = 0

    def start():
        nonlocal tries
        tries += 1
        raise SandboxError("no room")

    with StreamPool(start, 1, "broken") as pool:
        for _ in range(3):
            with pytest.raises(SandboxError, match="no room"):
                pool.lease(timeout_s=5)
    assert tries == 3


def test_a_broken_sandbox_is_replaced():
    with open_pool(UNSAFE) as pool:
        code = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
        with pool.lease() as sandbox, pytest.raises(SandboxError):
            sandbox.run(["python", "-c", code], timeout_s=20)
        with pool.lease() as sandbox:
            assert sandbox.run(HELLO, timeout_s=20).stdout == b"hello\n"
