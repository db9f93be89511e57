"""What the doctor says of a machine, and that its self-check sees what does not hold."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from sandboxes import ExecResult, SandboxConfig, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends.fake import FakePool
from sandboxes.doctor import main, show
from sandboxes.tools.host import host_checks
from sandboxes.tools.self_check import CheckResult, self_check

needs_local = pytest.mark.skipif(
    bool(local.available()), reason=f"local: {local.available()}"
)


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandboxes.doctor", *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Environment of a machine that has neither engine nor bubblewrap."""
    return {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}


def test_a_machine_with_nothing_is_told_what_to_install_and_fails(bare):
    done = doctor(**bare)
    assert done.returncode == 1
    assert "NO  Docker engine: no engine answers" in done.stdout
    for package in ("docker.io", "bubblewrap", "docker-compose"):
        assert f"apt-get install {package}" in done.stdout
    assert "No sandbox: no sandbox on this machine" in done.stdout
    assert done.stderr == ""


@needs_local
def test_without_an_engine_auto_takes_local_and_says_why(bare):
    done = doctor(**{**bare, "PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stdout
    assert (
        "Attacks on local (isolation: namespace), chosen since no Docker engine"
        in done.stdout
    )
    assert "makes sandboxes here; isolation: namespace\n" in done.stdout
    assert done.stdout.endswith("Verdict: local, hostile code is held\n")


@pytest.mark.docker
def test_with_an_engine_auto_takes_docker_and_says_why(client, alone):
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert (
        "Attacks on docker (isolation: container), chosen since an engine answers"
        in done.stdout
    )
    assert "; isolation: container\n" in done.stdout
    assert "ok  sandbox image: " in done.stdout
    assert done.stdout.endswith("Verdict: docker, hostile code is held\n")


def test_the_self_check_finds_every_hole_of_a_sandbox_that_isolates_nothing():
    config = SandboxConfig(backend="unsafe", allow_unsafe=True, size=1)
    with open_pool(config) as pool:
        passed = {result.name: result.passed for result in self_check(pool)}
    # A plain process of an ordinary user has no privileges to begin with.
    has_none = os.geteuid() != 0 and is_no_new_privileges()
    assert passed.pop("no privileges") == has_none
    assert {name for name, is_good in passed.items() if not is_good} == {
        "no network",
        "read-only root",
        "system-call filter",
        "process limit",
        "disk limit",
    }


def test_no_check_is_content_with_a_sandbox_that_limits_nothing():
    """Every command ends well, whatever it did, and every file is there."""
    with FakePool(
        lambda argv, files, stdin: ExecResult(0, b'{"left": ["x"]}', b"")
    ) as pool:
        results = {result.name: result for result in self_check(pool)}
    assert len(results) == 10
    assert not any(result.passed for result in results.values()), results


def is_no_new_privileges() -> bool:
    return "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()


@needs_local
def test_a_sandbox_that_breaks_fails_a_check_and_is_no_crash():
    pool = open_pool(SandboxConfig(backend="local", size=1))
    pool.close()
    results = list(self_check(pool))
    assert len(results) >= 10
    assert not any(result.passed for result in results)
    assert all("the sandbox broke" in result.detail for result in results)


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("docker", "ok  Docker Compose: v2.40.3"),
        ("docker-compose", "ok  Docker Compose: v1.29.2"),
    ],
)
def test_both_generations_of_compose_are_found(bare, tmp_path, program, line):
    version = {"docker": "v2.40.3", "docker-compose": "1.29.2"}[program]
    path = tmp_path / program
    path.write_text(f"#!{shutil.which('sh')}\necho {version}\n")
    path.chmod(0o755)
    assert line in doctor("--backend=local", **bare).stdout


def test_what_is_missing_comes_with_a_remedy():
    results = list(host_checks())
    assert {"Docker engine", "Docker Compose", "bubblewrap", "user namespaces"} <= {
        result.name for result in results
    }
    assert all(result.remedy for result in results if not result.passed)


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    for word in (
        "container",
        "namespace",
        "never takes `unsafe`",
        "exit status",
        "--backend",
    ):
        assert word in said


def test_a_terminal_gets_a_table_and_a_pipe_gets_lines():
    results = [
        CheckResult("network", True, "[none]"),
        CheckResult("root", False, "writable", "mount it ro"),
    ]
    shown = {}
    for terminal in (True, False):
        text = io.StringIO()
        console = Console(
            file=text, force_terminal=terminal, width=100, color_system=None
        )
        assert show(console, "Sandbox", iter(results)) == results
        shown[terminal] = text.getvalue()
    assert (
        shown[False]
        == "Sandbox\n  ok  network: [none]\n  NO  root: writable\n      mount it ro\n"
    )
    assert "│" in shown[True] or "┃" in shown[True]
    assert "[none]" in shown[True]
    assert "mount it ro" in shown[True]
