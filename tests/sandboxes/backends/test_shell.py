"""The sandbox with a shell: programs for agents, and everything else as without one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxes import SandboxConfig, SandboxPool, open_pool
from sandboxes.backends import bubblewrap
from sandboxes.inside.settings import hidden_modules


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    if reason := bubblewrap.available():
        pytest.skip(f"local: {reason}")
    with open_pool(SandboxConfig(backend="shell", size=1)) as opened:
        yield opened


def run(pool: SandboxPool, *commands: str) -> list[str]:
    """What each command printed, in one lease."""
    outputs: list[str] = []
    with pool.lease() as sandbox:
        for command in commands:
            result = sandbox.run(
                ["bash", "-c", f"exec 2>&1\n{command}"], timeout_s=20.0
            )
            outputs.append(result.stdout.decode())
    return outputs


def test_files_stay_from_command_to_command(pool):
    outputs = run(
        pool,
        "printf 'one\\ntwo\\n' > a.txt",
        # It says that it cannot copy access lists, and edits.
        "sed -i 's/two/three/' a.txt 2>/dev/null && cat a.txt; wc -l < a.txt",
        "python -c 'print(open(\"a.txt\").read().split())'; ls",
    )
    assert outputs == ["", "one\nthree\n2\n", "['one', 'three']\na.txt\n"]


def test_a_script_of_this_machine_runs_as_well(pool):
    assert (
        run(
            pool, "echo ab | egrep -c b; find . -name x; echo 'a b' | awk '{print $2}'"
        )[0].splitlines()[-1]
        == "b"
    )


@pytest.mark.parametrize("name", hidden_modules()[:3])
def test_hidden_modules_stay_hidden(pool, name):
    (output,) = run(pool, f"python -c 'import {name}'")
    assert "ModuleNotFoundError" in output
    library = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    (output,) = run(pool, f'ls $(python -c "{library}") | grep -x {name}.py; echo end')
    assert output == "end\n"


def test_there_is_no_network_and_nothing_of_this_machine(pool):
    connect = "import socket; socket.create_connection(('1.1.1.1', 53), 2)"
    outputs = run(
        pool,
        f'python -c "{connect}"',
        f"ls {Path(__file__).parent}",
        "touch /usr/bin/x",
        "cat /etc/shadow",
    )
    assert "Address family not supported" in outputs[0]
    assert "cannot access" in outputs[1]
    assert "Read-only file system" in outputs[2]
    assert "No such file" in outputs[3]


def test_a_lease_leaves_nothing_to_the_next(pool):
    run(pool, "echo mine > a.txt; (sleep 60 &)")
    assert run(pool, "ls; echo end") == ["end\n"]


def test_the_interpreter_of_the_shell_is_that_of_the_sandbox(pool):
    assert shutil.which("bash")
    (output,) = run(pool, "command -v python; python -m unittest --help | head -1")
    assert output.splitlines()[0] == "/usr/bin/python"
    assert "unittest" in output
