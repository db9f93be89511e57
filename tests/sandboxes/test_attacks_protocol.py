"""Attacks on the stream between client and runner, from either end, in sandboxes that isolate."""

from __future__ import annotations

import json
import threading
import time

import pytest

from sandboxes import ExecResult, Sandbox, SandboxConfig, SandboxError, open_pool
from sandboxes.backends.docker import _lease
from sandboxes.client.stream import BusyError
from sandboxes.inside.frames import (
    LENGTHS,
    MAX_HEADER,
    MAX_PAYLOAD,
    lengths,
    pack,
    parse,
)
from sandboxes.limits import compose_limits

FRAME = pack(
    {"status": 0, "late": False, "truncated": False, "wall_s": 0, "stdout": 6}, 6
)


def python(sandbox: Sandbox, code: str, stdin: bytes = b"") -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=20, stdin=stdin)


def alive(sandbox: Sandbox) -> bool:
    return python(sandbox, "print('well')").stdout == b"well\n"


def raw(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(payload)) + text + payload


RUN = {"op": "run", "job": 2, "timeout_s": 1}
NONSENSE = {
    "a huge header": LENGTHS.pack(MAX_HEADER + 1, 0),
    "a huge payload": LENGTHS.pack(2, MAX_PAYLOAD + 1) + b"{}",
    "the largest lengths": LENGTHS.pack(2**32 - 1, 2**32 - 1),
    "no JSON": raw(b"nonsense"),
    "no object": raw(b"[1]"),
    "no UTF-8": raw(b'{"op": "\xff"}'),
    "nesting": raw(b"[" * 100_000),
    "another protocol": b"GET / HTTP/1.1\r\nHost: sandbox\r\n\r\n",
    "no operation": raw({}),
    "an unknown operation": raw({"op": "shutdown"}),
    "an operation that is a list": raw({"op": ["run"]}),
    "a write outside": raw({"op": "write", "files": [["../../planted", 1]]}, b"x"),
    "a write to the root": raw({"op": "write", "files": [["/planted", 1]]}, b"x"),
    "a write of a folder": raw({"op": "write", "files": [["..", 1]]}, b"x"),
    "a write without names": raw({"op": "write", "files": 7}, b"x"),
    "a write of half a character": raw({"op": "write", "files": [["\ud800", 1]]}, b"x"),
    "a read outside": raw({"op": "read", "path": "../../etc/passwd"}),
    "a read of the root": raw({"op": "read", "path": "/etc/passwd"}),
    "a read of no name": raw({"op": "read", "path": "a\0b"}),
    "a read of a number": raw({"op": "read", "path": 1}),
    "a run without a job": raw({"op": "run", "timeout_s": 1}),
    "a run with words for a job": raw({"op": "run", "job": "x", "timeout_s": 1}),
    "a run without an end": raw({**RUN, "timeout_s": float("nan")}, b"{}"),
    "a run with words for an end": raw({**RUN, "timeout_s": "x"}, b"{}"),
}


# A container is made anew after each, so it gets one of each kind.
OF_EACH_KIND = (
    "a huge payload",
    "no JSON",
    "a write outside",
    "a read of the root",
    "nesting",
)
TRIED = [("local", name) for name in NONSENSE] + [
    pytest.param("docker", name, marks=pytest.mark.docker) for name in OF_EACH_KIND
]


@pytest.mark.daily(6, per="jails")
@pytest.mark.parametrize(("jails", "name"), TRIED, indirect=["jails"])
def test_a_runner_hangs_up_on_nonsense_and_the_next_lease_is_whole(jails, name):
    with jails.lease() as lease:
        lease.write({"secret": b"of the lease before"})
        stream = lease._sandbox._stream
        stream.send(NONSENSE[name], time.monotonic() + 5)
        with pytest.raises((EOFError, OSError)):
            stream.receive(1, time.monotonic() + 10)
        with pytest.raises(SandboxError):
            lease.read("secret")
    with jails.lease() as lease:
        assert python(
            lease, "import os; print(os.listdir(), os.listdir('/tmp'))"
        ).stdout == (b"[] []\n")


