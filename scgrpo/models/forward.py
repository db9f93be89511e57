"""What a model says of one batch: read once, kept while it fits, equal prefixes read together.

Unconditioned means read after the episode's own prompt, as the policy read it. Axes: B episodes,
T tokens, A action tokens of some rows one after the other, D the width of a state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo.algorithms.advantages import in_uniform_group
from scgrpo.batch import Batch
from scgrpo.credit.options import ReferenceLimits
from scgrpo.credit.references import References
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.models.packing import (
    TokenIds,
    action_ids,
    ids_to_read,
    pack_cost,
    pack_rows,
    prompt_ids,
)
from scgrpo.models.paths import choose_path, logits_head
from scgrpo.models.scoring import (
    Scores,
    concatenate,
    divergence,
    predicting_states,
    token_scores,
)
from scgrpo.policies.chat import Chat
from scgrpo.runs.stages import stage
from scgrpo.teachers.prompt_ids import reference_prompts

__all__ = ["BatchForward", "Pack"]

DUMMY_PROMPT: TokenIds = (0,)
"""Dummy input: under FSDP every rank must run the same number of forward passes."""


class Pack(NamedTuple):
    """Rows that went through the model together.

    | field | meaning |
    |---|---|
    | rows | of the batch, in the order of their tokens |
    | states | (A, D), the states that predict the rows' action tokens |
    | scores | of those tokens, two of (A,) in nats, if they are known; else None |
    """

    rows: list[int]
    states: Tensor
    scores: Scores | None = None


class BatchForward:
    """Forward passes over the B episodes of a batch, and a cache of the unconditioned ones.

    A pass has at most `max_tokens_per_pack` tokens, which bounds the memory. Passes that a credit
    rule asks for keep their graph up to `cached_forward_tokens` tokens in all; `take` hands them
    over for the gradient and computes the others again. Each rank computes rows of its own; what is
    returned as (B, T) is complete on every rank.

    | attribute | meaning |
    |---|---|
    | model | what is trained |
    | episodes, batch | the same rows as records and as tensors |
    | parts | the rows of each optimizer step, by default one for all; ranks share each evenly |
    | local_rows | the rows that this rank computes |
    """

    def __init__(
        self,
        model: PreTrainedModel,
        episodes: Sequence[Episode],
        batch: Batch,
        *,
        chat: Chat,
        limits: ReferenceLimits,
        max_tokens_per_pack: int,
        cached_forward_tokens: int,
        parts: list[list[int]] | None = None,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.model = model
        self.episodes = episodes
        self.batch = batch
        self._chat = chat
        self._limits = limits
        self._ranks = ranks
        self._max_tokens_per_pack = max_tokens_per_pack
        self._cached_forward_tokens = cached_forward_tokens
        self._shares_prompts = choose_path(model).decoder.shares_prefixes
        self.parts = parts or [list(range(len(episodes)))]
        self.local_rows = self._assign_rows()

        self._cache: list[Pack] = []
        self._cached_rows: set[int] = set()
        self._graph_tokens = 0
        self._scores: dict[int, Scores] = {}

    @property
    def head(self) -> nn.Module:
        """States to logits."""
        return logits_head(self.model)

    @torch.no_grad()
    def entropy(self, rows: Sequence[int]) -> Tensor:
        """Entropy (B, T) of the unconditioned distribution, nats; 0 in other rows."""
        mask = self.batch.action_mask
        entropy = torch.zeros(mask.shape)
        requested = set(rows)

        for of_rows, scores in self._row_scores(rows):
            for row, values in self.by_row(of_rows, scores.entropy).items():
                # A kept pass may hold rows that an earlier call asked for.
                if row in requested:
                    entropy[row, mask[row]] = values

        self._ranks.all_reduce_(entropy)
        return entropy

    @torch.no_grad()
    def divergence(
        self, rows: Sequence[int], prompts: Mapping[int, TokenIds]
    ) -> Tensor:
        """D (B, T) = KL(after the row's prompt || unconditioned), nats, of `rows` with a prompt.

        0 in other rows. Source: arXiv:2606.18810.
        """
        mask = self.batch.action_mask
        d = torch.zeros(mask.shape)
        student_states = self._student_states(rows)
        requested = set(rows)
        conditioned = {r: prompt for r, prompt in prompts.items() if r in requested}

        for prompt, together in self.packs(conditioned):
            # A dummy pack runs too: under FSDP its pass keeps the ranks in step.
            with stage("teacher_forward", self.pack_tokens(prompt, together)):
                teacher = self.states(together, prompt)
            if not together:
                continue
            student = torch.cat([student_states[row] for row in together])
            # Both output layers in one.
            with stage("teacher_forward"):
                kl, scores = divergence(
                    self.head,
                    teacher,
                    student,
                    self.targets(together),
                )
            self._store_scores(together, scores)
            kl_of = self.by_row(together, kl)
            for row, values in kl_of.items():
                d[row, mask[row]] = values

        self._ranks.all_reduce_(d)
        return d

    @torch.no_grad()
    def logprobs(
        self,
        rows: Sequence[int],
        prompts: Mapping[int, TokenIds] | None = None,
        model: PreTrainedModel | None = None,
    ) -> Tensor:
        """Log-probability (B, T) of each action token of `rows`, nats; 0 in other rows.

        Unconditioned; with `prompts` after the row's prompt, of those rows that have one; with
        `model` what that one says, which shares the tokenizer.
        """
        mask = self.batch.action_mask
        logprobs = torch.zeros(mask.shape)
        requested = set(rows)
        if model is not None and prompts is None:
            prompts = self._prompts(rows)
        for of_rows, scores in self._row_scores(rows, prompts, model):
            for row, values in self.by_row(of_rows, scores.logprobs).items():
                # A kept pass may hold rows that an earlier call asked for.
                if row in requested:
                    logprobs[row, mask[row]] = values

        self._ranks.all_reduce_(logprobs)
        return logprobs

    @torch.no_grad()
    def numerical_noise(self, rows: Sequence[int], count: int) -> Tensor:
        """D (N,) in nats between two passes over the same input: rounding errors alone.

        The second pass packs a row otherwise: alone, and with the first half of its prompt alone as
        the shared prefix. A model that is run without shared prefixes reads it alone after it was
        read with others. N are the action tokens of the first `count` of each rank's `rows` that
        can be packed otherwise; the same on every rank.
        """
        student_states = self._student_states(rows)
        requested = set(rows)
        repacked: list[tuple[TokenIds, list[int]]] = []
        for pack in self._cache:
            differs = self._shares_prompts or len(pack.rows) > 1
            for row in pack.rows:
                prompt = prompt_ids(self.episodes[row])
                if differs and row in requested and len(prompt) > 1:
                    repacked.append((prompt[: len(prompt) // 2], [row]))

        local: list[Tensor] = []
        for prefix, of_pass in self._even_packs(repacked[:count]):
            if not of_pass:
                self.states([], prefix)
                continue
            (row,) = of_pass
            rest = prompt_ids(self.episodes[row])[len(prefix) :]
            ids, mask = ids_to_read(self.episodes[row])
            branch = [*rest, *ids]
            with stage("teacher_forward", len(prefix) + len(branch)):
                states = predicting_states(
                    self.model, prefix, [branch], [[False] * len(rest) + mask]
                )
                noise, _ = divergence(
                    self.head, states, student_states[row], self.targets([row])
                )
            local.append(noise.cpu())

        values: list[Tensor] = []
        for of_rank in self._ranks.all_gather(local):
            values += of_rank
        return torch.cat(values) if values else torch.zeros(0)

    def take(self, rows: Sequence[int]) -> Iterator[Pack]:
        """Unconditioned passes with a graph: those that were kept, then the rest of `rows`.

        Empties the cache: each graph can be freed as soon as it was used. Kept rows are yielded
        even if `rows` lacks them, as their pass is paid for.
        """
        graphs = [pack for pack in self._cache if pack.states.requires_grad]
        self._cache = []
        self._cached_rows = set()
        self._graph_tokens = 0
        # In a function, because a loop's variable here would keep its last graph alive.
        done = _rows_of(graphs)

        # Popped, so that the caller holds the only reference to a graph.
        while graphs:
            yield self._with_scores(graphs.pop())

        rest = [row for row in rows if row not in done]
        packs = self.packs(self._prompts(rest))
        for prompt, together in packs:
            # Without a local, for the same reason.
            yield self._with_scores(self._read(together, prompt))

    def weights_changed(self) -> None:
        """Forgets what was read with the weights from before an optimizer step."""
        self._cache = []
        self._cached_rows = set()
        self._graph_tokens = 0
        self._scores = {}

    def packs(
        self, prompts: Mapping[int, TokenIds]
    ) -> list[tuple[TokenIds, list[int]]]:
        """This rank's rows among those with a prompt, as they go through the model together.

        If the model is sharded, a rank with fewer packs than another gets some without rows, and
        the ranks make their largest passes at the same time.
        """
        local: dict[int, TokenIds] = {}
        for row, prompt in prompts.items():
            if row in self.local_rows:
                local[row] = prompt

        packs = self._packed_rows(local)
        if self._ranks.sharded:
            packs.sort(key=lambda pack: self._pack_cost(*pack), reverse=True)
        return self._even_packs(packs)

    def _even_packs(
        self, packs: list[tuple[TokenIds, list[int]]]
    ) -> list[tuple[TokenIds, list[int]]]:
        """This rank's packs; if the model is sharded, as many as every other rank has."""
        if self._ranks.sharded:
            counts = self._ranks.all_gather(len(packs))
            for _ in range(max(counts) - len(packs)):
                packs.append((DUMMY_PROMPT, []))
        return packs

    def states(
        self,
        rows: list[int],
        prompt: Sequence[int],
        model: PreTrainedModel | None = None,
    ) -> Tensor:
        """States (A, D) that predict the actions of `rows`, each read after `prompt`; not cached.

        Without rows the model reads a token, and A is 0.
        """
        model = model or self.model
        if not rows:
            return predicting_states(model, DUMMY_PROMPT, [DUMMY_PROMPT], [[False]])

        branches: list[list[int]] = []
        masks: list[list[bool]] = []
        for row in rows:
            ids, mask = ids_to_read(self.episodes[row])
            branches.append(ids)
            masks.append(mask)
        return predicting_states(model, prompt, branches, masks)

    def reference_prompts(
        self, references: References, drawn: Tensor, *, guide_only: bool = False
    ) -> dict[int, TokenIds]:
        """Each row's prompt with the row `drawn` (B,) of it in the system message; -1 for none.

        `references` says whether the group had a success. Rows without a reference are left out,
        and those whose input would be too long. `guide_only` leaves the reference itself out.
        """
        group = self.batch.group.tolist()
        with stage("references") as references_stage:
            prompts = reference_prompts(
                self._chat,
                self._limits,
                self.episodes,
                group,
                references,
                drawn,
                guide_only=guide_only,
            )
            references_stage.add(sum(map(len, prompts.values())))
        return prompts

    def targets(self, rows: list[int]) -> Tensor:
        """(A,) action tokens of the rows."""
        ids = action_ids(self.episodes, rows)
        return torch.tensor(ids, dtype=torch.long, device=self.model.device)

    def old_logprobs(self, rows: list[int]) -> Tensor:
        """(A,) log-probabilities, nats, that the action tokens of the rows were sampled with."""
        mask = self.batch.action_mask[rows]
        logprobs = self.batch.old_logprobs[rows]
        return logprobs[mask].to(self.model.device)

    def by_row(self, rows: list[int], values: Tensor) -> dict[int, Tensor]:
        """The values at the actions of `rows`, (A, ...), row by row, on the CPU."""
        on_cpu = values.detach().cpu()
        parts = self._split(on_cpu, rows)
        return dict(zip(rows, parts, strict=True))

    def _row_scores(
        self,
        rows: Sequence[int],
        prompts: Mapping[int, TokenIds] | None = None,
        model: PreTrainedModel | None = None,
    ) -> Iterator[tuple[list[int], Scores]]:
        """The scores of the action tokens of `rows`, pass by pass, each with the rows that it read.

        Unconditioned passes may hold other rows too; with `prompts` each row is read after its own,
        by `model`.
        """
        if prompts is None:
            for pack in self._student_packs(rows):
                scores = self._lookup_scores(pack.rows)
                if scores is None:
                    targets = self.targets(pack.rows)
                    with stage("student_forward"):
                        scores = token_scores(self.head, pack.states, targets)
                    self._store_scores(pack.rows, scores)
                yield pack.rows, scores
            return

        requested = set(rows)
        conditioned = {r: prompt for r, prompt in prompts.items() if r in requested}
        model = model or self.model
        head = logits_head(model)
        for prompt, together in self.packs(conditioned):
            # A dummy pack runs too: under FSDP its pass keeps the ranks in step.
            with stage("teacher_forward", self.pack_tokens(prompt, together)):
                states = self.states(together, prompt, model)
                targets = self.targets(together)
                scores = token_scores(head, states, targets) if together else None
            if scores is not None:
                yield together, scores

    def _student_packs(self, rows: Sequence[int]) -> list[Pack]:
        """The cached unconditioned passes, which hold `rows` and may hold others.

        The first passes whose tokens are within `cached_forward_tokens` keep their graph. A sharded
        model's graphs are not kept: ranks would go backward in different orders.
        """
        missing = [row for row in rows if row not in self._cached_rows]
        for prompt, together in self.packs(self._prompts(missing)) if missing else ():
            tokens = self._graph_tokens + self.pack_tokens(prompt, together)
            keep = tokens <= self._cached_forward_tokens and not self._ranks.sharded
            with torch.set_grad_enabled(keep):
                pack = self._read(together, prompt)
            self._cache.append(pack)
            if keep:
                self._graph_tokens = tokens
        self._cached_rows.update(missing)
        return self._cache

    def _packed_rows(
        self, prompts: Mapping[int, TokenIds]
    ) -> list[tuple[TokenIds, list[int]]]:
        return pack_rows(
            self.episodes,
            prompts,
            self._max_tokens_per_pack,
            shares_prompts=self._shares_prompts,
        )

    def pack_tokens(self, prompt: TokenIds, rows: Sequence[int]) -> int:
        """How many tokens the model reads if these rows go through it together."""
        tokens = len(prompt) * (1 if self._shares_prompts else len(rows))
        for row in rows:
            ids, _ = ids_to_read(self.episodes[row])
            tokens += len(ids)
        return tokens

    def _pack_cost(self, prompt: TokenIds, rows: Sequence[int]) -> float:
        lengths = [len(ids_to_read(self.episodes[row])[0]) for row in rows]
        return pack_cost(
            len(prompt),
            lengths,
            self.model.config.get_text_config().hidden_size,
            shares_prompts=self._shares_prompts,
        )

    def _student_states(self, rows: Sequence[int]) -> dict[int, Tensor]:
        """States (a, D) of the unconditioned pass, row by row, without a graph."""
        states: dict[int, Tensor] = {}
        for pack in self._student_packs(rows):
            parts = self._split(pack.states.detach(), pack.rows)
            states.update(zip(pack.rows, parts, strict=True))
        return states

    def _read(self, rows: list[int], prompt: TokenIds) -> Pack:
        with stage("student_forward", self.pack_tokens(prompt, rows)):
            return Pack(rows, self.states(rows, prompt))

    def _prompts(self, rows: Sequence[int]) -> dict[int, TokenIds]:
        return {row: prompt_ids(self.episodes[row]) for row in rows}

    def _with_scores(self, pack: Pack) -> Pack:
        scores = self._lookup_scores(pack.rows)
        return pack._replace(scores=scores)

    def _lookup_scores(self, rows: list[int]) -> Scores | None:
        """The scores of the rows, one after the other; None if some are not known."""
        scores: list[Scores] = []
        for row in rows:
            if row not in self._scores:
                return None
            scores.append(self._scores[row])
        return concatenate(scores) if scores else None

    def _store_scores(self, rows: list[int], scores: Scores) -> None:
        logprobs = self._split(scores.logprobs.detach(), rows)
        entropy = self._split(scores.entropy.detach(), rows)
        parts = map(Scores, logprobs, entropy)
        self._scores.update(zip(rows, parts, strict=True))

    def _split(self, values: Tensor, rows: list[int]) -> tuple[Tensor, ...]:
        lengths = self.batch.lengths[rows]
        return values.split(lengths.tolist())

    def _assign_rows(self) -> set[int]:
        """The rows that this rank computes: complete packs, so that a prefix is still shared.

        Groups that succeed or fail as one may have no gradient: they are assigned on their own,
        so that the rows with one are spread evenly over the ranks, in each part.
        """
        uniform = in_uniform_group(self.batch.rewards, self.batch.group).tolist()
        local: set[int] = set()
        for part in self.parts:
            for outcome in (False, True):
                rows = [row for row in part if uniform[row] == outcome]
                local.update(self._share_of(rows))
        return local

    def _share_of(self, rows: Sequence[int]) -> Iterator[int]:
        """Those of the rows that this rank computes, if all are read at once."""
        packs = self._packed_rows(self._prompts(rows))
        costs = [self._pack_cost(*pack) for pack in packs]
        owners = self._ranks.assign(costs)
        for (_, of_pack), owner in zip(packs, owners, strict=True):
            if owner == self._ranks.rank:
                yield from of_pack


def _rows_of(packs: Sequence[Pack]) -> set[int]:
    rows: set[int] = set()
    for pack in packs:
        rows.update(pack.rows)
    return rows
