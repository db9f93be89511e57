"""Scripted boxes keep the same protocol as real ones."""

from __future__ import annotations

import pytest

from sandboxes import ExecResult, Sandbox, SandboxError
from sandboxes.backends.fake import FakePool


def shout(argv, files, stdin) -> ExecResult:
    files["seen"] = stdin
    return ExecResult(0, " ".join(argv).upper().encode(), b"")


def test_commands_are_answered_by_the_handler_and_files_are_kept():
    with FakePool(shout) as pool, pool.lease() as box:
        assert isinstance(box, Sandbox)
        box.write({"./a/b": b"1"})
        assert box.read("a/b") == b"1"
        assert box.run(["say", "hi"], timeout_s=1, stdin=b"x").stdout == b"SAY HI"
        assert box.read("seen") == b"x"
        box.reset()
        with pytest.raises(FileNotFoundError):
            box.read("a/b")


def test_each_lease_is_empty_and_paths_are_checked():
    with FakePool(shout) as pool:
        with pool.lease() as box:
            box.write({"a": b"1"})
        with pool.lease() as box:
            with pytest.raises(FileNotFoundError):
                box.read("a")
            with pytest.raises(ValueError, match="relative"):
                box.write({"../a": b""})


def test_after_the_end_everything_is_an_error():
    pool = FakePool(shout)
    box = pool.lease()
    box.close()
    with pytest.raises(SandboxError):
        box.run(["x"], timeout_s=1)
    pool.close()
    with pytest.raises(SandboxError):
        pool.lease()
