"""Attention over packed tokens: no padding in any layer but attention itself.

Every model runs here on one row of N packed tokens; a `Layout` says which of them see which.
`use_packed` switches a transformers model to it; the layout then travels through the model's
keyword arguments. Grouped-query heads are folded into query rows, so keys are never repeated.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

__all__ = [
    "Layout",
    "TreeLayout",
    "additive_mask",
    "fold",
    "last_hidden_states",
    "unfold",
    "use_packed",
]

NAME = "scgrpo_packed"


class Layout(Protocol):
    """Which of N packed tokens see which. H query heads, K key heads, d head width."""

    positions: Tensor
    """(N,) position of each token in its own sequence."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """Output of one layer's attention. (H, N, d), (K, N, d), (K, N, d) -> (N, H, d)."""
        ...


def use_packed(model: PreTrainedModel) -> None:
    """Switches the model to packed attention. Raises ValueError for a model that cannot."""
    if problem := _problem(model):
        raise ValueError(
            f"{type(model).__name__} {problem}; expected a decoder with full attention, a plain "
            "output layer and `_supports_attention_backend` (Llama, Qwen, OLMo, ...)"
        )
    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend_by_layout)
    model.set_attn_implementation(NAME)


def _problem(model: PreTrainedModel) -> str:
    """Why packed attention would not compute what the model does; empty if it would."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        return "does not take its attention from transformers' registry"

    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if unsupported := sorted(kinds - {"full_attention"}):
        return f"has layers of the kind {unsupported[0]}"
    if window := getattr(config, "sliding_window", None):
        return f"sees a sliding window of {window} tokens"

    # Nothing here computes logits but the output layer alone: a cap or scale would be lost.
    for name in ("final_logit_softcapping", "attn_logit_softcapping"):
        if cap := getattr(config, name, None):
            return f"caps its logits ({name}={cap})"
    for name in ("logit_scale", "logits_scaling"):
        scale = getattr(config, name, None)
        if scale not in (None, 1):
            return f"scales its logits ({name}={scale})"
    return ""


def last_hidden_states(
    model: PreTrainedModel, token_ids: Tensor, layout: Layout
) -> Tensor:
    """Last hidden states of packed tokens, before the output layer. (N,) -> (N, D).

    Raises ValueError for a model without `use_packed`: its own attention would ignore the layout.
    """
    if model.config.get_text_config()._attn_implementation != NAME:
        raise ValueError(
            f"{type(model).__name__} does not attend by layout: call use_packed first"
        )
    decoder = model.get_decoder()
    out = decoder(
        input_ids=token_ids[None],
        position_ids=layout.positions[None],
        use_cache=False,
        layout=layout,
    )
    return out.last_hidden_state[0]


def _attend_by_layout(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    layout: Layout,
    **options: Any,
) -> tuple[Tensor, None]:
    """What transformers calls: (1, H, N, d), (1, K, N, d) x 2 -> (1, N, H, d)."""
    for name in ("softcap", "s_aux", "sliding_window"):
        if options.get(name) is not None:
            raise ValueError(
                f"{type(module).__name__} asks for {name}, which packed attention does not support"
            )
    layer = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
    out = layout.attend(layer, query[0], key[0], value[0], scaling)
    return out[None], None


def fold(query: Tensor, key_heads: int) -> Tensor:
    """Query heads of one key head become rows. (R, q, H, d) -> (R, K, H/K * q, d)."""
    rows, length, heads, width = query.shape
    group = heads // key_heads
    by_key_head = query.view(rows, length, key_heads, group, width)
    heads_first = by_key_head.permute(0, 2, 3, 1, 4)  # (R, K, H/K, q, d)
    return heads_first.reshape(rows, key_heads, group * length, width)


def unfold(out: Tensor, length: int) -> Tensor:
    """Inverse of `fold`. (R, K, H/K * q, d) -> (R, q, H, d)."""
    rows, key_heads, queries, width = out.shape
    group = queries // length
    by_key_head = out.view(rows, key_heads, group, length, width)
    tokens_first = by_key_head.permute(0, 3, 1, 2, 4)  # (R, q, K, H/K, d)
    return tokens_first.reshape(rows, length, key_heads * group, width)


class TreeLayout:
    """A prefix computed once, and branches that each see the prefix and their own past.

    Packed as [prefix | branch 0 | branch 1 | ...]; differentiable.
    """

    def __init__(
        self, prefix: int, branches: list[int], device: torch.device | None = None
    ) -> None:
        self.prefix = prefix
        self.branches = branches
        longest = max(branches)
        lengths = torch.tensor(branches, device=device).unsqueeze(1)  # (G, 1)
        steps = torch.arange(longest, device=device)
        self._real = steps < lengths  # (G, longest)

        # (G, longest) index of each query among the packed tokens; padding repeats the last.
        ends = prefix + torch.cumsum(lengths, 0)
        firsts = ends - lengths
        inside = torch.minimum(steps, lengths - 1)
        self._tokens = firsts + inside

        # Every branch counts its positions from the end of the prefix.
        branch_positions = (prefix + steps).expand_as(self._real)
        parts = [
            torch.arange(prefix, device=device),
            branch_positions[self._real],
        ]
        self.positions = torch.cat(parts)

        self._prefix_visible = _causal(0, prefix, device)
        self._branch_visible = _causal(prefix, longest, device)
        self._masks: tuple[Tensor, Tensor] | None = None

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """See `Layout.attend`; the same in every layer."""
        prefix = self.prefix
        key_heads = key.shape[0]
        group = query.shape[0] // key_heads
        prefix_mask, branch_mask = self._additive_masks(group, query)
        packed = query.transpose(0, 1)  # (N, H, d)

        # The prefix is one row, each branch another.
        prefix_out = _attend(
            fold(packed[None, :prefix], key_heads),
            key[None, :, :prefix],
            value[None, :, :prefix],
            prefix_mask,
            scale,
        )
        branch_out = _attend(
            fold(packed[self._tokens], key_heads),
            self._with_prefix(key),
            self._with_prefix(value),
            branch_mask,
            scale,
        )

        longest = self._tokens.shape[1]
        of_prefix = unfold(prefix_out, prefix)[0]
        of_branches = unfold(branch_out, longest)[self._real]
        return torch.cat([of_prefix, of_branches])

    def _additive_masks(self, group: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of prefix and branches, made in the first layer and shared by all of them."""
        if self._masks is None:
            of_prefix = additive_mask(self._prefix_visible, like.dtype)
            of_branches = additive_mask(self._branch_visible, like.dtype)
            self._masks = (
                of_prefix.repeat(group, 1),
                of_branches.repeat(group, 1),
            )
        return self._masks

    def _with_prefix(self, packed: Tensor) -> Tensor:
        """Keys or values that each branch sees. (K, N, d) -> (G, K, prefix + longest, d)."""
        count = len(self.branches)
        prefix = packed[None, :, : self.prefix]  # (1, K, prefix, d)
        shared = prefix.expand(count, -1, -1, -1)
        by_token = packed.transpose(0, 1)
        branches = by_token[self._tokens]  # (G, longest, K, d)
        return torch.cat([shared, branches.transpose(1, 2)], dim=2)


def _causal(past: int, length: int, device: torch.device | None) -> Tensor:
    """What tokens see of a past and of themselves. -> (length, past + length), bool."""
    everything = torch.ones(
        length,
        past + length,
        dtype=torch.bool,
        device=device,
    )
    return everything.tril(past)


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a token is visible, -inf elsewhere."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, float("-inf"))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float
) -> Tensor:
    """Softmax attention. (R, K, q, d), (R, K, t, d) x 2, (q, t) -> (R, K, q, d).

    On CPUs two bf16 matrix products beat the fused kernel about three times over, forward and
    backward; they hold the (q, t) scores, which is what the fused kernel is for elsewhere.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        scores = torch.matmul(query * scale, key.transpose(2, 3))
        # Under the same name, so that one (q, t) tensor fewer is alive in the softmax.
        scores = scores + mask
        weights = torch.softmax(scores, dim=-1)
        return torch.matmul(weights, value)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        scale=scale,
    )
