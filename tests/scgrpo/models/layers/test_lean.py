"""Layers that keep less give the same values and gradients, and keep less."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from scgrpo.models.families import make_family
from scgrpo.models.layers.lean import use_lean_layers
from scgrpo.models.load import load_model

IDS = torch.arange(2, 42)[None]
SWITCHED = {
    "llama": 7,
    "qwen3": 11,
    "gemma": 0,
    "mixtral": 5,
    "olmo-2": 11,
    "granite-hybrid": 5,
}
"""Layers of two-layer models that can: norms with one weight, and gated feed-forward parts."""


@pytest.fixture
def make(tmp_path: Path):
    def model(name: str, dtype: torch.dtype = torch.float32) -> Any:
        made, _ = load_model(make_family(name, tmp_path / name), dtype=dtype)
        return made

    return model


def loss_of(model: Any) -> Tensor:
    return model(input_ids=IDS, labels=IDS, use_cache=False).loss


def gradients_of(model: Any) -> dict[str, Tensor]:
    model.zero_grad()
    loss_of(model).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def kept_bytes(model: Any) -> int:
    """Of tensors that autograd keeps, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(model)
    del loss
    return sum(storages.values())


@pytest.mark.parametrize("name", SWITCHED)
def test_values_and_gradients_are_those_of_the_modules(make, name):
    model = make(name)
    lean = deepcopy(model)
    assert use_lean_layers(lean) == SWITCHED[name]

    assert torch.equal(loss_of(model), loss_of(lean))
    own = gradients_of(model)
    gradients = gradients_of(lean)
    assert gradients.keys() == own.keys()
    for parameter, gradient in own.items():
        torch.testing.assert_close(gradients[parameter], gradient, rtol=1e-4, atol=1e-6)


def test_values_in_bf16_are_those_of_the_modules(make):
    model = make("llama", torch.bfloat16)
    lean = deepcopy(model)
    use_lean_layers(lean)
    assert torch.equal(loss_of(model), loss_of(lean))


def test_less_is_kept(make):
    model = make("llama", torch.bfloat16)
    before = kept_bytes(model)
    use_lean_layers(model)
    assert kept_bytes(model) < 0.85 * before


def test_a_copy_has_layers_of_its_own(make):
    model = make("llama")
    use_lean_layers(model)
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.mul_(1.5)
    assert not torch.equal(loss_of(model), loss_of(copy))


def test_adapters_that_come_later_are_computed(make):
    model = make("llama")
    use_lean_layers(model)
    plain = loss_of(model)
    adapted = get_peft_model(
        model, LoraConfig(target_modules=["down_proj"], init_lora_weights=False)
    )
    assert not torch.allclose(loss_of(adapted), plain)
    gradients = gradients_of(adapted)
    assert gradients
    assert all(gradient.any() for gradient in gradients.values())
