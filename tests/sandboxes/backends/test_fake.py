"""Scripted sandboxes keep the same protocol as real ones."""

from __future__ import annotations

import pytest

from sandboxes import ExecResult, Sandbox, SandboxError
from sandboxes.backends.fake import FakePool


def shout(argv, files, stdin) -> ExecResult:
    files["seen"] = stdin
    return ExecResult(0, " ".join(argv).upper().encode(), b"")


def test_commands_are_answered_by_the_handler_and_files_are_kept():
    with FakePool(shout) as pool, pool.lease() as sandbox:
        assert isinstance(sandbox, Sandbox)
        sandbox.write({"./a/b": b"1"})
        assert sandbox.read("a/b") == b"1"
        assert sandbox.run(["say", "hi"], timeout_s=1, stdin=b"x").stdout == b"SAY HI"
        assert sandbox.read("seen") == b"x"
        sandbox.reset()
        with pytest.raises(FileNotFoundError):
            sandbox.read("a/b")


def test_each_lease_is_empty_and_paths_are_checked():
    with FakePool(shout) as pool:
        with pool.lease() as sandbox:
            sandbox.write({"a": b"1"})
        with pool.lease() as sandbox:
            with pytest.raises(FileNotFoundError):
                sandbox.read("a")
            with pytest.raises(ValueError, match="relative"):
                sandbox.write({"../a": b""})


def test_after_the_end_everything_is_an_error():
    pool = FakePool(shout)
    sandbox = pool.lease()
    sandbox.close()
    with pytest.raises(SandboxError):
        sandbox.run(["x"], timeout_s=1)
    pool.close()
    with pytest.raises(SandboxError):
        pool.lease()
