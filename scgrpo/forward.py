"""The model's passes over one batch: this process's rows, packed so that prefixes are shared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo.advantages import uniform
from scgrpo.batch import Batch
from scgrpo.distributed import ALONE, Ranks
from scgrpo.packing import Opening, acted, opening_of, packs, rest_of
from scgrpo.scoring import Scores, divergence, output_layer, predicting_states, token_scores

__all__ = ["Kept", "Known", "Passes", "joined_scores"]

IDLE: Opening = (0,)
"""What a sharded model reads for a rank that has nothing to read while others do."""
Kept = list[tuple[list[int], Tensor]]
"""Rows and the states (A, D) that predict their actions, pass by pass."""
Known = dict[int, Scores]
"""Row -> the plain scores of its action tokens."""


class Passes:
    """Reads the B episodes of a batch with a model, each after an opening of one's choice.

    A pass has at most `pack_tokens` tokens, which bounds the memory. Each rank computes rows of its
    own; what is returned as (B, T) is whole in every rank.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        episodes: Sequence[Episode],
        batch: Batch,
        *,
        pack_tokens: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self.model, self.episodes, self.batch = model, episodes, batch
        self._pack_tokens, self._ranks = pack_tokens, ranks
        self.mine = self._dealt()

    @property
    def head(self) -> nn.Module:
        """States to logits."""
        return output_layer(self.model)

    def packs(self, openings: Mapping[int, Opening]) -> list[tuple[Opening, list[int]]]:
        """This rank's rows among those with an opening, as they go through the model together.

        Where the model is sharded, a rank with fewer packs than another gets some without rows.
        """
        mine = {row: opening for row, opening in openings.items() if row in self.mine}
        found = packs(self.episodes, mine, self._pack_tokens)
        if self._ranks.sharded:
            most = max(self._ranks.gathered(len(found)))
            found += [(IDLE, [])] * (most - len(found))
        return found

    def states(
        self, rows: list[int], opening: Sequence[int], model: PreTrainedModel | None = None
    ) -> Tensor:
        """States (A, D) that predict the actions of `rows`, each read after `opening`.

        Without rows the model reads a token, and A is 0.
        """
        model = model or self.model
        if not rows:
            return predicting_states(model, IDLE, [IDLE], [[False]])
        branches, masks = zip(*(rest_of(self.episodes[row]) for row in rows), strict=True)
        return predicting_states(model, opening, branches, masks)

    def targets(self, rows: list[int]) -> Tensor:
        """(A,) action tokens of the rows."""
        ids = acted(self.episodes, rows)
        return torch.tensor(ids, dtype=torch.long, device=self.model.device)

    def plain(self, rows: Sequence[int]) -> Iterator[tuple[list[int], Tensor]]:
        """Rows and their states under the plain opening, pass by pass."""
        for opening, together in self.packs(self._openings(rows)):
            yield together, self.states(together, opening)

    def kept(self, rows: Sequence[int], most_tokens: int) -> Kept:
        """The plain passes, with a graph as long as all of them are within `most_tokens`.

        A sharded model's graphs are not kept: ranks would go backward in different orders.
        """
        tokens = sum(
            len(opening) + sum(len(rest_of(self.episodes[row])[0]) for row in together)
            for opening, together in self.packs(self._openings(rows))
        )
        with torch.set_grad_enabled(tokens <= most_tokens and not self._ranks.sharded):
            return list(self.plain(rows))

    @torch.no_grad()
    def entropy(self, plain: Kept) -> Tensor:
        """Entropy (B, T) of the plain distribution, nats."""
        entropy = torch.zeros(self.batch.action_mask.shape)
        for rows, states in plain:
            _, spread = token_scores(self.head, states, self.targets(rows))
            self._put(entropy, rows, spread)
        self._ranks.sum_(entropy)
        return entropy

    @torch.no_grad()
    def divergence(self, plain: Kept, openings: Mapping[int, Opening]) -> tuple[Tensor, Known]:
        """D (B, T), nats, of the rows in both `plain` and `openings`; 0 elsewhere.

        With it come the plain scores of those rows that this rank read.
        """
        d, known = torch.zeros(self.batch.action_mask.shape), dict[int, Scores]()
        student = {
            row: states
            for rows, found in plain
            for row, states in zip(rows, self._split(found.detach(), rows), strict=True)
        }
        wanted = {row: opening for row, opening in openings.items() if row in student}
        for opening, rows in self.packs(wanted):
            teacher = self.states(rows, opening)
            if rows:
                own = torch.cat([student[row] for row in rows])
                apart, scores = divergence(self.head, teacher, own, self.targets(rows))
                self._put(d, rows, apart)
                each = map(Scores, *(self._split(found, rows) for found in scores))
                known.update(zip(rows, each, strict=True))
        self._ranks.sum_(d)
        return d, known

    def by_row(self, rows: list[int], values: Tensor) -> dict[int, Tensor]:
        """What stands at the actions of `rows`, (A, ...), row by row, on the CPU."""
        return dict(zip(rows, self._split(values.detach().cpu(), rows), strict=True))

    def _openings(self, rows: Sequence[int]) -> dict[int, Opening]:
        return {row: opening_of(self.episodes[row]) for row in rows}

    def _split(self, values: Tensor, rows: list[int]) -> tuple[Tensor, ...]:
        return values.split(self.batch.lengths[rows].tolist())

    def _put(self, into: Tensor, rows: list[int], values: Tensor) -> None:
        for row, found in self.by_row(rows, values).items():
            into[row, self.batch.action_mask[row]] = found

    def _dealt(self) -> set[int]:
        """The rows that this rank computes: whole packs, so that a prefix is still shared.

        Groups that succeed or fail as one may have no gradient: they are dealt on their own.
        """
        same = uniform(self.batch.rewards, self.batch.group).tolist()
        mine: set[int] = set()
        for kind in (False, True):
            openings = self._openings([i for i, alike in enumerate(same) if alike is kind])
            made = [rows for _, rows in packs(self.episodes, openings, self._pack_tokens)]
            sizes = [int(self.batch.real[rows].sum()) for rows in made]
            for rows, owner in zip(made, self._ranks.dealt(sizes), strict=True):
                mine.update(rows if owner == self._ranks.rank else ())
        return mine


def joined_scores(known: Known, rows: Sequence[int]) -> Scores | None:
    """The scores of the rows, one after the other; None where they are not known of all."""
    if not rows or any(row not in known for row in rows):
        return None
    return Scores(*map(torch.cat, zip(*(known[row] for row in rows), strict=True)))
