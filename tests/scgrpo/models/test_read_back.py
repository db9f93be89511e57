"""What was written is read back before anyone relies on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from scgrpo.models.load import load_model
from scgrpo.models.read_back import ReadBackError, check_equal, check_weights
from scgrpo.models.tiny import make_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


def saved(tiny: Path, folder: Path, *, adapter: bool) -> Any:
    """The model, after it was saved to the folder."""
    model, tokenizer = load_model(tiny)
    if adapter:
        options = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model, options)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize("adapter", [False, True])
def test_what_is_as_it_was_written_passes(adapter, tiny, tmp_path):
    check_weights(tmp_path, saved(tiny, tmp_path, adapter=adapter))


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("damage", ["torn", "empty", "other", "fewer", "gone"])
def test_any_damage_to_the_weights_is_noticed(damage, adapter, tiny, tmp_path):
    model = saved(tiny, tmp_path, adapter=adapter)
    (weights,) = tmp_path.glob("*.safetensors")
    tensors = load_file(weights)
    name = next(iter(tensors))
    if damage == "torn":
        os.truncate(weights, weights.stat().st_size - 10)
    elif damage == "empty":
        os.truncate(weights, 0)
    elif damage == "gone":
        weights.unlink()
    elif damage == "fewer":
        del tensors[name]
        save_file(tensors, weights, metadata={"format": "pt"})
    else:
        tensors[name].view(-1)[0] += 1e-3
        save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(ReadBackError, match=f"cannot write {tmp_path}: read back"):
        check_weights(tmp_path, model)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_torn_configuration_or_tokenizer_is_noticed(file, tiny, tmp_path):
    model = saved(tiny, tmp_path, adapter=False)
    os.truncate(tmp_path / file, 20)
    with pytest.raises(ReadBackError, match="is no model"):
        check_weights(tmp_path, model)


def test_values_are_compared_at_any_depth():
    nan = torch.tensor([float("nan"), 1.0])
    state = {"step": 3, "optimizer": {0: {"m": nan, "on": True}}, "levels": [1, 2]}
    same = {**state, "optimizer": {0: {"m": nan.clone(), "on": True}}}
    check_equal(Path("x"), same, state)
    for other, name in (
        ({**state, "step": 4}, "step"),
        ({**state, "levels": [1]}, "levels"),
        ({**state, "optimizer": {}}, "optimizer"),
        ({**state, "optimizer": {0: {"m": nan + 1, "on": True}}}, r"optimizer\.0\.m"),
        ({**state, "optimizer": {0: {"m": nan[:1], "on": True}}}, r"optimizer\.0\.m"),
    ):
        with pytest.raises(ReadBackError, match=f"x: read back at once, it .*{name}"):
            check_equal(Path("x"), other, state)
