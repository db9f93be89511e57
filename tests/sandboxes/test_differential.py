"""A warm `python` and a fresh interpreter give the same status and the same output."""

from __future__ import annotations

import re
import time

import pytest

from sandboxes import Sandbox
from sandboxes.inside.imports import PRELOADED
from tests.sandboxes.conftest import WAITING_S
from tests.sandboxes.programs import PROGRAMS, Program, code


def outcome(
    sandbox: Sandbox, program: Program, interpreter: str
) -> tuple[int | None, *tuple[str, ...]]:
    """Status, output and errors of a program; addresses of objects are left out."""
    sandbox.reset()
    # Long enough for a child to be forked ahead, which is what most commands become.
    time.sleep(WAITING_S)
    if program.files:
        sandbox.write(program.files)
    argv = [interpreter, *program.argv]
    done = sandbox.run(argv, timeout_s=30, stdin=program.stdin)
    assert not done.timed_out
    assert not done.truncated
    texts = [
        re.sub(r"0x[0-9a-f]{6,}", "0x…", stream.decode(errors="backslashreplace"))
        for stream in (done.stdout, done.stderr)
    ]
    return done.exit_code, *texts


@pytest.fixture
def fresh(jail: Sandbox) -> str:
    """The path of the interpreter that `python` is forked from."""
    argv = ["python", "-c", "import sys; print(sys.executable)"]
    return jail.run(argv, timeout_s=20).stdout.decode().strip()


@pytest.mark.daily(25, per="jails")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_warm_python_does_what_a_fresh_one_does(jail, fresh, name):
    program = PROGRAMS[name]
    assert outcome(jail, program, "python") == outcome(jail, program, fresh)


@pytest.mark.daily(4, per="jails")
@pytest.mark.parametrize("module", PRELOADED)
def test_an_import_loads_what_it_loads_in_a_fresh_interpreter(jail, fresh, module):
    # `importlib` gives the import system's own modules a `__file__`.
    program = code(
        f"import sys, {module}\n"
        "for name, module in sorted(sys.modules.items()):\n"
        "    print(name, hash(tuple(sorted(vars(module).keys() - {'__file__'}))))"
    )
    assert outcome(jail, program, "python") == outcome(jail, program, fresh)


DIFFERENT = {
    "long code": code(f"print(1)\n#{'x' * (128 << 10)}"),
    "hooks": code(
        "import sys\nsys.addaudithook(lambda e, a: e == 'import' and print(a[0]))\n"
        "import random"
    ),
    "hooks at the end": code(
        "import sys\nsys.addaudithook(lambda e, a: print(e, file=sys.stderr))"
    ),
    "classes": code("print(len(object.__subclasses__()))"),
    "frozen objects": code("import gc; print(gc.get_freeze_count())"),
    "blocks": code("import sys; print(sys.getallocatedblocks() // 10000)"),
    "the command line": code("print(open('/proc/self/cmdline').read())"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_the_protocol_says_to_differ_does(jail, fresh, name):
    program = DIFFERENT[name]
    assert outcome(jail, program, "python") != outcome(jail, program, fresh)
