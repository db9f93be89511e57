"""What a run would cost, said before it starts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scgrpo import plan
from scgrpo.config import TrainConfig
from scgrpo.models import make_tiny
from scgrpo.train import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2)


def said(capsys, *arguments: str) -> dict[str, str]:
    main(["plan=true", *arguments])
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}


def test_the_counts_are_those_of_the_settings(tiny, tmp_path, capsys):
    found = said(
        capsys, "env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "steps=3", "tasks_per_step=2",
        "group=4", "limits.episode_tokens=100", "validation.every=2", "device=cpu",
    )  # fmt: skip
    assert found["episodes"] == "3 steps of 2 x 4: 24"
    assert found["tokens"] == "at most 800 a step, 2,400 in all"
    assert found["boxes"].startswith("none")
    assert found["validation"] == "1 times 32 episodes of each split"
    assert "once by the policy with the reference" in found["passes"]
    assert list(tmp_path.iterdir()) == []


def test_boxes_are_counted_where_the_environment_needs_them(tiny, tmp_path, capsys):
    found = said(
        capsys, "env=swe_lite", f"model={tiny}", f"runs={tmp_path}", "sandbox.size=3",
        "algo=grpo", "device=cpu",
    )  # fmt: skip
    assert found["boxes"].startswith("up to 3, of 512 MiB")
    assert "reference" not in found["passes"]


def test_time_comes_from_a_run_alike(tiny, tmp_path, capsys):
    arguments = (
        "env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "steps=2", "tasks_per_step=2",
        "group=2", "levels=0", "limits.turn_tokens=3", "limits.episode_tokens=160",
        "device=cpu", "dtype=float32", "warm_start.mode=never",
    )  # fmt: skip
    assert "GFLOP/s measured here" in said(capsys, *arguments)["time"]
    main([*arguments, "name=a"])
    capsys.readouterr()
    assert f"as in {tmp_path / 'a'}" in said(capsys, *arguments)["time"]
    assert "GFLOP/s" in said(capsys, *arguments, "group=3")["time"]


STEP = """
import resource, sys
from pathlib import Path

import torch

from scgrpo.models import load
from scgrpo.optimizer import MasterAdamW
from scgrpo.attention import use_packed
from scgrpo.scoring import output_layer, predicting_states, token_scores

model, _ = load(Path(sys.argv[1]))
use_packed(model)
optimizer = MasterAdamW(model.parameters(), lr=1e-3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
states = predicting_states(model, [1] * 8, [[2] * 500] * 32, [[True] * 500] * 32)
logprobs, _ = token_scores(output_layer(model), states, torch.full((16000,), 2))
logprobs.sum().backward()
optimizer.step(lr=1e-3, max_norm=1.0)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_the_peak_is_about_what_a_step_takes(tmp_path):
    folder = make_tiny(tmp_path / "tiny", hidden=256, layers=4, heads=4)
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(folder)], capture_output=True, text=True, check=True
    )
    config = TrainConfig(model=str(folder), device="cpu", dtype="float32", tasks_per_step=4)
    size = plan._size(config)
    weights = size.parameters * 4 / 2**20
    backward = 16000 * size.layers * (10 * size.hidden + 6 * size.inner) * 4 / 2**20
    taken = float(done.stdout)
    assert 0.5 * taken < backward + 3 * weights < 2 * taken, (taken, backward, weights)


def test_an_unknown_model_is_refused_as_in_a_run(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["plan=true", f"model={tmp_path / 'nothing'}", f"runs={tmp_path}"])
    assert end.value.code == 2
    assert re.search("nothing", capsys.readouterr().err)
