"""Tiny models of many families: what is saved loads again, with a chat of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from scgrpo.models.families import (
    FAMILIES,
    family_tokenizer,
    make_family,
    template_tokens,
)
from scgrpo.models.load import load_model
from scgrpo.policies.chat import Chat

TASK = {"role": "user", "content": "How long is it?"}


def test_there_are_as_many_families_as_promised():
    assert len(FAMILIES) >= 28
    assert len({family.config for family in FAMILIES.values()}) >= 28


@pytest.mark.daily(14)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_loaded_with_a_tokenizer_that_its_rows_cover(
    name: str, tmp_path: Path
):
    model, tokenizer = load_model(make_family(name, tmp_path))
    rows = model.get_input_embeddings().weight.shape[0]
    assert len(tokenizer) < rows < len(tokenizer) + 33
    chat = Chat(tokenizer)
    assert tokenizer.eos_token_id in chat.end_ids
    text, ids = chat.prompt([TASK], ())
    assert tokenizer.decode(ids) == text
    assert "How long is it?" in text


def test_a_seed_makes_the_same_model(tmp_path: Path):
    one = make_family("qwen3", tmp_path / "one", seed=1)
    two = make_family("qwen3", tmp_path / "two", seed=1)
    other = make_family("qwen3", tmp_path / "other", seed=2)
    first = (one / "model.safetensors").read_bytes()
    assert first == (two / "model.safetensors").read_bytes()
    assert first != (other / "model.safetensors").read_bytes()


def test_control_tokens_are_those_with_marks():
    template = "<|im_end|>{{ '<think>' }} [INST] <BOS_TOKEN><turn|> <parameter=x> a < b"
    wanted = ["<BOS_TOKEN>", "<think>", "<turn|>", "<|im_end|>", "[INST]"]
    assert template_tokens(template) == wanted


def test_a_turn_ends_with_the_eos_of_the_template():
    assert family_tokenizer("llama3_1").eos_token == "<|eot_id|>"
    assert family_tokenizer("gemma4").eos_token == "<turn|>"
    assert family_tokenizer("").eos_token == "<|im_end|>"


def test_an_unknown_family_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"unknown family 'lama'; expected one of"):
        make_family("lama", tmp_path)
    assert not list(tmp_path.iterdir())
