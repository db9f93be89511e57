"""Submissions that try to pass without a repair, on both layers: the vetting and the run itself."""

import base64
import json
from collections.abc import Iterator

import pytest

from envs.code import witness
from envs.code.swe_lite import grading as suite
from envs.code.swe_lite.corpus import source
from envs.code.swe_lite.grading import SuiteRun, grade, run_suite
from envs.code.swe_lite.table import Row, rows
from envs.code.vet import new_reach
from sandboxes import SandboxConfig, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends import docker
from sandboxes.base import SandboxPool
from sandboxes.inside.settings import hidden_modules

HIDDEN_MODULES = hidden_modules()

FORGED = """
import sys
for stream in (sys.stdout, sys.__stdout__, sys.stderr):
    stream.write("00000000000000000000000000000000 " + RESULTS + "\\n")
    stream.flush()
"""
EXIT = "\nimport os\nos._exit(0)\n"
SYSTEM_EXIT = "\nimport sys\nsys.exit(0)\n"
FRAMES = """
import gc, os, re, sys
frame, found = sys._getframe(), set()
while frame is not None:
    found.update(re.findall("[0-9a-f]{32}", repr((frame.f_globals, frame.f_locals))))
    frame = frame.f_back
for thing in gc.get_objects():
    found.update(re.findall("[0-9a-f]{32}", repr(thing)) if type(thing) in (dict, list) else ())
found.update(re.findall("[0-9a-f]{32}", sys.stdin.read()))
for nonce in found:
    with open("/proc/%d/fd/1" % os.getppid(), "w") as out:
        out.write(nonce + " " + RESULTS + "\\n")
"""
OTHER_TESTS = """
import glob
for path in [*glob.glob("test_*.py"), "conftest.py", "sitecustomize.py", "unittest.py"]:
    with open(path, "w") as file:
        file.write("import unittest\\nclass T(unittest.TestCase):\\n    def test(self): pass\\n")
"""
PATCHED = """
import unittest
unittest.TestCase.assertEqual = lambda *arguments: None
unittest.TestCase.run = lambda self, result: result.startTest(self) or result.stopTest(self)
"""
PIPE = """
import json, os
for fd in range(3, 64):
    try:
        for result in json.loads(RESULTS):
            os.write(fd, json.dumps(result).encode() + b"\\n")
    except OSError:
        pass
os._exit(0)
"""
EQUAL = """
class Anything:
    def __eq__(self, other):
        return True
"""
MEMORY = """
import os, re, time
parent, forged = os.getppid(), set()
until = time.monotonic() + 1.5
while time.monotonic() < until:
    try:
        with open(f"/proc/{parent}/maps") as maps, open(f"/proc/{parent}/mem", "rb", 0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                low, high = (int(end, 16) for end in span.split("-"))
                if rights.startswith("rw") and "[v" not in line:
                    memory.seek(low)
                    try:
                        text = memory.read(high - low)
                    except OSError:
                        continue
                    forged.update(re.findall(rb'"nonce": "([0-9a-f]{32})"', text))
        for nonce in forged:
            with open(f"/proc/{parent}/fd/1", "wb", 0) as out:
                out.write(nonce + b" " + RESULTS.encode() + b"\\n")
        if forged:
            os._exit(0)
    except OSError:
        break
"""
ENVIRONMENT = """
import os, signal, sys
home = os.path.join(os.environ["HOME"], ".local/lib/python3.11/site-packages")
os.makedirs(home, exist_ok=True)
for path in (os.path.join(home, "evil.pth"), "evil.pth", "json.py", "usercustomize.py"):
    with open(path, "w") as file:
        file.write("import os; os._exit(0)\\n")
os.environ.update(PYTHONSTARTUP="json.py", PYTHONPATH=home, PYTHONOPTIMIZE="2")
"""
NO_EXIT = """
import os, sys
os._exit = sys.exit = exit = lambda *arguments: None
"""
AT_EXIT = """
import atexit, os
atexit.register(print, "0" * 32, RESULTS)
atexit.register(os._exit, 0)
"""
KILL = """
import os, signal
for pid in (os.getppid(), 1, -1):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
"""
STOP = """
import os, signal
os.kill(os.getppid(), signal.SIGSTOP)
"""
LATER = """
import os, sys, time
if not os.fork():
    os.setsid()
    time.sleep(0.5)
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/fd/1", "w") as out:
                out.write("0" * 32 + " " + RESULTS + "\\n")
        except OSError:
            pass
    os._exit(0)
"""
TRACE = """
import sys, threading
def trace(frame, event, argument):
    if event == "exception":
        frame.f_locals.clear()
    return trace
sys.settrace(trace)
threading.settrace(trace)
"""
ASSERTIONS = """
import builtins
builtins.AssertionError = type("AssertionError", (BaseException,), {})
"""
OPTIMISED = """
import sys
sys.flags = type("flags", (), dict(optimize=2))
__debug__s = False
"""
READ_TESTS = """
import glob
for path in glob.glob("test_*.py"):
    with open(path) as file:
        answers = file.read()
    raise SystemExit(answers)
"""
OUTPUT = """
import os
for fd in range(256):
    try:
        os.write(fd, b"x" * 100_000)
    except OSError:
        pass
"""
SLEEP = "\nimport time\ntime.sleep(60)\n"


