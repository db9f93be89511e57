"""Attention over packed tokens: no padding in any layer but attention itself.

Every model runs here on one row of N packed tokens; a `Layout` says which of them see which.
`use_packed` switches a transformers model to it; the layout then travels through the model's
keyword arguments. Grouped-query heads are folded into query rows, so keys are never repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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
    "last_hidden_states",
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


def _fold(query: Tensor, key_heads: int) -> Tensor:
    """Query heads of one key head become rows. (R, q, H, d) -> (R, K, H/K * q, d)."""
    rows, length, heads, width = query.shape
    group = heads // key_heads
    by_key_head = query.view(rows, length, key_heads, group, width)
    heads_first = by_key_head.permute(0, 2, 3, 1, 4)  # (R, K, H/K, q, d)
    return heads_first.reshape(rows, key_heads, group * length, width)


def _unfold(out: Tensor, length: int) -> Tensor:
    """Inverse of `_fold`. (R, K, H/K * q, d) -> (R, q, H, d)."""
    rows, key_heads, queries, width = out.shape
    group = queries // length
    by_key_head = out.view(rows, key_heads, group, length, width)
    tokens_first = by_key_head.permute(0, 3, 1, 2, 4)  # (R, q, K, H/K, d)
    return tokens_first.reshape(rows, length, key_heads * group, width)


class SlotCache:
    """Keys and values of several growing sequences, one slot each. (layers, S, K, L, d) x 2."""

    def __init__(self, model: PreTrainedModel, slots: int, length: int) -> None:
        config = model.config.get_text_config()
        width = getattr(config, "head_dim", None)
        if not width:
            width = config.hidden_size // config.num_attention_heads
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


class _Feed(NamedTuple):
    """New tokens of one slot in this step, behind the `start` tokens that it has cached.

    `offset` is the place of the first among the packed tokens.
    """

    slot: int
    start: int
    length: int
    offset: int


@dataclass(frozen=True)
class _Bucket:
    """Slots that feed about equally many tokens in this step, padded to the longest.

    | field | meaning |
    |---|---|
    | tokens | (R, q) index of each query among the packed tokens; padding repeats one |
    | real | (R, q) False at padding |
    | slots | (R,) indices, or a slice if they lie close: a view instead of a copy |
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

        slots: list[int] = []
        positions: list[int] = []
        by_size: dict[int, list[_Feed]] = {}
        for slot, start, count in feeds:
            feed = _Feed(slot, start, count, offset=len(slots))
            by_size.setdefault(_size_class(count), []).append(feed)
            slots += [slot] * count
            positions += range(start, start + count)

        device = cache.keys.device
        self._slots = torch.tensor(slots, device=device)
        self.positions = torch.tensor(positions, device=device)
        self._buckets = [self._bucket(rows) for rows in by_size.values()]

    def _bucket(self, feeds: list[_Feed]) -> _Bucket:
        """Pads the feeds to the longest of them."""
        keys = self.cache.keys
        device = keys.device
        feeds, slots = _rows(feeds, device)

        columns = [(feed.start, feed.length, feed.offset) for feed in feeds]
        table = torch.tensor(columns, device=device).unsqueeze(2)  # (R, 3, 1)
        starts, counts, offsets = table.unbind(1)
        longest = int(counts.max())
        steps = torch.arange(longest, device=device)

        # Padding repeats the last query of its row; an idle row has none.
        last_steps = (counts - 1).clamp(min=0)
        inside = torch.minimum(steps, last_steps)  # (R, q)

        ends = starts + inside
        length = int((starts + counts).max())
        places = torch.arange(length, device=device)
        visible = places <= ends.unsqueeze(2)  # (R, q, length)
        mask = _additive(visible, keys.dtype)
        # Once for each query head of a key head, in the order of `_fold`.
        mask = mask.repeat(1, self._group, 1)

        return _Bucket(
            tokens=offsets + inside,
            real=steps < counts,
            slots=slots,
            length=length,
            mask=mask.unsqueeze(1),
        )

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """See `Layout.attend`; also writes the new keys and values to the cache."""
        keys = self.cache.keys[layer]  # (S, K, L, d)
        values = self.cache.values[layer]
        # Before attending: each new token sees itself, and those fed with it.
        keys[self._slots, :, self.positions] = key.transpose(0, 1)
        values[self._slots, :, self.positions] = value.transpose(0, 1)

        packed = query.transpose(0, 1)  # (N, H, d)
        key_heads = key.shape[0]
        out = torch.empty_like(packed)
        for bucket in self._buckets:
            tokens = bucket.tokens
            real = bucket.real
            mixed = F.scaled_dot_product_attention(
                _fold(packed[tokens], key_heads),
                keys[bucket.slots, :, : bucket.length],
                values[bucket.slots, :, : bucket.length],
                attn_mask=bucket.mask,
                scale=scale,
            )
            unfolded = _unfold(mixed, tokens.shape[1])
            out[tokens[real]] = unfolded[real]
        return out


def _rows(
    feeds: list[_Feed], device: torch.device
) -> tuple[list[_Feed], Tensor | slice]:
    """Rows of a bucket and their slots; between close slots, idle rows of length 0."""
    slots = [feed.slot for feed in feeds]
    low = min(slots)
    high = max(slots) + 1
    if high - low > 2 * len(feeds):
        return feeds, torch.tensor(slots, device=device)

    # A slice is a view of the cache: cheaper than copying, even with idle rows.
    by_slot = dict(zip(slots, feeds, strict=True))
    offset = feeds[0].offset
    rows: list[_Feed] = []
    for slot in range(low, high):
        feed = by_slot.get(slot)
        if feed is None:
            feed = _Feed(slot, start=0, length=0, offset=offset)
        rows.append(feed)
    return rows, slice(low, high)


def _size_class(count: int) -> int:
    """Feeds of one class are padded to one length: 1 alone, then up to 32, 64, 128, ..."""
    if count == 1:
        return 1
    power_of_two = 1 << (count - 1).bit_length()
    return max(32, power_of_two)


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
            _fold(packed[None, :prefix], key_heads),
            key[None, :, :prefix],
            value[None, :, :prefix],
            prefix_mask,
            scale,
        )
        branch_out = _attend(
            _fold(packed[self._tokens], key_heads),
            self._with_prefix(key),
            self._with_prefix(value),
            branch_mask,
            scale,
        )

        longest = self._tokens.shape[1]
        of_prefix = _unfold(prefix_out, prefix)[0]
        of_branches = _unfold(branch_out, longest)[self._real]
        return torch.cat([of_prefix, of_branches])

    def _additive_masks(self, group: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of prefix and branches, made in the first layer and shared by all of them."""
        if self._masks is None:
            of_prefix = _additive(self._prefix_visible, like.dtype)
            of_branches = _additive(self._branch_visible, like.dtype)
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


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
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