HARMLESS = {
    "more announced than sent": raw(
        {"op": "write", "files": [["a", 100], ["b", 5]]}, b"x"
    ),
    "a job that is no JSON": raw(RUN, b"no"),
    "a job that is longer than what came": raw({**RUN, "job": 2**40}, b"{}"),
    "a job without a command": raw(RUN, b"{}"),
    "a command that is a number": raw({**RUN, "job": 21}, b'{"argv":5, "cwd":"."} '),
    "an end in the past": raw({**RUN, "timeout_s": -5}, b"{}"),
    "a folder outside": raw(
        {**RUN, "job": 46}, b'{"argv": ["python", "-c", "1"], "cwd": "/etc"}'
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_bad_request_is_answered_and_the_lease_goes_on(jail, name):
    stream, until = jail._sandbox._stream, time.monotonic() + 10
    stream.send(HARMLESS[name], until)
    answer = {"ending": True}
    while answer.get("ending"):
        header_size, payload_size = lengths(stream.receive(LENGTHS.size, until))
        answer = parse(stream.receive(header_size, until))
        stream.receive(payload_size, until)
    assert answer.get("ok") or answer.get("late") or answer["status"] in (0, 127)
    assert alive(jail)


def test_a_request_in_single_bytes_and_a_flood_of_requests_are_answered(jail):
    stream, until = jail._sandbox._stream, time.monotonic() + 20
    ping, answer = pack({"op": "ping"}), pack({"ok": True})
    for place in range(len(ping)):
        stream.send(ping[place : place + 1], until)
    assert stream.receive(len(answer), until) == answer
    sender = threading.Thread(target=stream.send, args=(ping * 2000, until))
    sender.start()
    assert stream.receive(len(answer) * 2000, until) == answer * 2000
    sender.join()
    assert alive(jail)


@pytest.mark.parametrize("sent", [1, 7, 12, 2000])
def test_a_client_that_hangs_up_in_the_middle_of_a_request_leaves_nothing(jails, sent):
    request = raw({"op": "write", "files": [["a", 1 << 20]]}, bytes(1 << 20))
    begun = time.monotonic()
    with jails.lease() as lease:
        lease._sandbox._stream.send(request[:sent], begun + 5)
        lease._sandbox._stream.close()
    with jails.lease() as lease:
        assert python(lease, "import os; print(os.listdir())").stdout == b"[]\n"
    assert time.monotonic() - begun < 15


def test_a_client_that_hangs_up_under_a_command_ends_it(jails):
    begun = time.monotonic()
    with jails.lease() as lease:
        job = json.dumps(
            {"argv": ["python", "-c", "import time; time.sleep(60)"], "cwd": "."}
        )
        request = raw({"op": "run", "job": len(job), "timeout_s": 60}, job.encode())
        lease._sandbox._stream.send(request, begun + 5)
        time.sleep(0.2)
        lease._sandbox._stream.close()
    with jails.lease() as lease:
        assert alive(lease)
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_that_looks_like_an_answer_is_output(jail, stream):
    code = (
        f"import sys; sys.{stream}.buffer.write(sys.stdin.buffer.read()); sys.exit(1)"
    )
    done = python(jail, code, stdin=(FRAME + b"passed") * 50)
    assert done.exit_code == 1
    assert getattr(done, stream) == (FRAME + b"passed") * 50


FORGE = """
import os, sys
forged, reached = sys.stdin.buffer.read(), 0
for fd in range(3, 256):
    try:
        os.write(fd, forged)
        reached += 1
    except OSError:
        pass
for pid in ["self", "thread-self", *filter(str.isdigit, os.listdir("/proc"))]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        continue
    for name in names:
        path = f"/proc/{pid}/fd/{name}"
        try:
            target = os.readlink(path)
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            os.write(fd, forged)
            reached += not target.startswith("pipe:")
        except OSError:
            pass
        else:
            os.close(fd)
os.write(1, str(reached).encode())
"""


def test_no_descriptor_in_reach_leads_to_the_stream(jail):
    done = python(jail, FORGE, stdin=FRAME + b"forged")
    assert done.exit_code == 0, done
    assert done.stdout.endswith(b"0")
    assert python(jail, "import sys; print('honest'); sys.exit(4)").exit_code == 4
    jail.write({"file": b"honest"})
    assert jail.read("file") == b"honest"


def test_a_name_that_looks_like_a_request_is_a_name(jail):
    names = ['{"op":"reset"}', "\x00"[1:] + "\x01\x02", '"],["x', "a\\u002e"]
    jail.write({name: name.encode() for name in names})
    assert [jail.read(name) for name in names] == [name.encode() for name in names]


HALF_OPEN = """
import socket, sys, time
held = [socket.socket(socket.AF_UNIX) for _ in range(3)]
for one in held:
    one.connect(sys.argv[1])
time.sleep(5)
"""


@pytest.mark.docker
def test_those_who_knock_during_a_lease_are_turned_away_and_cost_it_little(
    client, own_ids, alone
):
    before = own_ids()
    with (
        open_pool(SandboxConfig(backend="docker", size=1)) as pool,
        pool.lease() as lease,
    ):
        (name,) = own_ids() - before
        container = client.containers.get(name)
        knock = ["python3", "-c", HALF_OPEN, compose_limits().listen]
        container.exec_run(knock, user="0:0", detach=True)
        begun = time.monotonic()
        assert alive(lease)
        with pytest.raises(BusyError):
            _lease(client, container, lambda: None)
        assert alive(lease)
        assert time.monotonic() - begun < 5
