"""Attention over packed tokens: no padding in any layer but attention itself.

Every model runs here on one row of N packed tokens; a `Layout` says which of them see which.
`use_packed` switches a transformers model to it; the layout then travels through the model's
keyword arguments. Grouped-query heads are folded into query rows, so keys are never repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from scgrpo.models.decoder import body_of

__all__ = [
    "Layout",
    "Scoring",
    "TreeLayout",
    "additive_mask",
    "branch_positions",
    "explicit_attention",
    "fold",
    "last_hidden_states",
    "unfold",
    "use_own",
    "use_packed",
]

NAME = "scgrpo_packed"
WITHOUT_EFFECT = frozenset({"position_ids", "cache_position", "use_cache"})
"""What models hand to any attention, and what a layout says already."""


class Scoring(NamedTuple):
    """How a layer weighs what a token sees.

    | field | meaning |
    |---|---|
    | scale | factor of the scores |
    | window | how many tokens back a token sees, itself included; None for all |
    | softcap | bound of the scores, approached by tanh; None for none |
    | sinks | (H,) scores of an invisible token, one for each head; None for none |
    """

    scale: float
    window: int | None = None
    softcap: float | None = None
    sinks: Tensor | None = None

    @property
    def is_plain(self) -> bool:
        """Whether a softmax of the scaled scores is all."""
        return self.softcap is None and self.sinks is None


class Layout(Protocol):
    """Which of N packed tokens see which. H query heads, K key heads, d head width."""

    positions: Tensor
    """(N,) position of each token in its own sequence."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring
    ) -> Tensor:
        """Output of one layer's attention. (H, N, d), (K, N, d), (K, N, d') -> (N, H, d')."""
        ...


def use_packed(model: PreTrainedModel) -> None:
    """Switches the model to packed attention, which may compute something else than its own.

    `choose_path` says whether it does. Raises ValueError for a model whose attention cannot be
    switched.
    """
    if not getattr(model, "_supports_attention_backend", False):
        raise ValueError(
            f"{type(model).__name__} does not take its attention from transformers' registry"
        )
    ALL_ATTENTION_FUNCTIONS.register(NAME, _attend_by_layout)
    model.set_attn_implementation(NAME)


def use_own(model: PreTrainedModel) -> None:
    """Gives a model that attends by layout an attention of transformers back."""
    if model.config.get_text_config()._attn_implementation != NAME:
        return
    try:
        model.set_attn_implementation("sdpa")
    except ValueError:
        model.set_attn_implementation("eager")


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
    out = body_of(model)(
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
    scaling: float | None,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """What transformers calls: (1, H, N, d), (1, K, N, d), (1, K, N, d') -> (1, N, H, d')."""
    if layout is None:
        raise ValueError(f"{type(module).__name__} is not handed the layout")
    if attention_mask is not None:
        raise ValueError(f"{type(module).__name__} hands on a mask of its own")
    for name, option in options.items():
        is_set = isinstance(option, Tensor) or option
        if is_set and name not in WITHOUT_EFFECT:
            raise ValueError(
                f"{type(module).__name__} asks for {name}, which packed attention does not support"
            )

    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scoring = Scoring(scale, sliding_window or None, softcap, s_aux)
    layer = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
    out = layout.attend(layer, query[0], key[0], value[0], scoring)
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
        self.positions = branch_positions(prefix, branches, device)
        longest = max(branches)
        lengths = torch.tensor(branches).unsqueeze(1)  # (G, 1)
        steps = torch.arange(longest)

        # (G, longest) index of each query among the packed tokens; padding repeats the last.
        ends = prefix + torch.cumsum(lengths, 0)
        firsts = ends - lengths
        inside = torch.minimum(steps, lengths - 1)
        tokens = firsts + inside
        self._tokens = tokens.to(device)

        # (N - prefix,) where the branches' tokens lie among the padded ones.
        real = steps < lengths
        self._places = real.flatten().nonzero()[:, 0].to(device)

        self._masks: dict[int | None, tuple[Tensor, Tensor]] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring
    ) -> Tensor:
        """See `Layout.attend`; the same in every layer."""
        prefix = self.prefix
        key_heads = key.shape[0]
        group = query.shape[0] // key_heads
        prefix_mask, branch_mask = self._additive_masks(group, query, scoring.window)
        packed = query.transpose(0, 1)  # (N, H, d)

        # The prefix is one row, each branch another.
        prefix_out = _attend(
            fold(packed[None, :prefix], key_heads),
            key[None, :, :prefix],
            value[None, :, :prefix],
            prefix_mask,
            scoring,
        )
        branch_out = _attend(
            fold(packed[self._tokens], key_heads),
            self._with_prefix(key),
            self._with_prefix(value),
            branch_mask,
            scoring,
        )

        longest = self._tokens.shape[1]
        of_prefix = unfold(prefix_out, prefix)[0]
        of_branches = unfold(branch_out, longest).flatten(0, 1)[self._places]
        return torch.cat([of_prefix, of_branches])

    def _additive_masks(
        self, group: int, like: Tensor, window: int | None
    ) -> tuple[Tensor, Tensor]:
        """Masks of prefix and branches, shared by the layers whose windows are equal."""
        if window not in self._masks:
            device = like.device
            longest = self._tokens.shape[1]
            of_prefix = _causal(0, self.prefix, window, device)
            of_branches = _causal(self.prefix, longest, window, device)
            self._masks[window] = (
                additive_mask(of_prefix, like.dtype).repeat(group, 1),
                additive_mask(of_branches, like.dtype).repeat(group, 1),
            )
        return self._masks[window]

    def _with_prefix(self, packed: Tensor) -> Tensor:
        """Keys or values that each branch sees. (K, N, d) -> (G, K, prefix + longest, d)."""
        count = len(self.branches)
        prefix = packed[None, :, : self.prefix]  # (1, K, prefix, d)
        shared = prefix.expand(count, -1, -1, -1)
        by_token = packed.transpose(0, 1)
        branches = by_token[self._tokens]  # (G, longest, K, d)
        return torch.cat([shared, branches.transpose(1, 2)], dim=2)


