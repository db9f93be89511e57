"""Sequences that grow in slots get the states of the model's own forward pass."""

import torch

from scgrpo.models.attention import last_hidden_states
from scgrpo.models.slots import SlotCache, SlotLayout
from tests.scgrpo.models.test_attention import ids_of, own_states, pair


@torch.no_grad()
def test_slots_fed_piece_by_piece_equal_one_forward_pass():
    packed, own = pair(2)
    sequences = ids_of(70, 41, 9, 3)
    cache = SlotCache(slots=6, length=80)
    slots = [0, 2, 3, 5]
    # Pieces of very unequal length in one step: several size classes, idle slots in between.
    cuts = [[50, 51, 70], [3, 40, 41], [1, 2, 9], [2, 2, 3]]
    done = [0, 0, 0, 0]
    found: list[list[torch.Tensor]] = [[], [], [], []]
    for piece in range(3):
        rows = [i for i in range(4) if cuts[i][piece] > done[i]]
        feeds = [(slots[i], done[i], cuts[i][piece] - done[i]) for i in rows]
        ids = [t for i in rows for t in sequences[i][done[i] : cuts[i][piece]]]
        states = last_hidden_states(packed, torch.tensor(ids), SlotLayout(cache, feeds))
        for i, part in zip(rows, states.split([n for _, _, n in feeds]), strict=True):
            found[i].append(part)
            done[i] = cuts[i][piece]
    for sequence, parts in zip(sequences, found, strict=True):
        torch.testing.assert_close(
            torch.cat(parts), own_states(own, sequence), rtol=1e-5, atol=1e-5
        )


@torch.no_grad()
def test_a_copied_slot_goes_on_like_its_source():
    packed, own = pair(2)
    opening, rest = ids_of(8, 4)
    cache = SlotCache(slots=2, length=20)
    last_hidden_states(packed, torch.tensor(opening), SlotLayout(cache, [(0, 0, 8)]))
    cache.copy(0, 1, 7)
    fed = [opening[-1], *rest]
    states = last_hidden_states(
        packed, torch.tensor(fed), SlotLayout(cache, [(1, 7, 5)])
    )
    wanted = own_states(own, opening + rest)[7:]
    torch.testing.assert_close(states, wanted, rtol=1e-5, atol=1e-5)
