"""What every backend promises, whatever the code inside does."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from sandboxes import ExecResult, Sandbox, SandboxError

CAP = 64 * 1024


def python(
    box: Sandbox, code: str, timeout_s: float = 20.0, stdin: bytes = b""
) -> ExecResult:
    return box.run(["python", "-c", code], timeout_s=timeout_s, stdin=stdin)


def printed(box: Sandbox, code: str) -> str:
    """What the code prints; it has to end well."""
    done = python(box, code)
    assert done.exit_code == 0, done
    return done.stdout.decode().strip()


def test_status_and_both_streams_come_back_apart(box):
    code = "import sys; sys.stdout.write('out'); sys.stderr.write('err'); sys.exit(3)"
    done = python(box, code)
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out", b"err")
    assert (done.timed_out, done.truncated) == (False, False)


def test_a_signal_is_a_negative_status(box):
    assert (
        python(box, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").exit_code
        == -11
    )


COPY = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"


def test_input_arrives_whole_and_bytes_come_back_unchanged(box):
    every = bytes(range(256)) * 64
    assert python(box, COPY, stdin=every).stdout == every
    count = "import sys; print(len(sys.stdin.buffer.read()))"
    assert python(box, count, stdin=bytes(5_000_000)).stdout == b"5000000\n"
    assert python(box, count).stdout == b"0\n"


def test_input_that_nobody_reads_holds_nothing_up(box):
    begun = time.monotonic()
    assert python(box, "pass", stdin=bytes(5_000_000)).exit_code == 0
    assert time.monotonic() - begun < 10


def test_what_was_printed_before_the_deadline_is_kept(box):
    begun = time.monotonic()
    done = python(
        box, "import time; print('first', flush=True); time.sleep(60)", timeout_s=0.5
    )
    assert time.monotonic() - begun < 10
    assert done.timed_out
    assert done.exit_code is None
    assert done.stdout == b"first\n"
    assert 0.5 <= done.wall_s < 5


@pytest.mark.parametrize(
    ("stream", "other"), [("stdout", "stderr"), ("stderr", "stdout")]
)
def test_output_past_the_cap_ends_the_command(box, stream, other):
    code = f"import sys\nwhile True: sys.{stream}.write('x' * 4096)"
    begun = time.monotonic()
    done = python(box, code, timeout_s=60)
    assert time.monotonic() - begun < 20
    assert done.truncated
    assert not done.timed_out
    assert getattr(done, stream) == b"x" * CAP
    assert getattr(done, other) == b""


def test_output_up_to_the_cap_is_kept_whole(box):
    done = python(
        box, f"import sys; sys.stdout.write('x' * {CAP}); sys.stderr.write('y' * {CAP})"
    )
    assert (done.exit_code, done.truncated) == (0, False)
    assert (done.stdout, done.stderr) == (b"x" * CAP, b"y" * CAP)


def test_files_of_any_depth_and_content_can_be_laid_down_and_read(box):
    files = {
        "a": b"",
        "b/c/d/e": bytes(range(256)),
        "./b//f": b"text",
        "name with spaces/ü": b"1",
    }
    box.write(files)
    for path, content in files.items():
        assert box.read(path) == content
    box.write({"b/f": b"other", "a/now/a/folder": b"2"})
    assert box.read("b/f") == b"other"
    assert box.read("a/now/a/folder") == b"2"
    box.write({})


def test_more_files_than_one_message_holds(box):
    files = {"one": bytes(20 << 20), "two": b"\1" * (20 << 20)}
    box.write(files)
    assert {path: box.read(path) for path in files} == files


RUN = b"""
import os, sys
from package.value import VALUE
os.mkdir("made")
with open("made/here", "w") as file:
    file.write("new")
