"""Each recipe is settings that a run takes, and fits the cards that it names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen3Config

from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import TrainConfig
from scgrpo.preflight.memory import memory_share, model_size, phases
from scgrpo.settings import parse as settings

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
# As the models' own configurations have them.
COMMON: dict[str, Any] = {"vocab_size": 151936, "head_dim": 128}
COMMON |= {"num_key_value_heads": 8, "max_position_embeddings": 40960}
MODELS = {
    "1.7b": Qwen3Config(
        **COMMON,
        hidden_size=2048,
        intermediate_size=6144,
        num_hidden_layers=28,
        num_attention_heads=16,
        tie_word_embeddings=True,
    ),
    "8b": Qwen3Config(
        **COMMON,
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=36,
        num_attention_heads=32,
        tie_word_embeddings=False,
    ),
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_its_cards(path: Path):
    text = path.read_text()
    config = settings.load(TrainConfig, path)
    algorithm_of(config)
    assert f"config=recipes/{path.name}" in text
    line = re.search(r"# plan: (.*)", text)
    assert line is not None
    about = dict(word.split("=") for word in line[1].split())
    processes, sharded = int(about["processes"]), about["sharded"] == "true"
    card_mib = float(about["card_gib"]) * 1024
    size = model_size(MODELS[about["model"]], config.lora.rank)
    assert size.parameters == pytest.approx(float(about["model"][:-1]) * 1e9, rel=0.03)

    # Numbers of a GPU, on a machine that has none.
    config = replace(config, device="meta", dtype="bfloat16")
    mine = phases(config, size, processes=processes, sharded=sharded)
    assert mine.peak < 0.96 * card_mib
    share = memory_share(config, size, card_mib, processes, sharded)
    weights = size.parameters * 2 / 2**20
    # Beside the engine's weights a fifth of a step's cache fits at least.
    cache = config.tasks_per_step * config.group_size * config.limits.episode_tokens
    cache_mib = cache / processes * size.kept * 2 / 2**20
    assert share * card_mib > weights + cache_mib / 5
    # A step's longest rows are read with their reference.
    reference = config.shown_reference
    assert reference.tokens >= config.limits.turn_tokens
