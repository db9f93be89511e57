"""The fast path: tokens of many rows in one packed row, a prefix computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from scgrpo.models.attention import Layout, TreeLayout, last_hidden_states
from scgrpo.models.decoder import Feed
from scgrpo.models.layers.fused import fused_forward
from scgrpo.models.slots import SlotCache, SlotLayout, device_copies

__all__ = ["PackedDecoder", "PackedSlots"]


class PackedDecoder:
    """Packed layouts, for a model after `use_packed`; see `Decoder`.

    | argument | meaning |
    |---|---|
    | tree | the layout of a prefix and its branches, which computes their attention |
    | fused | generation runs a model that is built as Llama without its modules, which is faster |
    """

    shares_prefixes = True

    def __init__(
        self, tree: Callable[..., Layout] = TreeLayout, *, fused: bool = False
    ) -> None:
        self.tree = tree
        self._fused = fused

    def predicting_states(
        self,
        model: PreTrainedModel,
        prefix: Sequence[int],
        branches: Sequence[Sequence[int]],
        masks: Sequence[Sequence[bool]],
    ) -> Tensor:
        """See `Decoder`; the state of the prefix's last token is shared by all branches."""
        device = model.device
        lengths: list[int] = []
        ids = list(prefix)
        for branch in branches:
            lengths.append(len(branch))
            ids += branch

        layout = self.tree(len(prefix), lengths, device)
        places = _predictor_places(len(prefix), lengths, masks)
        parts = [torch.tensor(ids), torch.tensor(places, dtype=torch.long)]
        packed, index = device_copies(parts, device)
        return last_hidden_states(model, packed, layout)[index]

    def slots(self, model: PreTrainedModel, count: int, length: int) -> PackedSlots:
        """See `Decoder`."""
        return PackedSlots(model, count, length, fused=self._fused)


def _predictor_places(
    prefix: int, lengths: Sequence[int], masks: Sequence[Sequence[bool]]
) -> list[int]:
    """Where the states that predict the masked tokens lie among the packed ones."""
    places: list[int] = []
    first = prefix
    for length, mask in zip(lengths, masks, strict=True):
        # A branch's first token stands behind the prefix, not behind the branch before it.
        predictor = prefix - 1
        branch = range(first, first + length)
        for place, is_action in zip(branch, mask, strict=True):
            if is_action:
                places.append(predictor)
            predictor = place
        first += length
    return places


class PackedSlots:
    """Slots of one cache, fed in one packed step; see `Slots`."""

    def __init__(
        self, model: PreTrainedModel, count: int, length: int, *, fused: bool
    ) -> None:
        self.count = count
        self._model = model
        self._cache = SlotCache(count, length)
        self._fused = fused_forward(model) if fused else None

    def feed(self, feeds: Sequence[Feed]) -> Tensor:
        """See `Slots`."""
        sizes: list[tuple[int, int, int]] = []
        ids: list[int] = []
        last_places: list[int] = []
        for slot, start, fresh in feeds:
            sizes.append((slot, start, len(fresh)))
            ids += fresh
            last_places.append(len(ids) - 1)

        device = self._model.device
        layout = SlotLayout(self._cache, sizes, device)
        packed, index = device_copies(
            [torch.tensor(ids), torch.tensor(last_places)], device
        )
        states = self._last_hidden_states(packed, layout)  # (N, D)
        return states if len(last_places) == len(ids) else states[index]

    def _last_hidden_states(self, ids: Tensor, layout: SlotLayout) -> Tensor:
        if self._fused is not None:
            return self._fused(ids, layout)
        return last_hidden_states(self._model, ids, layout)

    def copy(self, source: int, target: int, length: int) -> None:
        """See `Slots`."""
        if source != target:
            self._cache.copy(source, target, length)

    def clear(self) -> None:
        """See `Slots`."""
        self._cache.clear()
        if self._fused is not None:
            self._fused.clear()
