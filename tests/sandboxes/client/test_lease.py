"""A write into a fresh sandbox: whose fault it is where it fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping

import pytest

from envs.code.testing import in_sandbox
from sandboxes import Sandbox, SandboxConfig, SandboxError, open_pool
from sandboxes.backends.unsafe import start
from sandboxes.client.lease import LeasedSandbox
from sandboxes.client.pool import StreamPool
from sandboxes.client.stream import StreamSandbox

BROKEN = (
    "ENOSPC",
    "EDQUOT",
    "EACCES",
    "EPERM",
    "EIO",
    "EROFS",
    "EMFILE",
    "ENFILE",
    "ENOMEM",
)
HONEST = ("ENAMETOOLONG", "ENOTDIR", "EFBIG", "EISDIR", "ELOOP")
FILES = {"main.py": b"print('well')\n"}
RUN = ["python", "main.py"]


class Worn:
    """Starts sandboxes, the first of which takes no file."""

    def __init__(self) -> None:
        self.error = "ENOSPC"
        self.started: list[StreamSandbox] = []

    def __call__(self) -> StreamSandbox:
        sandbox = start()
        if not self.started:
            sandbox.write = self._fail  # type: ignore[method-assign]
        self.started.append(sandbox)
        return sandbox

    def _fail(self, files: Mapping[str, bytes]) -> None:
        number = getattr(errno, self.error)
        raise OSError(number, os.strerror(number), "in the sandbox")


@pytest.fixture
def worn() -> Worn:
    return Worn()


@pytest.fixture
def pool(worn: Worn) -> Iterator[StreamPool]:
    with StreamPool(worn, 1, "worn") as opened:
        yield opened


def write_and_run(sandbox: Sandbox) -> bytes:
    sandbox.write(FILES)
    return sandbox.run(RUN, timeout_s=20).stdout


@pytest.mark.parametrize("name", BROKEN)
def test_a_fresh_sandbox_that_takes_no_file_is_replaced_and_the_work_is_done(
    pool, worn, name
):
    worn.error = name
    assert in_sandbox(pool, write_and_run) == b"well\n"
    assert len(worn.started) == 2
    # The second one is given back and stays in use.
    assert in_sandbox(pool, write_and_run) == b"well\n"
    assert len(worn.started) == 2


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_the_sandbox_that_broke_and_its_lease_is_of_no_use(pool, worn, name):
    worn.error = name
    with pool.lease() as sandbox:
        with pytest.raises(SandboxError, match=os.strerror(getattr(errno, name))):
            sandbox.write(FILES)
        with pytest.raises(SandboxError):
            sandbox.run(RUN, timeout_s=5)


@pytest.mark.parametrize("name", HONEST)
def test_an_error_of_the_writer_stays_one(pool, worn, name):
    worn.error = name
    with pool.lease() as sandbox, pytest.raises(OSError, match="in the sandbox"):
        sandbox.write(FILES)
    with pool.lease():
        assert len(worn.started) == 1


def test_once_a_command_has_run_it_may_have_left_no_room_until_a_reset(pool, worn):
    with pool.lease() as sandbox:
        sandbox.run(["python", "-c", "1"], timeout_s=20)
        with pytest.raises(OSError, match="No space left"):
            sandbox.write(FILES)
        sandbox.reset()
        with pytest.raises(SandboxError, match="No space left"):
            sandbox.write(FILES)


def full(files: Mapping[str, bytes]) -> None:
    raise OSError(errno.ENOSPC, "No space left", "in the sandbox")


@pytest.mark.parametrize(
    ("writes", "is_broken"),
    [
        ([{"large": bytes(60 << 20)}], True),
        ([{"large": bytes(65 << 20)}], False),
        ([{"a": bytes(40 << 20)}, {"b": bytes(40 << 20)}], False),
        ([{"a": bytes(40 << 20)}, {"a": bytes(40 << 20)}], True),
        ([{str(number): b"" for number in range(8000)}], True),
        ([{str(number): b"" for number in range(8192)}], False),
        ([{f"{number}/./a": b"" for number in range(4000)}], True),
        ([{f"{number}/a": b"" for number in range(4096)}], False),
        (
            [{str(number): b"x" for number in range(8000)}, {"large": bytes(40 << 20)}],
            False,
        ),
    ],
)
def test_want_of_room_for_more_than_there_ever_was_is_the_writers_own(
    worn, writes, is_broken
):
    """64 MiB in pages of 4 KiB, and 8,192 files and folders, the working folder among them."""
    given_back: list[StreamSandbox] = []
    sandbox = LeasedSandbox(worn(), given_back.append)
    *before, last = writes
    with sandbox:
        sandbox._sandbox.write = lambda files: None  # type: ignore[method-assign]
        for files in before:
            sandbox.write(files)
        sandbox._sandbox.write = full  # type: ignore[method-assign]
        with pytest.raises(SandboxError if is_broken else OSError):
            sandbox.write(last)
    worn.started[0].close()


FAILING: dict[str, Callable[[], dict[str, bytes]]] = {
    "a name that is too long": lambda: {"x" * 300: b""},
    "a file that is too large": lambda: {"large": bytes(65 << 20)},
}


@pytest.mark.docker
@pytest.mark.parametrize("name", FAILING)
def test_a_container_is_not_blamed_for_its_user(client, name):
    with (
        open_pool(SandboxConfig(backend="docker", size=1)) as pool,
        pool.lease() as sandbox,
    ):
        with pytest.raises((OSError, ValueError)):
            sandbox.write(FAILING[name]())
        sandbox.reset()
        assert write_and_run(sandbox) == b"well\n"
