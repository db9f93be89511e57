"""Attention over packed tokens: no padding in any layer but attention itself.

Every model runs here on one row of N packed tokens; a `Layout` says which of them see which.
`use_packed` switches a transformers model to it; the layout then travels through the model's
keyword arguments. Grouped-query heads are folded into query rows, so keys are never repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

__all__ = [
    "Layout",
    "SlotCache",
    "SlotLayout",
    "TreeLayout",
    "hidden_states",
    "use_packed",
]

NAME = "scgrpo_packed"


class Layout(Protocol):
    """Who sees whom among N packed tokens. H query heads, K key heads, d head width."""

    positions: Tensor
    """(N,) position of each token in its own sequence."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """(H, N, d), (K, N, d), (K, N, d) -> (N, H, d)."""
        ...


def use_packed(model: PreTrainedModel) -> None:
    """Switches the model to packed attention. Raises ValueError for a model that cannot."""
    if trouble := _trouble(model):
        raise ValueError(
            f"{type(model).__name__} {trouble}; wanted a decoder with full attention, a plain "
            "output layer and `_supports_attention_backend` (Llama, Qwen, OLMo, ...)"
        )
    ALL_ATTENTION_FUNCTIONS.register(NAME, _packed_attention)
    model.set_attn_implementation(NAME)


def _trouble(model: PreTrainedModel) -> str:
    """Why packed attention would not compute what the model does; empty where it would."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        return "does not take its attention from transformers' registry"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if other := sorted(kinds - {"full_attention"}):
        return f"has layers of the kind {other[0]}"
    if window := getattr(config, "sliding_window", None):
        return f"sees a sliding window of {window} tokens"
    for name in ("final_logit_softcapping", "attn_logit_softcapping"):
        if cap := getattr(config, name, None):
            return f"caps its logits ({name}={cap})"
    for name in ("logit_scale", "logits_scaling"):
        if (scale := getattr(config, name, None)) not in (None, 1):
            return f"scales its logits ({name}={scale})"
    return ""


def hidden_states(model: PreTrainedModel, token_ids: Tensor, layout: Layout) -> Tensor:
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


def _packed_attention(
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
                f"packed attention knows no {name}, and {type(module)} asks for it"
            )
    out = layout.attend(int(module.layer_idx), query[0], key[0], value[0], scaling)  # pyright: ignore[reportArgumentType]
    return out[None], None


