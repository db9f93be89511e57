"""`scgrpo agent serve` as typed: a model, real sandboxes, a session up to its verdict."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from envs.code.swe_lite.env import SweLite
from envs.code.swe_lite.tasks import rows_in
from envs.store import read_episodes
from sandboxes.backends import bubblewrap
from scgrpo.models.tiny import make_tiny

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    if reason := bubblewrap.available():
        pytest.skip(f"local: {reason}")
    model = make_tiny(tmp_path / "model", hidden=16, layers=1, heads=2)
    command = [sys.executable, "-m", "evals.cli", "agent", "serve", "swe_lite"]
    command += ["--model", str(model), "--port", "0", "--backend", "shell"]
    command += ["--episode-tokens", "2000", "--turn-tokens", "20", "--out", "out.jsonl"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield address(process)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said


def address(process: subprocess.Popen[str]) -> str:
    """Where the command says that it serves."""
    assert process.stderr is not None
    said = ""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        line = process.stderr.readline()
        said += line
        if match := re.search(r"(http://[\d.:]+)/sessions", line):
            return match[1]
        assert line or process.poll() is None, said
    raise AssertionError(said)


@pytest.mark.slow
@pytest.mark.daily(0)
def test_a_repaired_file_passes(url: str, tmp_path: Path):
    task = SweLite().tasks("train", 1)[0]
    (row,) = rows_in(task)
    body = {"split": "train", "level": 1, "index": 0}
    session = httpx.post(f"{url}/sessions", json=body, timeout=60).json()
    assert session["prompt"].startswith(task.prompt)
    chat = {"messages": [{"role": "user", "content": session["prompt"]}]}
    answer = httpx.post(
        f"{session['base_url']}/chat/completions", json=chat, timeout=60
    )
    assert answer.status_code == 200, answer.text
    right = "\n".join(row.with_lines(row.right).split("\n"))
    script = f"cat > {row.package.file} <<'END'\n{right}\nEND"
    done = httpx.post(session["sandbox_url"], json={"command": script}, timeout=60)
    assert done.json()["returncode"] == 0, done.text
    finish = f"{url}/sessions/{session['id']}/finish"
    result = httpx.post(finish, json={}, timeout=120).json()
    assert result["verdict"]["passed"], result["verdict"]
    (episode,) = read_episodes(tmp_path / "out.jsonl")
    assert episode.verified
    assert len(episode.turns[0].token_ids) == len(episode.turns[0].logprobs) > 0
