"""Layers without their modules give what the modules give, also after a step of the optimizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from scgrpo.models.attention import TreeLayout, last_hidden_states, use_packed
from scgrpo.models.families import make_family
from scgrpo.models.layers import prepacked
from scgrpo.models.layers.fused import FusedForward, fused_forward
from scgrpo.models.layers.prepacked import PrepackedLinear, has_bf16_products
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.training.optimizer import MasterAdamW

IDS = torch.arange(2, 32)
needs_bf16_products = pytest.mark.skipif(
    not has_bf16_products(), reason="this processor has no products in bfloat16"
)
FUSED = ["llama", "llama-tied", "mistral", "qwen2", "qwen2-window", "qwen3"]
"""Families whose layers are Llama's: with biases, norms of heads, and windows."""
OTHERS = ["gemma-2", "gpt-2", "granite", "olmo-2", "qwen3-moe"]


@pytest.fixture
def make(tmp_path: Path):
    def model(name: str, dtype: torch.dtype = torch.bfloat16):
        made, _ = load_model(make_family(name, tmp_path / name), dtype=dtype)
        use_packed(made)
        return made

    return model


def bf16(linear: nn.Linear) -> nn.Linear:
    return linear.to(torch.bfloat16)


def layout() -> TreeLayout:
    return TreeLayout(10, [12, 8])


@needs_bf16_products
@pytest.mark.parametrize("name", FUSED)
def test_states_are_those_of_the_modules(make, name):
    model = make(name)
    fused = FusedForward(model)(IDS, layout())
    own = last_hidden_states(model, IDS, layout())
    tolerance = 8 * torch.finfo(torch.bfloat16).eps
    torch.testing.assert_close(fused, own, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OTHERS)
def test_layers_that_are_built_otherwise_keep_their_modules(make, name):
    model = make(name)
    choose_path(model)
    slots = choose_path(model).decoder.slots(model, 1, 16)
    assert getattr(slots, "_fused", None) is None


@needs_bf16_products
def test_adapters_keep_their_modules(make):
    model = make("llama")
    assert fused_forward(model) is not None
    get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    assert fused_forward(model) is None


@needs_bf16_products
def test_a_step_of_the_optimizer_is_seen(make):
    model = make("llama")
    fused = FusedForward(model)
    before = fused(IDS, layout())
    optimizer = MasterAdamW(model.parameters(), lr=0.1)
    last_hidden_states(model, IDS, layout()).float().square().sum().backward()
    optimizer.step(lr=0.1, max_norm=1.0)

    with torch.no_grad():
        own = last_hidden_states(model, IDS, layout())
    after = fused(IDS, layout())
    assert not torch.allclose(before, own, atol=0.1)
    torch.testing.assert_close(after, own, rtol=0.05, atol=0.05)


@needs_bf16_products
def test_weights_that_are_loaded_are_seen():
    linear = bf16(nn.Linear(8, 4))
    prepacked = PrepackedLinear([linear])
    linear.load_state_dict(bf16(nn.Linear(8, 4)).state_dict(), assign=True)
    states = torch.randn(3, 8, dtype=torch.bfloat16)
    torch.testing.assert_close(prepacked(states), linear(states))


def test_a_layer_that_does_more_is_refused():
    class Doubled(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
            return 2 * super().forward(input)

    with pytest.raises(ValueError, match="more than a linear layer"):
        PrepackedLinear([bf16(Doubled(8, 4))])
    hooked = bf16(nn.Linear(8, 4))
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="more than a linear layer"):
        PrepackedLinear([hooked])


def test_without_products_in_bf16_the_modules_stay(make, monkeypatch):
    """On a CPU with AVX2 alone `dtype=bfloat16` is slow, and not refused."""
    monkeypatch.setattr(prepacked, "has_bf16_products", lambda: False)
    model = make("llama")
    with pytest.raises(ValueError, match="no products in bfloat16"):
        PrepackedLinear([bf16(nn.Linear(4, 3))])
    assert fused_forward(model) is None


def test_weights_in_fp32_are_not_prepared():
    with pytest.raises(ValueError, match="float32 are not prepacked"):
        PrepackedLinear([nn.Linear(8, 4)])


@needs_bf16_products
def test_layers_of_which_one_has_a_bias_are_one_product():
    linears = [bf16(nn.Linear(8, 4)), bf16(nn.Linear(8, 2, bias=False))]
    states = torch.randn(3, 8, dtype=torch.bfloat16)
    own = torch.cat([linear(states) for linear in linears], dim=-1)
    torch.testing.assert_close(PrepackedLinear(linears)(states), own)
