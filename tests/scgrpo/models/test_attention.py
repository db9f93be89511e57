"""Packed attention computes what the model's own forward pass computes, and refuses otherwise."""

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from scgrpo.models.attention import TreeLayout, last_hidden_states, use_packed
from scgrpo.models.paths import choose_path

SMALL = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}


def pair(key_heads: int, dtype: torch.dtype = torch.float32):
    """The same weights twice: packed, and as transformers runs them (in fp32)."""
    torch.manual_seed(0)
    config = {**SMALL, "num_key_value_heads": key_heads}
    own = LlamaForCausalLM(LlamaConfig(**config, attn_implementation="eager")).eval()
    packed = LlamaForCausalLM(LlamaConfig(**config)).to(dtype).eval()
    packed.load_state_dict(own.state_dict())
    choose_path(packed)
    return packed, own


def ids_of(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 60, (n,), generator=generator).tolist() for n in lengths]


def own_states(own, ids: list[int]) -> torch.Tensor:
    return own.model(torch.tensor([ids])).last_hidden_state[0]


@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_a_tree_equals_separate_forward_passes_in_value_and_gradient(key_heads: int):
    packed, own = pair(key_heads)
    prefix, *branches = ids_of(7, 5, 1, 9, 4)
    layout = TreeLayout(len(prefix), [len(b) for b in branches])
    states = last_hidden_states(
        packed, torch.tensor([*prefix, *sum(branches, [])]), layout
    )
    expected = [own_states(own, prefix)]
    expected += [own_states(own, prefix + branch)[len(prefix) :] for branch in branches]
    wanted = torch.cat(expected)
    torch.testing.assert_close(states, wanted, rtol=1e-5, atol=1e-5)

    towards = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2))
    (states * towards).sum().backward()
    (wanted * towards).sum().backward()
    for (name, mine), theirs in zip(
        packed.named_parameters(), own.parameters(), strict=True
    ):
        if theirs.grad is None:
            assert mine.grad is None, name
            continue
        scale = theirs.grad.abs().max()
        torch.testing.assert_close(
            mine.grad / scale, theirs.grad / scale, rtol=1e-5, atol=1e-5
        )


def test_a_tree_in_bfloat16_stays_within_its_rounding():
    packed, own = pair(2, torch.bfloat16)
    prefix, *branches = ids_of(7, 5, 9)
    layout = TreeLayout(len(prefix), [5, 9])
    states = last_hidden_states(
        packed, torch.tensor([*prefix, *sum(branches, [])]), layout
    )
    wanted = torch.cat(
        [
            own_states(own, prefix),
            *(own_states(own, prefix + b)[len(prefix) :] for b in branches),
        ]
    )
    # Two layers of bf16, whose rounding is 2**-8; the states are of size 1.
    assert states.dtype == torch.bfloat16
    assert (states.float() - wanted).abs().mean() < 0.03
    # The same in a wrong order is far off, so the bound tells something.
    assert (states.float() - wanted.roll(1, 0)).abs().mean() > 0.5


def test_a_branch_sees_nothing_of_its_neighbours():
    packed, _ = pair(2)
    prefix, first, second, other = ids_of(6, 5, 4, 5)
    layout = TreeLayout(6, [5, 4])
    one = last_hidden_states(packed, torch.tensor(prefix + first + second), layout)
    two = last_hidden_states(
        packed, torch.tensor(prefix + other + second), TreeLayout(6, [5, 4])
    )
    assert torch.equal(one[:6], two[:6])
    assert not torch.equal(one[6:11], two[6:11])
    torch.testing.assert_close(one[11:], two[11:], rtol=1e-6, atol=1e-6)


def test_a_model_whose_attention_cannot_be_switched_is_refused():
    config = BloomConfig(vocab_size=60, hidden_size=32, n_layer=1, n_head=2)
    with pytest.raises(
        ValueError, match="BloomForCausalLM does not take its attention"
    ):
        use_packed(BloomForCausalLM(config))


def test_an_attention_option_that_packed_attention_lacks_is_refused():
    packed, _ = pair(2)
    with pytest.raises(ValueError, match="asks for position_bias, which packed"):
        packed.model(
            input_ids=torch.tensor([[1, 2]]),
            position_ids=torch.arange(2)[None],
            layout=TreeLayout(1, [1]),
            position_bias=torch.zeros(1),
        )


def test_a_model_with_its_own_attention_is_refused():
    own = LlamaForCausalLM(LlamaConfig(**SMALL))
    with pytest.raises(ValueError, match="call use_packed first"):
        last_hidden_states(own, torch.tensor([1, 2, 3]), TreeLayout(1, [2]))