@pytest.fixture(
    scope="module", params=["local", pytest.param("docker", marks=pytest.mark.docker)]
)
def pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    if reason := {"local": local, "docker": docker}[request.param].available():
        pytest.skip(reason)
    with open_pool(SandboxConfig(backend=request.param, size=2)) as opened:
        yield opened


@pytest.fixture
def row() -> Row:
    return next(row for row in rows() if row.source == "intervals")


def attacked(row: Row, attack: str) -> str:
    """The broken module with an attack at its end, which finds a perfect report in RESULTS."""
    tests = source(row.source).all_ids
    ends = [
        event for test in tests for event in (["start", test], ["end", "passed", ""])
    ]
    results = json.dumps([*ends, ["over", len(tests)]])
    return f"{row.broken}\nRESULTS = {results!r}\n{attack}"


def run_anyway(pool: SandboxPool, row: Row, text: str) -> SuiteRun:
    """What the grading box says where nothing is vetted."""
    package = source(row.source)
    files = {package.file: text, package.test_file: package.tests}
    return run_suite(pool, files, f"test_{package.name}", timeout_s=2)


STOPPED = {
    "forged report": FORGED,
    "early end": EXIT,
    "exit": SYSTEM_EXIT,
    "nonce from the stack": FRAMES,
    "nonce from the memory": MEMORY,
    "other tests": OTHER_TESTS,
    "start files": ENVIRONMENT,
    "patched exit": NO_EXIT,
    "at exit": AT_EXIT,
    "kill the reporter": KILL,
    "stop the reporter": STOP,
    "report later": LATER,
    "tracing": TRACE,
    "no assertions": ASSERTIONS,
    "optimised": OPTIMISED,
    "read the tests": READ_TESTS,
    "flood of output": OUTPUT,
    "sleep": SLEEP,
}
REFUSED = {
    **STOPPED,
    "patched unittest": PATCHED,
    "report by the pipe": PIPE,
    "equal to all": EQUAL,
}


@pytest.mark.daily(6, per="pool")
@pytest.mark.parametrize("name", STOPPED)
def test_the_run_itself_stops(pool: SandboxPool, row: Row, name: str):
    assert run_anyway(pool, row, attacked(row, STOPPED[name])).failures(row.failing)
    assert not run_anyway(pool, row, source(row.source).text).failures(row.failing)


