"""Python in a sandbox behaves as a Python of its own, though it is forked from a warm one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes import Sandbox, SandboxConfig, open_pool
from sandboxes.inside.settings import hidden_modules

FILES = {
    "script.py": b"import sys; print(__name__, __file__, sys.argv, sys.path[0] != ''); 1 / 0\n",
    "pack/__init__.py": b"",
    "pack/inner.py": b"import sys; print(__name__, __package__, sys.argv[1:])\n",
    "test_it.py": b"import unittest\nclass T(unittest.TestCase):\n"
    b"    def test_no(self):\n        self.assertEqual(1, 2)\n",
    "broken.py": b"def f(:\n",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    config = SandboxConfig(backend="unsafe", allow_unsafe=True, size=1)
    with open_pool(config) as pool, pool.lease() as leased:
        leased.write(FILES)
        yield leased


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import sys; print(sys.argv, sys.path[0] == '', __name__)", "a", "b"],
        ["-c", "print(sorted(globals()))"],
        ["-c", "def f(): 1 / 0\nf()"],
        ["-c", "x ="],
        ["-c", "import sys; sys.exit(7)"],
        ["-c", "import sys; sys.exit('words')"],
        ["-c", "raise SystemExit"],
        ["-c", "import os; os._exit(9)"],
        ["-c", "import atexit; atexit.register(print, 'last'); print('first')"],
        [
            "-c",
            "import threading as t; t.Timer(0.05, print, ['late']).start(); print('early')",
        ],
        ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
        ["-c", "import signal; print(signal.getsignal(2), signal.getsignal(13))"],
        [
            "-c",
            "import sys; print('sandboxes' in sys.modules, sys.stdin.read(), sys.orig_argv[1])",
        ],
        ["-c", "import sandboxes.inside.runner"],
        ["-m", "pack.inner", "a"],
        ["-m", "pack.missing"],
        ["script.py", "a"],
        ["broken.py"],
        ["missing.py"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_a_forked_python_does_what_a_fresh_one_does(sandbox, arguments):
    forked = sandbox.run(["python", *arguments], timeout_s=20, stdin=b"input")
    fresh = sandbox.run([sys.executable, *arguments], timeout_s=20, stdin=b"input")
    assert (forked.exit_code, forked.stdout) == (fresh.exit_code, fresh.stdout)
    assert forked.stderr == fresh.stderr


def test_a_test_suite_runs(sandbox):
    done = sandbox.run(["python", "-m", "unittest", "test_it"], timeout_s=20)
    assert done.exit_code == 1
    assert b"FAILED (failures=1)" in done.stderr


def test_a_missing_program_or_folder_is_a_result(sandbox):
    assert sandbox.run(["no-such-program"], timeout_s=20).exit_code == 127
    assert (
        sandbox.run(["python", "-c", "1"], timeout_s=20, cwd="no/such").exit_code == 127
    )


def test_a_command_runs_in_the_folder_asked_for(sandbox):
    code = "import os; print(os.listdir())"
    assert (
        b"inner.py"
        in sandbox.run(["python", "-c", code], timeout_s=20, cwd="pack").stdout
    )


def test_two_runs_see_different_random_numbers(sandbox):
    code = ["python", "-c", "import random; print(random.random())"]
    assert (
        sandbox.run(code, timeout_s=20).stdout != sandbox.run(code, timeout_s=20).stdout
    )


def test_hashes_are_the_same_in_every_run(sandbox):
    code = ["python", "-c", "print(hash('a'))"]
    assert (
        sandbox.run(code, timeout_s=20).stdout == sandbox.run(code, timeout_s=20).stdout
    )


def test_no_hidden_module_is_loaded_before_a_command(sandbox):
    assert hidden_modules()
    done = sandbox.run(
        ["python", "-c", "import sys; print(*sys.modules)"], timeout_s=20
    )
    assert not set(done.stdout.decode().split()) & set(hidden_modules())


FIND = """
import sys
wanted, hits = sys.argv[1][:9].encode() + sys.argv[1][9:].encode(), 0
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        span, rights = line.split()[:2]
        low, high = (int(end, 16) for end in span.split("-"))
        if rights[0] == "r" and "[v" not in line:
            memory.seek(low)
            hits += memory.read(high - low).count(wanted)
print(hits)
"""


def test_nothing_of_earlier_requests_is_in_the_memory_of_a_command(sandbox):
    secret = b"SECRETSEC" + b"RETSECRET"
    sandbox.write({"secret": secret * 3})
    assert sandbox.read("secret") == secret * 3
    echo = ["python", "-c", f"print(input()); {'x = ' + repr(secret)}"]
    assert sandbox.run(echo, timeout_s=20, stdin=secret).stdout == secret + b"\n"
    found = sandbox.run(["python", "-c", FIND, secret.decode()], timeout_s=20).stdout
    alone = sandbox.run(
        ["python", "-c", FIND, "ANOTHERONEALTOGETH"], timeout_s=20
    ).stdout
    assert found == alone


def test_the_runner_needs_only_what_is_installed():
    from sandboxes.inside import settings

    folder = Path(settings.__file__).parent
    assert all((folder / name).is_file() for name in settings.INSIDE)
