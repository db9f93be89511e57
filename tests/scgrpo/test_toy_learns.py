"""The whole chain learns: a blank model, from about chance to near the optimum, on one core."""

from pathlib import Path

import numpy as np
import pytest
import torch

from envs.rollout import Limits
from envs.toy.guess import ToyGuess
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.credit.options import CreditOptions
from scgrpo.launch import train
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import read_metrics


@pytest.mark.slow
@pytest.mark.daily(0)  # each day the gradients are compared with recorded ones
@pytest.mark.timeout(
    1200
)  # where others use the cores too; under two minutes where not
def test_a_blank_model_learns_to_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = train(
            TrainConfig(
                env="toy_guess",
                model=str(make_tiny(tmp_path / "blank")),
                algo="sc_grpo",
                levels=(0,),
                max_steps=340,
                tasks_per_step=9,
                group_size=8,
                lr=1e-3,
                warmup_steps=5,
                credit=CreditOptions(alpha_div=0.0),
                limits=Limits(turn_tokens=4, episode_tokens=200),
                # Guesses at random that read no reply: what is right is left to find.
                warm_start=WarmStartConfig(
                    episodes=96,
                    steps=150,
                    tasks_per_step=9,
                    lr=3e-3,
                    references="never",
                ),
                device="cpu",
                dtype="float32",
                runs=tmp_path / "runs",
                save_every=340,
            )
        )
    finally:
        torch.set_num_threads(threads)
    success = [row["episodes/success"] for row in read_metrics(run / "metrics.jsonl")]
    start, end = np.mean(success[:10]), np.mean(success[-20:])
    env = ToyGuess()
    assert start < env.chance(0) + 0.1, f"a start of {start:.2f} where chance is 0.56"
    assert end > 0.9 * env.optimum(0), (
        f"from {start:.2f} to {end:.2f}, where 1 is the optimum"
    )
