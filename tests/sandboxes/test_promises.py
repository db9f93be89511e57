"""docs/sandbox.md says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sandboxes.inside.settings import hidden_modules
from sandboxes.limits import compose_limits

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "sandbox.md").read_text()
# Each module is imported in a process of its own, since one that fails leaves others half-made.
MISSING = """
import importlib, json, os, pkgutil, sys
hidden = set(sys.argv[1].split())
def tried(name):
    reader, writer = os.pipe()
    if not os.fork():
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            path = getattr(importlib.import_module(name), "__path__", ())
            said = {"inner": [f"{name}.{one.name}" for one in pkgutil.iter_modules(path)]}
        except ImportError as error:
            said = {"missing": error.name}
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    with open(reader, "rb") as pipe:
        return json.loads(pipe.read() or b"{}")
found, todo = [], list(sys.stdlib_module_names)
while todo:
    name = todo.pop()
    last = name.rpartition(".")[2]
    if last.startswith(("_", "test")) or name in ("antigravity", "this", "distutils"):
        continue
    said = tried(name)
    todo += said.get("inner", ())
    if said.get("missing") in hidden:
        found.append(name)
print(json.dumps([sys.version_info[:2], sorted(found)]))
"""


@pytest.mark.daily(1)
def test_the_list_of_modules_that_are_missing_is_right(jail):
    done = jail.run(
        ["python", "-c", MISSING, " ".join(hidden_modules())], timeout_s=120
    )
    assert done.exit_code == 0, done
    version, missing = json.loads(done.stdout)
    if version != [3, 11]:
        pytest.skip(f"the list is for Python 3.11, the sandbox has {version}")
    block = re.search(r"With Python 3\.11:\n\n```text\n([^`]+)```", PAGE)
    assert block is not None
    assert block[1].split() == missing


def test_the_numbers_are_those_of_the_compose_file():
    limits = compose_limits()
    for folder, size_mib in limits.folders_mib.items():
        assert (
            f"`{folder}` {size_mib} MiB and {limits.folders_inodes[folder]:,}" in PAGE
        )
    assert f"at most {limits.pids}, no capability" in PAGE
    assert f"{limits.pids} processes with {limits.nofile} files each" in PAGE
    assert f"{limits.memory_mib} MiB for the whole sandbox" in PAGE
    assert limits.cpus == 1.0


WANTING = {
    "sockets": (
        "import socket; socket.socket()",
        "Address family not supported by protocol",
    ),
    "descriptors": (
        "import socket; a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [0])",
        "PermissionError",
    ),
    "attributes": ("import os; os.setxattr('.', 'user.x', b'x')", "PermissionError"),
    "scheduling": ("import os; os.sched_setaffinity(0, {0})", "PermissionError"),
    "a terminal": ("open('/dev/tty')", "No such device or address"),
    "names of the network": (
        "import socket; socket.gethostbyname('example.org')",
        "socket.gaierror",
    ),
    "interfaces": (
        "import socket; socket.if_nameindex()",
        "Address family not supported by protocol",
    ),
    "message queues": (
        "import ctypes, os; lib = ctypes.CDLL(None, use_errno=True)\n"
        "if lib.mq_open(b'/q', os.O_CREAT | os.O_RDWR, 0o600, None) < 0:\n"
        "    raise OSError(ctypes.get_errno(), 'Operation not permitted')",
        "PermissionError",
    ),
}


@pytest.mark.parametrize("name", WANTING)
def test_what_is_missing_fails_as_the_page_says(jail, name):
    code, words = WANTING[name]
    done = jail.run(["python", "-c", code], timeout_s=20)
    assert done.exit_code == 1
    assert words in done.stderr.decode()
    assert words in PAGE


@pytest.mark.parametrize("jails", ["local"], indirect=True)
def test_there_are_no_terminals_in_local(jail):
    done = jail.run(["python", "-c", "import pty; pty.openpty()"], timeout_s=20)
    assert "OSError: out of pty devices" in done.stderr.decode()
    assert "OSError: out of pty devices" in PAGE


# In a root from this machine's Python; a base image may have these.
WITHOUT_PROGRAMS = {
    "a shell": ("import subprocess; subprocess.run('true', shell=True)", "'/bin/sh'"),
    "another locale": (
        "import locale; locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')",
        "unsupported locale setting",
    ),
    "a library by its short name": (
        "import ctypes.util; assert ctypes.util.find_library('c'), 'None'",
        "None",
    ),
}


@pytest.mark.parametrize("jails", ["local"], indirect=True)
@pytest.mark.parametrize("name", WITHOUT_PROGRAMS)
def test_what_a_root_of_this_python_lacks_is_on_the_page(jail, name):
    code, words = WITHOUT_PROGRAMS[name]
    done = jail.run(["python", "-c", code], timeout_s=20)
    assert done.exit_code == 1
    assert words in done.stderr.decode()
    assert words in PAGE
