"""What the doctor says of a machine, and that its battery sees what does not hold."""

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
from sandboxes.tools.host import look_around
from sandboxes.tools.self_check import Finding, findings

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
        "Attacks on local (isolation: namespace), taken since no Docker engine"
        in done.stdout
    )
    assert "makes sandboxes here; isolation: namespace\n" in done.stdout
    assert done.stdout.endswith("Verdict: local, hostile code is held\n")


@pytest.mark.docker
def test_with_an_engine_auto_takes_docker_and_says_why(client, alone):
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert (
        "Attacks on docker (isolation: container), taken since an engine answers"
        in done.stdout
    )
    assert "; isolation: container\n" in done.stdout
    assert "ok  sandbox image: " in done.stdout
    assert done.stdout.endswith("Verdict: docker, hostile code is held\n")


def test_the_battery_finds_every_hole_of_a_sandbox_that_isolates_nothing():
    config = SandboxConfig(backend="unsafe", allow_unsafe=True, size=1)
    with open_pool(config) as pool:
        found = {finding.name: finding.good for finding in findings(pool)}
    # A plain process of an ordinary user has no power to begin with.
    assert found.pop("no power") == (os.geteuid() != 0 and is_no_new_privileges())
    assert {name for name, good in found.items() if not good} == {
        "no network",
        "read-only root",
        "system-call filter",
        "process limit",
        "disk limit",
    }


def test_no_check_of_the_battery_is_content_with_a_sandbox_that_limits_nothing():
    """Every command ends well, whatever it did, and every file is there."""
    with FakePool(
        lambda argv, files, stdin: ExecResult(0, b'{"left": ["x"]}', b"")
    ) as pool:
        found = {finding.name: finding for finding in findings(pool)}
    assert len(found) == 10
    assert not any(finding.good for finding in found.values()), found


def is_no_new_privileges() -> bool:
    return "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()


@needs_local
def test_a_sandbox_that_breaks_is_a_bad_finding_and_not_a_crash():
    pool = open_pool(SandboxConfig(backend="local", size=1))
    pool.close()
    found = list(findings(pool))
    assert len(found) >= 10
    assert not any(finding.good for finding in found)
    assert all("the sandbox broke" in finding.found for finding in found)


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
    found = list(look_around())
    assert {"Docker engine", "Docker Compose", "bubblewrap", "user namespaces"} <= {
        finding.name for finding in found
    }
    assert all(finding.remedy for finding in found if not finding.good)


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
    found = [
        Finding("network", True, "[none]"),
        Finding("root", False, "writable", "mount it ro"),
    ]
    shown = {}
    for terminal in (True, False):
        text = io.StringIO()
        console = Console(
            file=text, force_terminal=terminal, width=100, color_system=None
        )
        assert show(console, "Sandbox", iter(found)) == found
        shown[terminal] = text.getvalue()
    assert (
        shown[False]
        == "Sandbox\n  ok  network: [none]\n  NO  root: writable\n      mount it ro\n"
    )
    assert "│" in shown[True] or "┃" in shown[True]
    assert "[none]" in shown[True]
    assert "mount it ro" in shown[True]