def branch_positions(
    prefix: int, branches: Sequence[int], device: torch.device | None = None
) -> Tensor:
    """Positions of a tree's packed tokens: every branch counts from the end of the prefix. (N,)."""
    parts = [torch.arange(prefix)]
    parts += [torch.arange(prefix, prefix + length) for length in branches]
    return torch.cat(parts).to(device)


def _causal(past: int, length: int, window: int | None, device: torch.device) -> Tensor:
    """What tokens see of a past and of themselves. -> (length, past + length), bool."""
    everything = torch.ones(
        length,
        past + length,
        dtype=torch.bool,
        device=device,
    )
    visible = everything.tril(past)
    return visible if window is None else visible.triu(past - window + 1)


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a token is visible, -inf elsewhere."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, float("-inf"))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scoring: Scoring
) -> Tensor:
    """Softmax attention. (R, K, q, d), (R, K, t, d), (R, K, t, d'), (q, t) -> (R, K, q, d').

    On CPUs two bf16 matrix products beat the fused kernel about three times over, forward and
    backward; they hold the (q, t) scores, which is what the fused kernel is for elsewhere.
    """
    if not scoring.is_plain:
        return explicit_attention(query, key, value, mask, scoring)
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        scores = torch.matmul(query * scoring.scale, key.transpose(2, 3))
        # Under the same name, so that one (q, t) tensor fewer is alive in the softmax.
        scores = scores + mask
        weights = torch.softmax(scores, dim=-1)
        return torch.matmul(weights, value)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        scale=scoring.scale,
    )


def explicit_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scoring: Scoring
) -> Tensor:
    """Softmax attention with capped scores and sinks, which no fused kernel has.

    (R, K, q, d), (R, K, t, d), (R, K, t, d'), (..., q, t) -> (R, K, q, d').
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scoring.scale
    if scoring.softcap is not None:
        scores = scoring.softcap * torch.tanh(scores / scoring.softcap)
    scores = scores + mask
    if scoring.sinks is None:
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
        return torch.matmul(weights.to(value.dtype), value)

    # Each head's sink once for every one of its rows, in the order of `fold`.
    rows, key_heads, queries, _ = scores.shape
    by_key_head = scoring.sinks.view(key_heads, -1)
    repeats = queries // by_key_head.shape[1]
    sinks = by_key_head.repeat_interleave(repeats, dim=1)  # (K, q)
    column = sinks[None, :, :, None].expand(rows, -1, -1, -1)
    with_sinks = torch.cat([scores, column.to(scores.dtype)], dim=-1)
    weights = torch.softmax(with_sinks, dim=-1, dtype=torch.float32)
    return torch.matmul(weights[..., :-1].to(value.dtype), value)
