"""Generation in slots: several growing sequences share one cache, and one packed step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

from scgrpo.models.attention import additive_mask, fold, unfold

__all__ = ["SlotCache", "SlotLayout"]


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
        mask = additive_mask(visible, keys.dtype)
        # Once for each query head of a key head, in the order of `fold`.
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
                fold(packed[tokens], key_heads),
                keys[bucket.slots, :, : bucket.length],
                values[bucket.slots, :, : bucket.length],
                attn_mask=bucket.mask,
                scale=scale,
            )
            unfolded = unfold(mixed, tokens.shape[1])
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
