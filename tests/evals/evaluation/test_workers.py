"""An evaluation whose environments are on a Ray cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.store import read_episodes
from evals.run import main
from scgrpo.models.tiny import make_tiny

ray = pytest.importorskip("ray", reason="the extra ray is not installed")


@pytest.mark.slow
@pytest.mark.daily(0)  # a cluster: with --all
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(400)
def test_the_episodes_of_workers_are_counted(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    chosen = ["--envs", "toy_guess", "--levels", "0", "--tasks", "3", "--rollouts", "2"]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        main(["--model", str(tiny), *chosen, "--workers", "2", "--out", str(tmp_path)])
    finally:
        ray.shutdown()
    assert "rollout workers: 2" in capsys.readouterr().err
    files = list(tmp_path.rglob("*.jsonl"))
    episodes = [episode for file in files for episode in read_episodes(file)]
    assert len(episodes) == 6
    assert all(episode.verdict is not None for episode in episodes)
