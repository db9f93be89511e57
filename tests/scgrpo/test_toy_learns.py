"""The whole chain learns: from about chance to near the optimum, on one core."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from envs.rollout import Limits
from envs.toy.guess import ToyGuess
from envs.types import Message
from scgrpo.attention import use_packed
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.log import read_metrics
from scgrpo.models import load, make_tiny
from scgrpo.optimizer import MasterAdamW
from scgrpo.policies.chat import Chat
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.scoring import output_layer, predicting_states, token_scores
from scgrpo.train import train
from scgrpo.warm_start import spoken

SEED = 2
SHARE_OF_SENSE = 0.4
STEPS = 200


def guesser(rng: np.random.Generator):
    """Guesses at random in the window, and in some turns as the replies suggest."""

    def turn(chat: list[Message]) -> str:
        words = [m["content"] for m in chat if m["role"] != "system"]
        low, high = map(int, re.findall(r"\d+", words[0]))
        window = (low, high)
        for guess, reply in zip(words[1::2], words[2::2], strict=True):
            low = int(guess) + 1 if reply == "higher" else low
            high = int(guess) - 1 if reply == "lower" else high
        sense = rng.random() < SHARE_OF_SENSE
        return str((low + high) // 2 if sense else rng.integers(window[0], window[1] + 1))

    return turn


def taught(folder: Path, seed: int) -> Path:
    """A tiny model, trained from random weights on what `guesser` says."""
    rng = np.random.default_rng(seed)
    model, tokenizer = load(make_tiny(folder / "blank", seed=seed))
    use_packed(model)
    with Rollouts("toy_guess", Limits(), threads=1) as play:
        script = ScriptedPolicy(guesser(rng))
        episodes = play(script, play.env.tasks("train", 0), group=10, seed=0)
    chat = Chat(tokenizer)
    data = [spoken(episode, chat) for episode in episodes]
    groups = [data[i : i + 10] for i in range(0, len(data), 10)]
    optimizer = MasterAdamW(model.parameters(), lr=5e-3)
    tokens = sum(len(turn.token_ids) for e in data for turn in e.turns)
    for step in range(STEPS):
        for group in groups:
            size = len(group[0].segments[0].token_ids)
            states = predicting_states(
                model,
                group[0].token_ids[:size],
                [e.token_ids[size:] for e in group],
                [e.action_mask[size:] for e in group],
            )
            targets = torch.tensor([i for e in group for t in e.turns for i in t.token_ids])
            logprobs, _ = token_scores(output_layer(model), states, targets)
            (-logprobs.sum() / tokens).backward()
        scale = min(1.0, (step + 1) / 5) * (1 - step / STEPS)
        optimizer.step(lr=5e-3 * scale, max_norm=1.0)
    model.save_pretrained(folder / "taught")
    tokenizer.save_pretrained(folder / "taught")
    return folder / "taught"


@pytest.mark.slow
@pytest.mark.timeout(1200)  # where others use the cores too; one to two minutes where not
def test_a_tiny_model_learns_to_guess(tmp_path: Path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = train(
            TrainConfig(
                env="toy_guess",
                model=str(taught(tmp_path, seed=SEED)),
                algo="sc_grpo",
                seed=SEED,
                levels=(0,),
                steps=220,
                tasks_per_step=9,
                group=8,
                lr=1e-3,
                warmup_steps=10,
                limits=Limits(turn_tokens=4, episode_tokens=200),
                warm_start=WarmStartConfig("never"),
                device="cpu",
                dtype="float32",
                runs=tmp_path / "runs",
                save_every=220,
            )
        )
    finally:
        torch.set_num_threads(threads)
    success = [row["episodes/success"] for row in read_metrics(run / "metrics.jsonl")]
    start, end = np.mean(success[:5]), np.mean(success[-10:])
    assert ToyGuess().chance(0) == pytest.approx(0.556, abs=1e-3)
    assert start < 0.7
    assert end > 0.9, f"from {start:.2f} to {end:.2f}"
