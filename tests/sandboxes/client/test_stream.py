"""What the client takes from a sandbox that breaks or lies, and the runner from such a client."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sandboxes import Isolation, SandboxConfig, SandboxError, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.client.stream import SocketStream, StreamSandbox
from sandboxes.inside.frames import (
    LENGTHS,
    MAX_HEADER,
    MAX_PAYLOAD,
    MalformedFrame,
    lengths,
    pack,
    parse,
)
from sandboxes.inside.leases import Listener
from sandboxes.tools.soak_rounds import descendants

HELLO = pack({"hello": "v1"})


def test_a_frame_comes_back_as_it_went():
    frame = pack({"op": "run", "text": "é"}, 3)
    header_size, payload_size = lengths(frame[: LENGTHS.size])
    assert payload_size == 3
    assert parse(frame[LENGTHS.size :]) == {"op": "run", "text": "é"}
    assert len(frame) == LENGTHS.size + header_size


@pytest.mark.parametrize(
    "sizes", [(MAX_HEADER + 1, 0), (0, MAX_PAYLOAD + 1), (2**32 - 1,) * 2]
)
def test_lengths_past_the_limits_are_refused_unread(sizes):
    with pytest.raises(MalformedFrame):
        lengths(LENGTHS.pack(*sizes))


@pytest.mark.parametrize("text", [b"", b"[]", b"nul", b"\xff", b"[" * 100_000])
def test_a_header_that_is_no_object_is_refused(text):
    with pytest.raises(MalformedFrame):
        parse(text)


def test_too_long_a_frame_is_not_sent():
    with pytest.raises(ValueError, match="send less"):
        pack({"x": "y" * MAX_HEADER})


@pytest.fixture
def talk() -> Iterator[Callable[..., StreamSandbox]]:
    """A sandbox whose far end says what it is told to and hangs up, after any request at all."""
    ends: list[socket.socket] = []

    def connect(*answers: bytes) -> StreamSandbox:
        ours, theirs = socket.socketpair()
        ends.append(theirs)
        theirs.sendall(HELLO)

        def answer() -> None:
            for each in answers:
                theirs.recv(1 << 16)
                theirs.sendall(each)
            with suppress(OSError):
                theirs.shutdown(socket.SHUT_WR)

        threading.Thread(target=answer, daemon=True).start()
        return StreamSandbox(SocketStream(ours), Isolation.NONE, "v1", lambda: None)

    yield connect
    for end in ends:
        end.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        LENGTHS.pack(2**31, 0),
        LENGTHS.pack(4, 0) + b"null",
        pack({}),
        pack(
            {"status": "x", "late": False, "truncated": False, "wall_s": 1, "stdout": 0}
        ),
        pack(
            {"status": 0, "late": False, "truncated": False, "wall_s": 1, "stdout": 0},
            9,
        )
        + b"s",
    ],
)
def test_whatever_a_lying_sandbox_answers_is_a_broken_sandbox(talk, answer):
    with talk(answer) as sandbox:
        with pytest.raises(SandboxError):
            sandbox.run(["python", "-c", "1"], timeout_s=5)
        with pytest.raises(SandboxError, match="closed"):
            sandbox.read("x")


def test_a_sandbox_that_says_nothing_is_given_up_after_the_deadline(monkeypatch):
    monkeypatch.setattr("sandboxes.client.stream.SILENCE_S", 0.2)
    ours, theirs = socket.socketpair()
    theirs.sendall(HELLO)
    with (
        theirs,
        StreamSandbox(
            SocketStream(ours), Isolation.NONE, "v1", lambda: None
        ) as sandbox,
    ):
        begun = time.monotonic()
        with pytest.raises(SandboxError):
            sandbox.run(["python", "-c", "1"], timeout_s=0.1)
        assert 0.3 <= time.monotonic() - begun < 3


DONE = pack({"status": 0, "late": False, "truncated": False, "wall_s": 1, "stdout": 0})


@pytest.mark.parametrize(
    ("said", "waited_for"), [(pack({"ending": True}), True), (b"", False)]
)
def test_a_sandbox_that_says_that_it_kills_is_given_the_time_to(
    monkeypatch, said, waited_for
):
    monkeypatch.setattr("sandboxes.client.stream.SILENCE_S", 0.1)
    ours, theirs = socket.socketpair()
    theirs.sendall(HELLO + said)
    slow = threading.Timer(0.6, theirs.sendall, [DONE])
    with (
        theirs,
        StreamSandbox(
            SocketStream(ours), Isolation.NONE, "v1", lambda: None
        ) as sandbox,
    ):
        slow.start()
        if waited_for:
            assert sandbox.run(["python", "-c", "1"], timeout_s=0.1).exit_code == 0
        else:
            with pytest.raises(SandboxError):
                sandbox.run(["python", "-c", "1"], timeout_s=0.1)
        slow.cancel()
        slow.join()


def test_a_sandbox_that_is_stopped_is_noticed_two_seconds_past_the_deadline():
    if reason := local.available():
        pytest.skip(reason)
    # Other tests may have left a server that forks, which is no sandbox.
    others = set(descendants())
    with open_pool(SandboxConfig(backend="local", size=1)) as pool:
        with pool.lease() as sandbox:
            for pid in set(descendants()) - others:
                os.kill(pid, signal.SIGSTOP)
            begun = time.monotonic()
            with pytest.raises(SandboxError):
                sandbox.run(["python", "-c", "1"], timeout_s=0.5)
            assert 2.4 < time.monotonic() - begun < 6
        with pool.lease() as sandbox:
            assert (
                sandbox.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\n"
            )


@pytest.fixture
def listening(
    tmp_path: Path,
) -> Iterator[tuple[Listener, Callable[[bool], socket.socket]]]:
    """A runner's listener, and clients that connect, with descriptors to hand over or without."""
    path = f"{tmp_path}/listener"
    listener, ends = Listener(path), []

    def connect(whole: bool) -> socket.socket:
        ours, theirs = socket.socketpair()
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        if whole:
            socket.send_fds(client, [b"."], [theirs.fileno(), theirs.fileno()])
        ends.extend((ours, theirs, client))
        ours.settimeout(5)
        return ours

    yield listener, connect
    listener.close()
    for end in ends:
        end.close()