def _fold(query: Tensor, key_heads: int) -> Tensor:
    """Query heads of one key head become rows. (R, q, H, d) -> (R, K, H/K * q, d)."""
    rows, length, heads, width = query.shape
    grouped = query.view(rows, length, key_heads, heads // key_heads, width)
    return grouped.permute(0, 2, 3, 1, 4).reshape(rows, key_heads, -1, width)


def _unfold(out: Tensor, length: int) -> Tensor:
    """Inverse of `_fold`. (R, K, H/K * q, d) -> (R, q, H, d)."""
    rows, key_heads, _, width = out.shape
    return (
        out.view(rows, key_heads, -1, length, width)
        .permute(0, 3, 1, 2, 4)
        .reshape(rows, length, -1, width)
    )


class SlotCache:
    """Keys and values of several growing sequences, one slot each. (layers, S, K, L, d) x 2."""

    def __init__(self, model: PreTrainedModel, slots: int, length: int) -> None:
        config = model.config.get_text_config()
        width = (
            getattr(config, "head_dim", None)
            or config.hidden_size // config.num_attention_heads
        )
        shape = (
            config.num_hidden_layers,
            slots,
            config.num_key_value_heads,
            length,
            width,
        )
        self.keys = torch.zeros(shape, dtype=model.dtype, device=model.device)
        self.values = torch.zeros_like(self.keys)

    def copy(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of one slot to another."""
        for cache in (self.keys, self.values):
            cache[:, target, :, :length] = cache[:, source, :, :length]


@dataclass(frozen=True)
class _Bucket:
    """Slots that feed about equally many tokens in this step, padded to the longest.

    | field | meaning |
    |---|---|
    | tokens | (R, q) index of each query among the packed tokens; padding repeats one |
    | real | (R, q) False at padding |
    | slots | (R,) indices, or a slice where they lie close: a view instead of a copy |
    | length | cached tokens to look at: the longest slot's |
    | mask | (R, 1, H/K * q, length) added to the scores |
    """

    tokens: Tensor
    real: Tensor
    slots: Tensor | slice
    length: int
    mask: Tensor


class SlotLayout:
    """One step of generation: each slot feeds some new tokens behind those it has cached.

    `feeds` lists (slot, tokens already cached, new tokens); packed in that order.
    """

    def __init__(
        self, cache: SlotCache, feeds: list[tuple[int, int, int]], heads: int
    ) -> None:
        self.cache = cache
        self._group = heads // cache.keys.shape[2]
        device = cache.keys.device
        self._slots = torch.tensor(
            [s for s, _, n in feeds for _ in range(n)], device=device
        )
        self.positions = torch.tensor(
            [start + j for _, start, n in feeds for j in range(n)], device=device
        )
        by_size: dict[int, list[tuple[int, int, int, int]]] = {}
        offset = 0
        for slot, start, count in feeds:
            by_size.setdefault(_size_class(count), []).append(
                (slot, start, count, offset)
            )
            offset += count
        self._buckets = [self._bucket(rows) for rows in by_size.values()]

    def _bucket(self, rows: list[tuple[int, int, int, int]]) -> _Bucket:
        """Pads (slot, start, count, offset) rows; a slot in between is a row of count 0."""
        device = self.cache.keys.device
        low, high = min(r[0] for r in rows), max(r[0] for r in rows) + 1
        slots: Tensor | slice = torch.tensor([r[0] for r in rows], device=device)
        if high - low <= 2 * len(rows):
            found = {r[0]: r for r in rows}
            rows = [found.get(s, (s, 0, 0, rows[0][3])) for s in range(low, high)]
            slots = slice(low, high)
        starts, counts, offsets = torch.tensor([r[1:] for r in rows], device=device).T
        length = int((starts + counts).max())
        steps = torch.arange(int(counts.max()), device=device)[None]
        inside = torch.minimum(steps, (counts[:, None] - 1).clamp(min=0))
        seen = (
            torch.arange(length, device=device) <= (starts[:, None] + inside)[..., None]
        )
        mask = torch.zeros(seen.shape, dtype=self.cache.keys.dtype, device=device)
        mask = mask.masked_fill_(~seen, float("-inf")).repeat(1, self._group, 1)[
            :, None
        ]
        return _Bucket(
            offsets[:, None] + inside, steps < counts[:, None], slots, length, mask
        )

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[self._slots, :, self.positions] = key.transpose(0, 1)
        values[self._slots, :, self.positions] = value.transpose(0, 1)
        packed = query.transpose(0, 1)
        out = torch.empty_like(packed)
        for b in self._buckets:
            folded = _fold(packed[b.tokens], keys.shape[1])
            k, v = keys[b.slots, :, : b.length], values[b.slots, :, : b.length]
            mixed = F.scaled_dot_product_attention(
                folded, k, v, attn_mask=b.mask, scale=scale
            )
            out[b.tokens[b.real]] = _unfold(mixed, b.tokens.shape[1])[b.real]
        return out


def _size_class(count: int) -> int:
    """Feeds of one class are padded to one length: 1 alone, then up to 32, 64, 128, ..."""
    return 1 if count == 1 else max(32, 1 << (count - 1).bit_length())


class TreeLayout:
    """A prefix computed once, and branches that each see the prefix and their own past.

    Packed as [prefix | branch 0 | branch 1 | ...]; differentiable.
    """

    def __init__(
        self, prefix: int, branches: list[int], device: torch.device | None = None
    ) -> None:
        self.prefix, self.branches = prefix, branches
        longest = max(branches)
        ends = torch.tensor(branches, device=device)
        steps = torch.arange(longest, device=device)
        first = prefix + torch.cumsum(ends, 0) - ends
        self._tokens = first[:, None] + torch.minimum(steps[None], ends[:, None] - 1)
        self._real = steps[None] < ends[:, None]
        own = (prefix + steps).expand(len(branches), -1)[self._real]
        self.positions = torch.cat([torch.arange(prefix, device=device), own])
        self._trunk_seen = torch.ones(
            prefix, prefix, dtype=torch.bool, device=device
        ).tril()
        self._seen = torch.ones(
            longest, prefix + longest, dtype=torch.bool, device=device
        )
        self._seen = self._seen.tril(prefix)
        self._masks: tuple[Tensor, Tensor] | None = None

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        p, heads = self.prefix, key.shape[0]
        if self._masks is None:
            group = query.shape[0] // heads
            self._masks = (
                _additive(self._trunk_seen, query.dtype).repeat(group, 1),
                _additive(self._seen, query.dtype).repeat(group, 1),
            )
        packed = query.transpose(0, 1)
        trunk = _attend(
            _fold(packed[None, :p], heads),
            key[None, :, :p],
            value[None, :, :p],
            self._masks[0],
            scale,
        )
        mixed = _attend(
            _fold(packed[self._tokens], heads),
            self._with_prefix(key),
            self._with_prefix(value),
            self._masks[1],
            scale,
        )
        return torch.cat(
            [_unfold(trunk, p)[0], _unfold(mixed, self._tokens.shape[1])[self._real]]
        )

    def _with_prefix(self, packed: Tensor) -> Tensor:
        """Keys or values that each branch sees. (K, N, d) -> (G, K, prefix + longest, d)."""
        trunk = packed[None, :, : self.prefix].expand(len(self.branches), -1, -1, -1)
        own = packed.transpose(0, 1)[self._tokens].transpose(1, 2)
        return torch.cat([trunk, own], dim=2)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where seen, -inf elsewhere."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
        ~seen, float("-inf")
    )


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float
) -> Tensor:
    """Softmax attention. (R, K, q, d), (R, K, t, d) x 2, (q, t) -> (R, K, q, d).

    On CPUs two bf16 matrix products beat the fused kernel about three times over, forward and
    backward; they hold the (q, t) scores, which is what the fused kernel is for elsewhere.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        scores = torch.matmul(query * scale, key.transpose(2, 3)) + mask
        return torch.matmul(torch.softmax(scores, dim=-1), value)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scale
    )
