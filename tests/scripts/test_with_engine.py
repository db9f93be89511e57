"""A command gets the running engine, or one that is gone when the command is."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "with_engine"
DOCKER = "[ -f {folder}/up ]"
DOCKERD = """
echo started >> {folder}/starts
[ -f {folder}/broken ] && echo boom && exit 1
trap 'rm {folder}/up; exit 0' TERM
touch {folder}/up
while :; do sleep 0.05; done
"""


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A folder with a docker that answers while its dockerd runs, put before the real ones."""
    for name, body in [
        ("docker", DOCKER),
        ("dockerd", DOCKERD),
        ("pgrep", "exit 1"),
        ("id", "echo 0"),
    ]:
        file = tmp_path / name
        file.write_text("#!/bin/bash\n" + body.replace("{folder}", str(tmp_path)))
        file.chmod(0o755)
    return tmp_path


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, "bash", "-c", command],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_engine_is_started_for_the_command_and_stopped_after_it(
    engine: Path,
) -> None:
    done = run(engine, "docker info && echo reached; exit 3")
    assert done.returncode == 3
    assert "reached" in done.stdout
    assert not (engine / "up").exists()


def test_a_running_engine_is_used_and_left_alone(engine: Path) -> None:
    (engine / "up").touch()
    done = run(engine, "echo reached")
    assert done.stdout == "reached\n"
    assert (engine / "up").exists()
    assert not (engine / "starts").exists()


def test_a_daemon_that_does_not_answer_gets_no_second_beside_it(engine: Path) -> None:
    (engine / "pgrep").write_text("#!/bin/bash\nexit 0\n")
    done = run(engine, "echo reached")
    assert "not starting a second one" in done.stdout
    assert done.stdout.endswith("reached\n")
    assert not (engine / "starts").exists()


def test_without_an_engine_the_command_runs_after_the_reason(engine: Path) -> None:
    (engine / "broken").touch()
    done = run(engine, "echo reached")
    assert done.returncode == 0
    assert "dockerd did not come up; its last words:\nboom\nreached\n" in done.stdout