def test_half_open_connections_block_no_other_and_do_not_pile_up(listening):
    listener, connect = listening
    for _ in range(5):
        connect(False)
    first = connect(True)
    begun = time.monotonic()
    lease = listener.accept(5)
    lease.send({"hello": "v1"})
    assert first.recv(100) == HELLO
    for _ in range(30):
        connect(False)
        lease.poll(select.poll(), 0)
    assert len(listener._pending) <= 8
    second = connect(True)
    while not select.select([second], [], [], 0)[0]:
        lease.poll(select.poll(), 100)
    assert second.recv(100) == pack({"busy": True})
    lease.close()
    assert time.monotonic() - begun < 1


def test_accepting_times_out_if_no_client_hands_descriptors_over(listening):
    listener, connect = listening
    connect(False)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        listener.accept(0.3)
    assert 0.3 <= time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "hello", [pack({"hello": "v2"}), pack({"busy": True}), b"SSH-2.0\r\n"]
)
def test_a_sandbox_of_another_kind_is_not_taken(hello):
    ours, theirs = socket.socketpair()
    ended: list[bool] = []
    with theirs:
        theirs.sendall(hello)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(SandboxError):
            StreamSandbox(
                SocketStream(ours), Isolation.NONE, "v1", lambda: ended.append(True)
            )
    assert ended == [True]


@pytest.mark.parametrize(
    "bytes_sent",
    [
        LENGTHS.pack(2**31, 0),
        LENGTHS.pack(4, 0) + b"null",
        pack({"op": "nothing"}),
        pack({"op": "write", "files": [["../../x", 1]]}, 1) + b"x",
        pack({"op": "write"}),
        pack({"op": "read", "path": "/etc/passwd"}),
        pack({"op": "run", "job": "x", "timeout_s": 1}),
    ],
)
def test_a_runner_hangs_up_on_a_client_that_talks_nonsense(bytes_sent):
    with open_pool(SandboxConfig(backend="unsafe", allow_unsafe=True, size=1)) as pool:
        with pool.lease() as lease:
            stream = lease._sandbox._stream
            stream.send(bytes_sent, time.monotonic() + 5)
            with pytest.raises((EOFError, OSError)):
                stream.receive(1, time.monotonic() + 5)
        with pool.lease() as lease:
            assert (
                lease.run(["python", "-c", "print(1)"], timeout_s=20).stdout == b"1\n"
            )
