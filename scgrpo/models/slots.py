"""Generation in slots: several growing sequences share one cache, and one packed step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scgrpo.models.attention import (
    Scoring,
    additive_mask,
    explicit_attention,
    fold,
    unfold,
)

__all__ = ["SlotCache", "SlotLayout", "device_copies"]


class SlotCache:
    """Keys and values of several growing sequences, one slot each.

    Each layer's are allocated when it first attends: only then is their shape known, since layers
    may differ in key heads and widths, and keys from values.
    """

    def __init__(self, slots: int, length: int) -> None:
        self.slots = slots
        self.length = length
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's cache: (S, K, L, d), (S, K, L, d'), for (K, N, d), (K, N, d')."""
        if layer not in self._layers:
            self._layers[layer] = (self._zeros(key), self._zeros(value))
        return self._layers[layer]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of one slot to another."""
        for pair in self._layers.values():
            for cache in pair:
                cache[target, :, :length] = cache[source, :, :length]

    def clear(self) -> None:
        """Frees all layers."""
        self._layers.clear()

    def _zeros(self, like: Tensor) -> Tensor:
        heads, _, width = like.shape
        return like.new_zeros(self.slots, heads, self.length, width)


class _Feed(NamedTuple):
    """New tokens of one slot in this step, behind the `start` tokens that it has cached.

    `offset` is the place of the first among the packed tokens.
    """

    slot: int
    start: int
    length: int
    offset: int


class _Bucket:
    """Slots that feed about equally many tokens in this step, padded to the longest.

    | attribute | meaning |
    |---|---|
    | tokens | (R, q) index of each query among the packed tokens; padding repeats one |
    | owners | (R * q,) index of the token that each query stands for, -1 at padding; on the CPU |
    | slots | (R,) indices, or a slice if they lie close: a view instead of a copy |
    | length | cached tokens to look at: the longest slot's |
    """

    def __init__(self, feeds: list[_Feed], device: torch.device) -> None:
        feeds, slots = _rows(feeds)
        columns = [(feed.start, feed.length, feed.offset) for feed in feeds]
        table = torch.tensor(columns).unsqueeze(2)  # (R, 3, 1)
        starts, counts, offsets = table.unbind(1)
        longest = max(feed.length for feed in feeds)
        steps = torch.arange(longest)

        # Padding repeats the last query of its row; an idle row has none.
        last_steps = (counts - 1).clamp(min=0)
        inside = torch.minimum(steps, last_steps)  # (R, q)
        self.owners = (offsets + steps).where(steps < counts, -1).flatten()
        self.length = max(feed.start + feed.length for feed in feeds)
        parts = [offsets + inside, starts + inside]
        # A slice is a view of the cache: cheaper than copying, even with idle rows.
        if isinstance(slots, list):
            parts.append(torch.tensor(slots))
        self.tokens, self._ends, *index = device_copies(parts, device)
        self.slots = index[0] if isinstance(slots, list) else slots
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def mask(self, group: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """(R, 1, group * q, length) added to the scores, for `group` query heads a key head."""
        key = (group, window)
        if key not in self._masks:
            ends = self._ends.unsqueeze(2)
            places = torch.arange(self.length, device=ends.device)
            visible = places <= ends  # (R, q, length)
            if window is not None:
                visible &= places > ends - window
            mask = additive_mask(visible, dtype)
            # Once for each query head of a key head, in the order of `fold`.
            self._masks[key] = mask.repeat(1, group, 1).unsqueeze(1)
        return self._masks[key]


class SlotLayout:
    """One step of generation: each slot feeds some new tokens behind those it has cached.

    `feeds` lists (slot, tokens already cached, new tokens); packed in that order.
    """

    def __init__(
        self,
        cache: SlotCache,
        feeds: Sequence[tuple[int, int, int]],
        device: torch.device | None = None,
    ) -> None:
        self.cache = cache
        slots: list[int] = []
        positions: list[int] = []
        by_size: dict[int, list[_Feed]] = {}
        for slot, start, count in feeds:
            feed = _Feed(slot, start, count, offset=len(slots))
            by_size.setdefault(_size_class(count), []).append(feed)
            slots += [slot] * count
            positions += range(start, start + count)

        # All that depends on lengths is computed here: a GPU would be waited for.
        device = device or torch.device("cpu")
        self._buckets = [_Bucket(rows, device) for rows in by_size.values()]
        parts = [torch.tensor(slots), torch.tensor(positions), self._padded_places()]
        self._slots, self.positions, self._places = device_copies(parts, device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring
    ) -> Tensor:
        """See `Layout.attend`; also writes the new keys and values to the cache."""
        keys, values = self.cache.layer(layer, key, value)  # (S, K, L, d)
        # Before attending: each new token sees itself, and those fed with it.
        keys[self._slots, :, self.positions] = key.transpose(0, 1)
        values[self._slots, :, self.positions] = value.transpose(0, 1)

        packed = query.transpose(0, 1)  # (N, H, d)
        heads, key_heads = query.shape[0], key.shape[0]
        padded: list[Tensor] = []
        for bucket in self._buckets:
            mixed = _attend(
                fold(packed[bucket.tokens], key_heads),
                keys[bucket.slots, :, : bucket.length],
                values[bucket.slots, :, : bucket.length],
                bucket.mask(heads // key_heads, scoring.window, query.dtype),
                scoring,
            )
            unfolded = unfold(mixed, bucket.tokens.shape[1])
            padded.append(unfolded.flatten(0, 1))  # (R * q, H, d')
        out = padded[0] if len(padded) == 1 else torch.cat(padded)
        return out[self._places]

    def _padded_places(self) -> Tensor:
        """(N,) where the packed tokens lie among the rows of all buckets, padding included."""
        owners = torch.cat([bucket.owners for bucket in self._buckets])
        (padded,) = (owners >= 0).nonzero(as_tuple=True)
        places = torch.empty_like(padded)
        places[owners[padded]] = padded
        return places


def device_copies(values: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Values of the CPU, all of one type, on a device: in one copy that nothing waits for."""
    flat = torch.cat([part.flatten() for part in values])
    if device.type == "cuda":
        flat = flat.pin_memory()
    flat = flat.to(device, non_blocking=True)
    parts = flat.split([part.numel() for part in values])
    return [part.view(like.shape) for part, like in zip(parts, values, strict=True)]


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scoring: Scoring
) -> Tensor:
    """Softmax attention. (R, K, q, d), (R, K, t, d), (R, K, t, d'), (R, 1, q, t)."""
    if not scoring.is_plain:
        return explicit_attention(query, key, value, mask, scoring)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scoring.scale
    )


def _rows(feeds: list[_Feed]) -> tuple[list[_Feed], list[int] | slice]:
    """Rows of a bucket and their slots; between close slots, idle rows of length 0."""
    slots = [feed.slot for feed in feeds]
    low = min(slots)
    high = max(slots) + 1
    if high - low > 2 * len(feeds):
        return feeds, slots

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
