"""The benchmarks of a model run, on a tiny one, and measure what they say."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from benchmarks import decode, scaling
from benchmarks.decode import Floor
from benchmarks.tools.story import STORY
from benchmarks.trl_step import prompt_of
from envs.rollout import Limits
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return make_tiny(folder, hidden=16, layers=1, heads=2)


def test_a_decode_step_is_compared_with_the_floor_of_its_weights(tiny: Path):
    rows = decode.measure(tiny, torch.float32, rounds=1)
    assert [row.name.split(" of ")[1] for row in rows] == ["32", "8", "2", "1"]
    for row in rows:
        assert row.ours > 0
        assert row.against.startswith("floor: ")
        assert row.theirs
        assert row.ratio
        assert row.cores
    assert [row.goal.bound if row.goal else None for row in rows] == [55, 32, None, 18]


def test_the_floor_counts_every_weight_that_a_step_reads_once(tiny: Path):
    model, _ = load_model(tiny, dtype=torch.float32)
    # One layer of width 16 with a tied output layer of 99 words: 4 squares of attention,
    # 3 matrices of 16 x 64, 3 norms.
    weights = 99 * 16 + 4 * 16**2 + 3 * 16 * 64 + 3 * 16
    floor = Floor(model)
    assert floor.weights == weights
    assert floor.reading_ms() > 0
    assert floor.product_ms() > 0


def test_of_embeddings_that_are_not_the_output_layer_a_step_reads_next_to_nothing(
    tiny: Path,
):
    model, _ = load_model(tiny, dtype=torch.float32)
    tied = Floor(model).weights
    embeddings = model.get_input_embeddings().weight
    model.get_output_embeddings().weight = torch.nn.Parameter(embeddings.clone())
    assert Floor(model).weights == tied


def test_a_step_samples_a_token_for_each_of_its_rows_alone(tiny: Path):
    model, tokenizer = load_model(tiny, dtype=torch.float32)
    size = decode.CACHED + decode.STEPS
    with HFPolicy(model, tokenizer, slots=decode.SLOTS, cache_tokens=size) as policy:
        decoding = decode.Decoding(policy)
        before = list(decoding._last)
        tokens = decoding.step(8, decode.CACHED)
        assert len(tokens) == 8
        assert decoding._last == tokens + before[8:]
        assert any(tokens)


def test_every_point_of_the_curves_is_a_row(tiny: Path):
    rows = scaling.measure(tiny, torch.float32, rounds=1)
    places = [row.place for row in rows]
    assert places[:3] == [("group size", 4), ("group size", 8), ("group size", 16)]
    assert len(places) == 12
    assert [row.ratio is None for row in rows] == [True, False, False] * 4
    assert [row.goal is not None for row in rows[:3]] == [False, False, True]


def test_stories_have_the_turns_of_their_level(tiny: Path):
    model, tokenizer = load_model(tiny, dtype=torch.float32)
    limits = Limits(turn_tokens=3, episode_tokens=400)
    with (
        HFPolicy(model, tokenizer, slots=2, cache_tokens=400) as policy,
        Rollouts(STORY, limits) as play,
    ):
        for level in (1, 2, 4):
            tasks = play.env.tasks("train", level)[:1]
            for episode in play(policy, tasks, group=2, seed=0):
                assert len(episode.turns) == level


def test_a_prompt_that_trl_would_read_as_other_tokens_is_refused(tiny: Path):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    chat = Chat(tokenizer)
    text = prompt_of("train/1/river", chat, tokenizer)
    assert text.startswith("<|im_start|>user\nTell me a very long story about a river")

    def with_a_first_token(text: str) -> dict[str, list[int]]:
        return {"input_ids": [1, *tokenizer(text)["input_ids"]]}

    with pytest.raises(RuntimeError, match="got other tokens of"):
        prompt_of("train/1/river", chat, with_a_first_token)
