"""What every backend promises, whatever the code inside does."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sandboxes import ExecResult, Sandbox, SandboxError
from sandboxes.inside.settings import START

CAP = 64 * 1024


def python(
    sandbox: Sandbox, code: str, timeout_s: float = 20.0, stdin: bytes = b""
) -> ExecResult:
    return sandbox.run(["python", "-c", code], timeout_s=timeout_s, stdin=stdin)


def printed(sandbox: Sandbox, code: str) -> str:
    """What the code prints; it has to end well."""
    done = python(sandbox, code)
    assert done.exit_code == 0, done
    return done.stdout.decode().strip()


def test_status_and_both_streams_come_back_apart(sandbox):
    code = "import sys; sys.stdout.write('out'); sys.stderr.write('err'); sys.exit(3)"
    done = python(sandbox, code)
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out", b"err")
    assert (done.timed_out, done.truncated) == (False, False)


def test_a_signal_is_a_negative_status(sandbox):
    assert (
        python(
            sandbox, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        ).exit_code
        == -11
    )


COPY = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"


def test_input_arrives_whole_and_bytes_come_back_unchanged(sandbox):
    every = bytes(range(256)) * 64
    assert python(sandbox, COPY, stdin=every).stdout == every
    count = "import sys; print(len(sys.stdin.buffer.read()))"
    assert python(sandbox, count, stdin=bytes(5_000_000)).stdout == b"5000000\n"
    assert python(sandbox, count).stdout == b"0\n"


def test_input_that_nobody_reads_holds_nothing_up(sandbox):
    begun = time.monotonic()
    assert python(sandbox, "pass", stdin=bytes(5_000_000)).exit_code == 0
    assert time.monotonic() - begun < 10


def test_what_was_printed_before_the_deadline_is_kept(sandbox):
    begun = time.monotonic()
    done = python(
        sandbox,
        "import time; print('first', flush=True); time.sleep(60)",
        timeout_s=0.5,
    )
    assert time.monotonic() - begun < 10
    assert done.timed_out
    assert done.exit_code is None
    assert done.stdout == b"first\n"
    assert 0.5 <= done.wall_s < 5


@pytest.mark.parametrize(
    ("stream", "other"), [("stdout", "stderr"), ("stderr", "stdout")]
)
def test_output_past_the_cap_ends_the_command(sandbox, stream, other):
    code = f"import sys\nwhile True: sys.{stream}.write('x' * 4096)"
    begun = time.monotonic()
    done = python(sandbox, code, timeout_s=60)
    assert time.monotonic() - begun < 20
    assert done.truncated
    assert not done.timed_out
    assert getattr(done, stream) == b"x" * CAP
    assert getattr(done, other) == b""


def test_output_up_to_the_cap_is_kept_whole(sandbox):
    done = python(
        sandbox,
        f"import sys; sys.stdout.write('x' * {CAP}); sys.stderr.write('y' * {CAP})",
    )
    assert (done.exit_code, done.truncated) == (0, False)
    assert (done.stdout, done.stderr) == (b"x" * CAP, b"y" * CAP)


def test_files_of_any_depth_and_content_can_be_laid_down_and_read(sandbox):
    files = {
        "a": b"",
        "b/c/d/e": bytes(range(256)),
        "./b//f": b"text",
        "name with spaces/ü": b"1",
    }
    sandbox.write(files)
    for path, content in files.items():
        assert sandbox.read(path) == content
    sandbox.write({"b/f": b"other", "a/now/a/folder": b"2"})
    assert sandbox.read("b/f") == b"other"
    assert sandbox.read("a/now/a/folder") == b"2"
    sandbox.write({})


def test_more_files_than_one_message_holds(sandbox):
    files = {"one": bytes(20 << 20), "two": b"\1" * (20 << 20)}
    sandbox.write(files)
    assert {path: sandbox.read(path) for path in files} == files


RUN = b"""
import os, sys
from package.value import VALUE
os.mkdir("made")
with open("made/here", "w") as file:
    file.write("new")
