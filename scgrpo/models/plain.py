"""The slow path, for any causal model: its own forward pass, and its own cache or none.

Rows are padded on the right, where a causal model cannot see it: no mask is needed, which recurrent
layers would not obey.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from scgrpo.models.decoder import Feed, Slots, body_of

__all__ = ["OwnCaches", "PlainDecoder", "RereadSlots"]

CACHE_NAMES = ("past_key_values", "cache_params", "state")
"""What models call their cache, as an argument and in their output."""


@dataclass(frozen=True)
class PlainDecoder:
    """The model's own forward pass; see `Decoder`. `open_slots` makes what generates."""

    open_slots: Callable[[PreTrainedModel, int], Slots]
    shares_prefixes = False

    def predicting_states(
        self,
        model: PreTrainedModel,
        prefix: Sequence[int],
        branches: Sequence[Sequence[int]],
        masks: Sequence[Sequence[bool]],
    ) -> Tensor:
        """See `Decoder`; each branch is read behind a prefix of its own."""
        rows = [[*prefix, *branch] for branch in branches]
        states = _padded_states(model, rows)
        of_rows: list[int] = []
        places: list[int] = []
        for row, mask in enumerate(masks):
            for place, is_action in enumerate(mask, start=len(prefix) - 1):
                if is_action:
                    of_rows.append(row)
                    places.append(place)
        return states[of_rows, places]

    def slots(self, model: PreTrainedModel, count: int, length: int) -> Slots:
        """See `Decoder`; caches grow, so that `length` takes no memory before it is needed."""
        return self.open_slots(model, count)


def _padded_states(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> Tensor:
    """States of rows read side by side. -> (R, longest, D)."""
    longest = max(map(len, rows))
    padded = [[*row, *[row[-1]] * (longest - len(row))] for row in rows]
    ids = torch.tensor(padded, device=model.device)
    return body_of(model)(input_ids=ids, use_cache=False).last_hidden_state


class OwnCaches:
    """A cache of the model's own for each slot, fed one slot after the other; see `Slots`.

    A cache cannot be cut back where layers are recurrent: a copy of it without the last token is
    kept for `copy`. `token_by_token` is for models whose layers forget their state when they are
    fed several tokens.
    """

    def __init__(
        self, model: PreTrainedModel, count: int, *, token_by_token: bool = False
    ) -> None:
        self.count = count
        self._model = model
        self._token_by_token = token_by_token
        self.clear()

    def feed(self, feeds: Sequence[Feed]) -> Tensor:
        """See `Slots`."""
        states: list[Tensor] = []
        for slot, start, ids in feeds:
            if not start:
                self._open(slot, ids[:-1])
                ids = ids[-1:]
            states.append(self._read(slot, ids))
        return torch.stack(states)

    def copy(self, source: int, target: int, length: int) -> None:
        """See `Slots`."""
        if length != self._opening_lengths[source]:
            raise ValueError(
                f"slot {source} can give its first {self._opening_lengths[source]} tokens, "
                f"not {length}"
            )
        # Nothing changes an opening, so that two slots may hold the same.
        self._openings[target] = self._openings[source]
        self._opening_lengths[target] = length
        self._caches[target] = copy.deepcopy(self._openings[source])

    def clear(self) -> None:
        """See `Slots`."""
        self._caches: list[dict[str, Any]] = [{} for _ in range(self.count)]
        self._openings: list[dict[str, Any]] = [{} for _ in range(self.count)]
        self._opening_lengths = [0] * self.count

    def _open(self, slot: int, ids: Sequence[int]) -> None:
        """Begins a slot's sequence with these tokens."""
        self._caches[slot] = {}
        if ids:
            self._read_together(slot, ids)
        self._openings[slot] = copy.deepcopy(self._caches[slot])
        self._opening_lengths[slot] = len(ids)

    def _read(self, slot: int, ids: Sequence[int]) -> Tensor:
        """State of the last of these tokens. -> (D,)."""
        if not self._token_by_token:
            return self._read_together(slot, ids)
        states = [self._read_together(slot, [token]) for token in ids]
        return states[-1]

    def _read_together(self, slot: int, ids: Sequence[int]) -> Tensor:
        row = torch.tensor([list(ids)], device=self._model.device)
        out = body_of(self._model)(input_ids=row, use_cache=True, **self._caches[slot])
        self._caches[slot] = {
            name: out[name] for name in CACHE_NAMES if out.get(name) is not None
        }
        if not self._caches[slot]:
            raise ValueError(f"{type(self._model).__name__} returns no cache")
        return out.last_hidden_state[0, -1]


class RereadSlots:
    """No cache: all tokens of a sequence are read again for each new one; see `Slots`."""

    def __init__(self, model: PreTrainedModel, count: int) -> None:
        self.count = count
        self._model = model
        self._histories: list[list[int]] = [[] for _ in range(count)]

    def feed(self, feeds: Sequence[Feed]) -> Tensor:
        """See `Slots`."""
        rows: list[list[int]] = []
        for slot, start, ids in feeds:
            self._histories[slot] = [*self._histories[slot][:start], *ids]
            rows.append(self._histories[slot])
        states = _padded_states(self._model, rows)
        places = [len(row) - 1 for row in rows]
        return states[range(len(rows)), places]

    def copy(self, source: int, target: int, length: int) -> None:
        """See `Slots`."""
        self._histories[target] = self._histories[source][:length]

    def clear(self) -> None:
        """See `Slots`."""
        self._histories = [[] for _ in range(self.count)]