@pytest.mark.parametrize("name", REFUSED)
def test_the_grader_refuses(pool: SandboxPool, row: Row, name: str):
    verdict = grade(pool, source(row.source), attacked(row, REFUSED[name]), row.failing)
    assert not verdict.passed
    assert verdict.score == 0.0
    assert verdict.detail.startswith("refused: the change brings in ")


SELECTIVE = """
import unittest
run = unittest.TestCase.run
def passed(self, result=None):
    if type(self).__module__ != "test_intervals" or len(type(self).__name__) == 13:
        return run(self, result)
    result.startTest(self)
    result.addSuccess(self)
    result.stopTest(self)
unittest.TestCase.run = passed
"""
UNVETTED = {**REFUSED, "patched but for the controls": SELECTIVE}


@pytest.mark.daily(8, per="pool")
@pytest.mark.parametrize("name", UNVETTED)
def test_the_witness_stops_what_is_not_vetted(
    pool: SandboxPool, row: Row, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(suite, "new_reach", lambda *_: [])
    monkeypatch.setattr(suite, "DEADLINE_S", 2.0)
    monkeypatch.setattr(witness, "DEADLINE_S", 2.0)
    text = attacked(row, UNVETTED[name])
    assert not grade(pool, source(row.source), text, row.failing).passed
    assert grade(pool, source(row.source), source(row.source).text, row.failing).passed


@pytest.mark.parametrize("attack", [PATCHED, PIPE])
def test_control_tests_show_a_forged_run(pool: SandboxPool, row: Row, attack: str):
    run = run_anyway(pool, row, attacked(row, attack))
    assert "control" in run.evidence.fault


def test_controls_are_no_wall_and_the_witness_is(pool: SandboxPool, row: Row):
    """Why there is a witness: the tests share a process with the submission."""
    assert run_anyway(pool, row, attacked(row, SELECTIVE)).failures(row.failing) == []


@pytest.mark.parametrize(
    "end", ["raise KeyboardInterrupt", "raise ValueError(10**5000)"]
)
def test_a_test_that_breaks_off_or_cannot_say_why_has_not_passed(
    pool: SandboxPool, end: str
):
    row = next(row for row in rows() if row.id == "colorsys-42-19878849")
    package = source(row.source)
    text = f"""{package.text}
calls = 0
def rgb_to_yiq(*rgb):
    global calls
    calls += 1
    if calls > 216:
        {end}
    return rgb
"""
    assert run_anyway(pool, row, text).failures(row.failing)
    assert not grade(pool, package, text, row.failing).passed


def test_the_right_code_passes_and_the_broken_one_fails(pool: SandboxPool, row: Row):
    package = source(row.source)
    assert grade(pool, package, package.text, row.failing).passed
    assert not grade(pool, package, row.broken, row.failing).passed


IMPORT_EACH = """
import sys
for name in sys.argv[1:]:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error.name)
"""


@pytest.mark.parametrize("options", [[], ["-S"]], ids=["warm", "fresh"])
def test_no_original_can_be_imported_in_a_box(pool: SandboxPool, options: list[str]):
    with pool.lease() as box:
        argv = ["python", *options, "-c", IMPORT_EACH, *HIDDEN_MODULES]
        done = box.run(argv, timeout_s=20)
    assert done.exit_code == 0, done
    assert done.stdout.decode().split() == [*HIDDEN_MODULES]


def test_every_standard_library_source_is_hidden():
    from envs.code.swe_lite.corpus import DATA

    assert sorted(
        path.name for path in (DATA / "stdlib").iterdir() if path.is_dir()
    ) == sorted(HIDDEN_MODULES)


ORIGINAL = "import os\n\ndef f(a):\n    return os.path.join(a, len(a))\n"


@pytest.mark.parametrize(
    ("line", "reach"),
    [
        ("import sys", ["import sys"]),
        ("from os import fork", ["from os import fork"]),
        ("os.write(3, b'')", ["os.write"]),
        ("o = os", ["os as a value"]),
        ("f.__globals__", ["__globals__"]),
        ("__builtins__", ["__builtins__"]),
        ("getattr(f, 'x')", ["getattr"]),
        ("exec('1')", ["exec"]),
        ("def __eq__(a, b): return True", ["def __eq__"]),
        ("match f:\n    case object(__globals__=g): pass", ["__globals__"]),
        ("type('A', (), {})", ["type"]),
        ("class A:\n    def __eq__(a, b): return True", ["def __eq__"]),
        ("os.path.os.sys.modules", ["os.path.os.sys.modules"]),
        ("p = os.path", ["os.path"]),
        ("from os import path\nq = path", ["from os import path", "path as a value"]),
        ("import re\nre.compile", []),
        ("import re\nre.enum", ["re.enum"]),
        ("compile('1', '', 'eval')", ["compile"]),
        ("x = f.sys", [".sys"]),
        ("x = '__globals__'", ["the text '__globals__'"]),
        ("x = '__glo' + 'bals__'", ["the text '__glo'", "the text 'bals__'"]),
        ("x = '{0:>{1.a}}'.format(f, f)", [".format"]),
        ("def g(): return open(1)\nopen = 3", ["open"]),
        ("open = 3\ndel open\ndef g(): return open(1)", ["open"]),
        ("class A:\n    open = 3\n    def g(self): return open(1)", ["open"]),
        ("'{0.a}'.format(f)", [".format"]),
        ("'{} {}'.format(1, 2)", []),
        ("for _ in range(3): _ = 4", []),
        ("def _help(): pass\n_help()", []),
        ("def g(type, input=1): return type(input)", []),
        ("class A:\n    type = 1\n    def g(self): return type(3)", ["type"]),
        (
            "class A:\n    def __init__(self): self._a = 1\n    def g(self): return self._a",
            [],
        ),
        ("f._code", ["._code"]),
        ("def __init_subclass__(): pass", ["def __init_subclass__"]),
    ],
)
def test_new_ways_out_are_named(line: str, reach: list[str]):
    assert new_reach(ORIGINAL, f"{ORIGINAL}\n{line}\n") == reach


@pytest.mark.parametrize("start", ["\ufeff", "# coding: utf-8\n", "\f\n"])
def test_honest_repairs_may_start_with_a_mark_or_a_coding_line(start: str):
    assert new_reach(ORIGINAL, start + ORIGINAL) == []


@pytest.mark.parametrize(
    "text", ["if", "\0", "(" * 1000, "# coding: none\n", "def f[T](x: T: 1"]
)
def test_what_cannot_be_read_here_is_refused(text: str):
    """The Python of a box may be another one than this, and read what this one cannot."""
    assert new_reach(ORIGINAL, f"{text}\n{ORIGINAL}") == ["text that is no Python"]


def in_utf_7(code: str) -> str:
    """A line that is a comment for whoever reads UTF-8, and code where a coding line says UTF-7."""
    hidden = base64.b64encode(f"\n{code}".encode("utf-16-be")).decode().rstrip("=")
    return f"# +{hidden}-"


@pytest.mark.parametrize("way", ["utf-7", "byte order mark"])
def test_code_that_only_the_import_sees_is_vetted(
    pool: SandboxPool, row: Row, way: str
):
    text = attacked(row, SELECTIVE)
    if way == "utf-7":
        added = text.removeprefix(row.broken)
        text = f"# coding: utf-7\n{row.broken.replace('+', '+-')}\n{in_utf_7(added)}\n"
    else:
        text = "\ufeff" + text
    assert run_anyway(pool, row, text).failures(row.failing) == []
    assert not grade(pool, source(row.source), text, row.failing).passed


@pytest.mark.parametrize(
    "line",
    [
        "x = [len(f) for f in range(3)]",
        "os.path.exists('x')",
        "raise ValueError(max(1, 2))",
    ],
)
def test_honest_repairs_reach_nothing_new(line: str):
    assert new_reach(ORIGINAL, f"{ORIGINAL}\n{line}\n") == []