print(VALUE, sys.argv)
"""


def test_commands_see_written_files_and_leave_theirs_to_be_read(sandbox):
    sandbox.write(
        {"package/__init__.py": b"", "package/value.py": b"VALUE = 7\n", "run.py": RUN}
    )
    assert (
        sandbox.run(["python", "run.py", "x"], timeout_s=20).stdout
        == b"7 ['run.py', 'x']\n"
    )
    assert sandbox.read("made/here") == b"new"
    listed = sandbox.run(
        ["python", "-c", "import os; print(os.listdir())"], timeout_s=20, cwd="made"
    )
    assert listed.stdout == b"['here']\n"


@pytest.mark.parametrize(
    "path", ["/planted", "..", "../planted", "a/../../planted", "", ".", "\0"]
)
def test_a_path_that_leads_elsewhere_is_refused_by_name(sandbox, path):
    with pytest.raises(ValueError, match="relative"):
        sandbox.write({"fine": b"", path: b""})
    with pytest.raises(ValueError, match="relative"):
        sandbox.read(path)
    with pytest.raises(FileNotFoundError):
        sandbox.read("fine")


def test_a_bad_call_is_named_and_the_sandbox_goes_on(sandbox):
    for argv, timeout_s, cwd in (
        ([], 1, "."),
        (["python"], 0, "."),
        (["python"], 1, "../.."),
    ):
        with pytest.raises(ValueError, match="got"):
            sandbox.run(argv, timeout_s=timeout_s, cwd=cwd)
    assert printed(sandbox, "print('well')") == "well"


PLANT = """
import os, socket
os.symlink("real/file", "link")
os.symlink("nowhere", "dangling")
os.symlink("real", "folder")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
"""


def test_links_pipes_and_folders_are_not_read_and_make_way_for_files(sandbox):
    sandbox.write({"real/file": b"theirs"})
    printed(sandbox, PLANT)
    odd = (
        "link",
        "dangling",
        "folder/file",
        "pipe",
        "socket",
        "real",
        "nothing",
        "real/file/x",
    )
    for path in odd:
        with pytest.raises(FileNotFoundError):
            sandbox.read(path)
    names = ("link", "dangling", "folder/file", "pipe", "socket")
    sandbox.write(dict.fromkeys(names, b"mine"))
    assert [sandbox.read(path) for path in names] == [b"mine"] * 5
    assert sandbox.read("real/file") == b"theirs"


STRAYS = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.setsid()
            while True:
                with open("beat", "a") as file:
                    file.write(".")
                time.sleep(0.02)
        os._exit(0)
while not os.path.exists("beat") or not os.path.getsize("beat"):
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("end", "timeout_s", "late", "cut"),
    [
        ("time.sleep(60)", 3, True, False),
        ("os._exit(0)", 30, False, False),
        ("while True: print('x' * 4096)", 30, False, True),
    ],
)
def test_grandchildren_in_sessions_of_their_own_die_with_the_command(
    sandbox, end, timeout_s, late, cut
):
    done = python(sandbox, STRAYS + end, timeout_s)
    assert (done.timed_out, done.truncated) == (late, cut)
    before = sandbox.read("beat")
    time.sleep(0.3)
    assert sandbox.read("beat") == before != b""


def test_a_closed_output_does_not_end_a_command_early(sandbox):
    code = "import os, time; os.close(1); os.close(2); time.sleep(0.3); open('late', 'w').close()"
    assert python(sandbox, code).exit_code == 0
    assert sandbox.read("late") == b""


def test_a_reset_empties_the_folder(sandbox):
    sandbox.write({"a/b": b"1"})
    sandbox.reset()
    assert printed(sandbox, "import os; print(os.listdir())") == "[]"
    sandbox.write({"a": b"2"})
    assert sandbox.read("a") == b"2"


DEEP = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\nopen('leaf', 'w').close()"
SHUT = """
import os
for number in range(20):
    os.makedirs(f"shut/{number}/inner")
    open(f"shut/{number}/inner/file", "w").close()
    os.chmod(f"shut/{number}/inner/file", 0)
    os.chmod(f"shut/{number}/inner", 0)
    os.chmod(f"shut/{number}", 0)
os.chmod("shut", 0)
"""


@pytest.mark.parametrize("code", [DEEP, SHUT], ids=["deep", "shut"])
def test_no_tree_withstands_a_reset(sandbox, code):
    printed(sandbox, code)
    sandbox.reset()
    assert printed(sandbox, "import os; print(os.listdir())") == "[]"


def test_a_lease_finds_nothing_of_the_one_before(pool):
    with pool.lease() as sandbox:
        sandbox.write({"secret/file": b"secret"})
        printed(sandbox, "import os; open(os.environ['TMPDIR'] + '/left', 'w').close()")
    with pool.lease() as sandbox:
        code = "import os; print(os.listdir(), os.listdir(os.environ['TMPDIR']))"
        assert printed(sandbox, code) == "[] []"
        with pytest.raises(FileNotFoundError):
            sandbox.read("secret/file")


def test_a_shut_working_folder_is_open_again_for_files_and_commands(sandbox):
    printed(sandbox, "import os; os.chmod('.', 0)")
    sandbox.write({"file": b"1"})
    assert sandbox.read("file") == b"1"
    assert printed(sandbox, "print('well')") == "well"


@pytest.mark.parametrize("pool", ["local", "unsafe"], indirect=True)
def test_a_sandbox_that_dies_under_a_command_is_an_error_and_the_next_lease_is_whole(
    pool,
):
    with pool.lease() as sandbox:
        (runner,) = runners()
        threading.Timer(0.3, os.kill, (runner, signal.SIGKILL)).start()
        begun = time.monotonic()
        with pytest.raises(SandboxError):
            python(sandbox, "import time; time.sleep(60)", timeout_s=60)
        assert time.monotonic() - begun < 10
        with pytest.raises(SandboxError):
            sandbox.read("file")
    with pool.lease() as sandbox:
        assert runners() != [runner]
        assert printed(sandbox, "print('well')") == "well"


def runners() -> list[int]:
    """Processes that this one has started to carry sandboxes: bubblewrap's first, or the runner."""
    own = Path("/proc/self/task").glob("*/children")
    children = [int(pid) for file in own for pid in file.read_text().split()]
    return [
        pid
        for pid in children
        if START.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]