print(VALUE, sys.argv)
"""


def test_commands_see_written_files_and_leave_theirs_to_be_read(box):
    box.write(
        {"package/__init__.py": b"", "package/value.py": b"VALUE = 7\n", "run.py": RUN}
    )
    assert (
        box.run(["python", "run.py", "x"], timeout_s=20).stdout
        == b"7 ['run.py', 'x']\n"
    )
    assert box.read("made/here") == b"new"
    listed = box.run(
        ["python", "-c", "import os; print(os.listdir())"], timeout_s=20, cwd="made"
    )
    assert listed.stdout == b"['here']\n"


@pytest.mark.parametrize(
    "path", ["/planted", "..", "../planted", "a/../../planted", "", ".", "\0"]
)
def test_a_path_that_leads_elsewhere_is_refused_by_name(box, path):
    with pytest.raises(ValueError, match="relative"):
        box.write({"fine": b"", path: b""})
    with pytest.raises(ValueError, match="relative"):
        box.read(path)
    with pytest.raises(FileNotFoundError):
        box.read("fine")


def test_a_bad_call_is_named_and_the_box_goes_on(box):
    for argv, timeout_s, cwd in (
        ([], 1, "."),
        (["python"], 0, "."),
        (["python"], 1, "../.."),
    ):
        with pytest.raises(ValueError, match="got"):
            box.run(argv, timeout_s=timeout_s, cwd=cwd)
    assert printed(box, "print('well')") == "well"


PLANT = """
import os, socket
os.symlink("real/file", "link")
os.symlink("nowhere", "dangling")
os.symlink("real", "folder")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
"""


def test_links_pipes_and_folders_are_not_read_and_make_way_for_files(box):
    box.write({"real/file": b"theirs"})
    printed(box, PLANT)
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
            box.read(path)
    names = ("link", "dangling", "folder/file", "pipe", "socket")
    box.write(dict.fromkeys(names, b"mine"))
    assert [box.read(path) for path in names] == [b"mine"] * 5
    assert box.read("real/file") == b"theirs"


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
    box, end, timeout_s, late, cut
):
    done = python(box, STRAYS + end, timeout_s)
    assert (done.timed_out, done.truncated) == (late, cut)
    before = box.read("beat")
    time.sleep(0.3)
    assert box.read("beat") == before != b""


def test_a_closed_output_does_not_end_a_command_early(box):
    code = "import os, time; os.close(1); os.close(2); time.sleep(0.3); open('late', 'w').close()"
    assert python(box, code).exit_code == 0
    assert box.read("late") == b""


def test_a_reset_empties_the_folder(box):
    box.write({"a/b": b"1"})
    box.reset()
    assert printed(box, "import os; print(os.listdir())") == "[]"
    box.write({"a": b"2"})
    assert box.read("a") == b"2"


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
def test_no_tree_withstands_a_reset(box, code):
    printed(box, code)
    box.reset()
    assert printed(box, "import os; print(os.listdir())") == "[]"


def test_a_lease_finds_nothing_of_the_one_before(pool):
    with pool.lease() as box:
        box.write({"secret/file": b"secret"})
        printed(box, "import os; open(os.environ['TMPDIR'] + '/left', 'w').close()")
    with pool.lease() as box:
        code = "import os; print(os.listdir(), os.listdir(os.environ['TMPDIR']))"
        assert printed(box, code) == "[] []"
        with pytest.raises(FileNotFoundError):
            box.read("secret/file")


def test_a_shut_working_folder_is_open_again_for_files_and_commands(box):
    printed(box, "import os; os.chmod('.', 0)")
    box.write({"file": b"1"})
    assert box.read("file") == b"1"
    assert printed(box, "print('well')") == "well"


@pytest.mark.parametrize("pool", ["local", "unsafe"], indirect=True)
def test_a_box_that_dies_under_a_command_is_an_error_and_the_next_lease_is_whole(pool):
    with pool.lease() as box:
        (runner,) = runners()
        threading.Timer(0.3, os.kill, (runner, signal.SIGKILL)).start()
        begun = time.monotonic()
        with pytest.raises(SandboxError):
            python(box, "import time; time.sleep(60)", timeout_s=60)
        assert time.monotonic() - begun < 10
        with pytest.raises(SandboxError):
            box.read("file")
    with pool.lease() as box:
        assert runners() != [runner]
        assert printed(box, "print('well')") == "well"


def runners() -> list[int]:
    """Processes that this one has started to carry boxes: bubblewrap's first, or the runner."""
    own = Path("/proc/self/task").glob("*/children")
    children = [int(pid) for file in own for pid in file.read_text().split()]
    return [
        pid
        for pid in children
        if b"sandboxes.inside.runner"
        in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]
