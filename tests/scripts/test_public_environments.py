"""Environments of other libraries behind OpenEnv's server: played by our client, and graded.

They run where the libraries are installed: `make test-interop`.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from envs import registry
from envs.rollout import play
from scgrpo.policies.scripted import ScriptedPolicy

pytest.importorskip("openenv.core", reason="the extra `openenv` is missing")
pytest.importorskip("textarena", reason="the extra `public` is missing")
pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "public_environments"


@pytest.fixture
def modules(monkeypatch):
    """The script's own modules, which lie in its folder."""
    monkeypatch.syspath_prepend(str(SCRIPT))
    games = importlib.import_module("games")
    return importlib.import_module("bridge"), games


@pytest.mark.parametrize(
    "name",
    [
        "TextArena GuessTheNumber-v0",
        "reasoning-gym chain_sum",
        "GEM Mastermind-v0-easy",
    ],
)
def test_an_environment_that_no_one_here_wrote_is_played(name, modules):
    bridge, games = modules
    listed = games.ENVIRONMENTS[name]
    solutions = listed.make()
    with bridge.served(bridge.app_of(listed.make)) as url:
        address = f"openenv:{url}#turns=20&pass_at={listed.highest}"
        with closing(registry.make(address)) as env:
            for task in env.unwrapped.tasks("train", 0)[:3]:
                prompt = solutions.reset(task.payload["reset"]["seed"])
                turns = solutions.solution()
                episode = play(env, ScriptedPolicy(turns), task)
                assert episode.verified, (episode.error, episode.verdict, turns)
                assert episode.messages[0]["content"] == prompt
                lost = play(env, ScriptedPolicy(["nothing"] * 20), task)
                assert lost.verified is False, lost.error


@pytest.mark.daily(1)
@pytest.mark.parametrize("name", ["reasoning-gym chain_sum", "SkyRL-gym gsm8k"])
def test_the_command_grades_one_and_counts_without_names(name, tmp_path):
    page, data = tmp_path / "page.md", tmp_path / "data.json"
    command = [sys.executable, str(SCRIPT), "--only", name]
    done = subprocess.run(
        [*command, "--out", str(page), "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    findings = json.loads(data.read_text())["findings"]
    by_check = {one["check"]: one["status"] for one in findings}
    assert by_check["semantic.oracle_max"] == "pass"
    assert by_check["semantic.canary_floor"] == "pass"
    assert not any(check.startswith("static.") for check in by_check)
    first, second = page.read_text().split("| check |")
    assert name.partition(" ")[2] in first
    assert name.partition(" ")[2] not in second


def test_a_name_that_is_not_there_is_refused():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--only", "no such game"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert "none has 'no such game' in its name" in done.stdout
