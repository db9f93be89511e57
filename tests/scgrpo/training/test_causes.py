"""Names of what broke, from real exceptions and from texts that a policy may have had a hand in."""

from __future__ import annotations

import errno
import os
import re
import socket

import pytest

from envs.rollout import Limits, PromptTooLongError, play
from envs.store import from_json, to_json
from envs.toy.guess import ToyGuess
from envs.types import Episode
from sandboxes import SandboxError, SandboxPool
from sandboxes.backends.fake import FakePool
from sandboxes.base import Isolation
from sandboxes.client.pool import StreamPool
from sandboxes.client.stream import SocketStream, StreamSandbox
from scgrpo.policies.completions import ServerError
from scgrpo.policies.engines.base import EngineLostError
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.training.causes import (
    cause,
    count_causes,
    count_ungraded,
    describe_causes,
)


class PolicyClosed(RuntimeError):
    """An exception of a class that nothing here knows."""


def errored(error: Exception) -> Episode:
    """A real record of an episode that breaks with this."""

    def broken(_: object) -> str:
        raise error

    env = ToyGuess()
    return play(env, ScriptedPolicy(broken), env.tasks("train", 0)[0])


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "in the sandbox"), "ENOSPC"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), "ENOENT"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "ECONNRESET"),
        (OSError(123456, "no error of this system"), "errno_123456"),
        (OSError("cannot seek"), "OSError"),
        (TimeoutError(), "TimeoutError"),
        (KeyError("a: b"), "KeyError"),
        (PolicyClosed(), "PolicyClosed"),
        (EngineLostError("http://x/v1 has been silent for 120 s"), "engine"),
        (ServerError("no engine works"), "engine"),
        (SandboxError("Docker cannot start a container: 500"), "sandbox_docker"),
        (
            # As versions before 2026-11-28 said it.
            SandboxError("all 4 sandboxes are out and none came back in 60 s"),
            "sandbox_none_free",
        ),
        (
            SandboxError("all 1000 user ids for sandboxes are in use"),
            "sandbox_none_free",
        ),
        (
            SandboxError(
                "a fresh sandbox does not take a file: No space left on device; replace"
            ),
            "sandbox_no_room",
        ),
        (
            SandboxError("a fresh sandbox does not take a file: Read-only"),
            "sandbox_no_file",
        ),
        (SandboxError("no sandbox started in time"), "sandbox_start_timeout"),
        (SandboxError("this lease is over"), "sandbox_closed"),
        (SandboxError("something new"), "SandboxError"),
    ],
)
def test_an_exception_has_a_short_name_that_outlives_the_disk(error, name):
    episode = errored(error)
    assert cause(episode.error) == name
    assert cause(from_json(to_json(episode)).error) == name
    assert re.fullmatch(r"\w+", name, re.ASCII)


def test_the_sandboxes_own_errors_have_their_names():
    def raises(pool: SandboxPool) -> str:
        with pytest.raises(SandboxError) as error:
            pool.lease(0.01)
        return cause(errored(error.value).error)

    none = StreamPool(lambda: pytest.fail("nothing starts"), 0, "none")
    assert raises(none) == "sandbox_none_free"
    none.close()
    assert raises(none) == "sandbox_closed"
    fake = FakePool(lambda *_: pytest.fail("nothing runs"))
    fake.close()
    assert raises(fake) == "sandbox_closed"
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(SandboxError) as error:
        StreamSandbox(SocketStream(ours), Isolation.NONE, "", lambda: None)
    assert cause(errored(error.value).error) == "sandbox_lost"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("the verifier gave no verdict", "no_verdict"),
        ("", "unknown"),
        ("the sample has no score", "unknown"),
        ("Größe: 3", "unknown"),
        ("ValueError: [Errno 28] is what it said", "ENOSPC"),
        ("ValueError: it said [Errno 28]", "ValueError"),
        ("KeyError: 'SandboxError: the box is lost: x'", "KeyError"),
        (f"{'E' * 99}: long", "E" * 60),
        ("RuntimeError: two\nlines", "RuntimeError"),
    ],
)
def test_any_other_text_has_a_name_and_what_a_policy_wrote_gives_none(text, name):
    assert cause(text) == name


def test_only_errored_episodes_are_counted_and_the_most_frequent_is_first():
    env = ToyGuess()
    good = play(env, ScriptedPolicy(["1"]), env.tasks("train", 0)[0])
    full = errored(OSError(errno.ENOSPC, "full"))
    counts = count_causes([errored(KeyError("x")), full, good, full])
    assert list(counts.items()) == [("ENOSPC", 2), ("KeyError", 1)]
    assert describe_causes({"b": 1, "zero": 0, "c": 2.0, "a": 1}) == "c 2, a 1, b 1"
    assert describe_causes({}) == ""


def test_prompts_that_are_too_long_are_no_error_but_a_reason_for_no_verdict():
    long = errored(PromptTooLongError(9, Limits(4, 9)))
    broken = errored(KeyError("x"))
    assert count_causes([long, broken]) == {"KeyError": 1}
    assert count_ungraded([long, long, broken]) == {"prompt_too_long": 2, "KeyError": 1}
    assert cause(long.error) == "prompt_too_long"
