"""From a group of verified episodes to a step of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo import credit
from scgrpo.algorithms import Algorithm, overlong_penalty, surrogate, top_entropy, uniform
from scgrpo.batch import Batch, collate
from scgrpo.credit_record import CreditRow, left_out, recorded
from scgrpo.optimizer import MasterAdamW
from scgrpo.policies.chat import Chat
from scgrpo.reference import teacher_messages
from scgrpo.routing import Case, Routes
from scgrpo.scoring import divergence, output_layer, predicting_states, token_scores

__all__ = ["Credit", "ReferenceLimits", "Trainer"]


@dataclass(frozen=True)
class ReferenceLimits:
    """How much of a reference episode the teacher is shown.

    | field | meaning |
    |---|---|
    | tokens | most tokens that guide and reference add to the teacher's prompt |
    | observation_chars | each reply in it is cut to this |
    | input_tokens | longest teacher input; a longer row loses its reference and is counted |
    """

    tokens: int = 512
    observation_chars: int = 400
    input_tokens: int = 4096


@dataclass(frozen=True)
class Credit:
    """Per-token credit of one batch. (B, T) each, about the token at t; 0 off the action tokens.

    | field | meaning |
    |---|---|
    | weight | what the gradient is multiplied with |
    | divergence | D, nats; 0 in rows without a reference |
    | routes | who was whose reference |
    | passes | rows whose plain pass was kept for the gradient, with its states (A, D) |
    | entropy | of the plain distribution, nats: row -> (its action tokens,), from the gradient |
    """

    weight: Tensor
    divergence: Tensor
    routes: Routes
    passes: list[tuple[list[int], Tensor]] = field(default_factory=list)
    entropy: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class Trainer:
    """Turns episodes into gradient steps of one algorithm.

    | field | meaning |
    |---|---|
    | model | what is trained; the policy samples from the same weights |
    | optimizer | over the model's trainable weights |
    | pack_tokens | most tokens in one forward and backward pass; bounds the memory |
    | kept_tokens | credit reads the plain distribution; up to so many tokens its pass is kept for |
    | | the gradient, beyond it is computed again |
    | rng | draws references |
    | episode_tokens | the token budget of an episode, which an overlong penalty looks at |
    | importance_cap | a token's weight is scaled by its probability here over the one that it was |
    | | sampled with, up to this; infinite where the same weights sampled it: no scaling |
    | credited | what each episode of the last update got, those that it left out included |
    """

    model: PreTrainedModel
    chat: Chat
    algorithm: Algorithm
    optimizer: MasterAdamW
    rng: np.random.Generator
    limits: ReferenceLimits = ReferenceLimits()
    max_grad_norm: float = 1.0
    pack_tokens: int = 4096
    kept_tokens: int = 16384
    episode_tokens: int = 1024
    importance_cap: float = math.inf
    credited: list[CreditRow] = field(default_factory=list, init=False)

    def update(
        self, episodes: Sequence[Episode], group: Sequence[int], *, lr: float
    ) -> dict[str, float]:
        """One optimizer step on the episodes that have a verdict; returns what to log.

        Void episodes leave their group first, and n and G are counted anew.
        """
        rows = [i for i, e in enumerate(episodes) if e.verdict is not None]
        log = {"episodes/void": float(len(episodes) - len(rows))}
        void = sorted(set(range(len(episodes))) - set(rows))
        self.credited = left_out(void, [group[i] for i in void], "void")
        episodes, group = [episodes[i] for i in rows], [group[i] for i in rows]
        if not episodes:
            return log
        batch = collate(episodes, group, pad_id=0)
        if self.algorithm.drop_uniform_groups:
            same = uniform(batch.rewards, batch.group).tolist()
            kept = [i for i, dropped in enumerate(same) if not dropped]
            gone = [i for i, dropped in enumerate(same) if dropped]
            self.credited += left_out([rows[i] for i in gone], [group[i] for i in gone], "dropped")
            rows = [rows[i] for i in kept]
            episodes, group = [episodes[i] for i in kept], [group[i] for i in kept]
            if not episodes:
                return log
            batch = collate(episodes, group, pad_id=0)
        given, advantage = self.credit(episodes, batch)
        log |= self._credit_log(given, batch)
        log |= self._gradient(episodes, batch, given, advantage)
        routes = None if self.algorithm.credit is None else given.routes
        self.credited += recorded(
            rows,
            group,
            batch.action_mask,
            advantage,
            given.divergence,
            given.weight,
            routes,
            given.entropy,
        )
        norm = self.optimizer.step(lr=lr, max_norm=self.max_grad_norm)
        log |= {"train/gradient_norm": norm, "train/lr": lr}
        log["train/skipped"] = float(not math.isfinite(norm))
        return log

    def credit(self, episodes: Sequence[Episode], batch: Batch) -> tuple[Credit, Tensor]:
        """The weight of every token and the advantage (B,) of every episode."""
        tokens = batch.real.sum(1)
        penalty = overlong_penalty(tokens, self.episode_tokens, self.algorithm.overlong)
        base = self.algorithm.advantage(batch.rewards + penalty, batch.group)
        options = self.algorithm.credit
        mask = batch.action_mask
        if options is None:
            return self._unconditioned(episodes, batch), base
        routes = credit.route(batch.verified, batch.group, self.rng, options)
        group = batch.group.tolist()
        right = self._teacher_openings(episodes, group, routes, routes.reference)
        wrong = self._teacher_openings(episodes, group, routes, routes.wrong_reference)
        missing = [
            (int(routes.reference[row]) >= 0 and row not in right)
            or (int(routes.wrong_reference[row]) >= 0 and row not in wrong)
            for row in range(len(episodes))
        ]
        routes = routes.without(torch.tensor(missing))
        passes = self._plain_passes(episodes, routes.weighted.nonzero()[:, 0].tolist())
        states = self._by_row(batch, passes)
        d = self._divergence(episodes, batch, states, right)
        weight = credit.weights(
            d,
            self._entropy(episodes, batch, passes) if options.control == "entropy" else None,
            mask,
            routes,
            options,
            self.rng,
            wrong_divergence=self._divergence(episodes, batch, states, wrong),
            micro_batch=batch.group,
        )
        advantage = credit.advantages(base, batch.group, routes, weight, mask, options)
        kept = [(rows, found) for rows, found in passes if found.requires_grad]
        return Credit(weight * mask, d, routes, kept), advantage

    def _unconditioned(self, episodes: Sequence[Episode], batch: Batch) -> Credit:
        """Weight 1 at the action tokens that have a gradient: all, or those of high entropy."""
        mask, share = batch.action_mask, self.algorithm.entropy_share
        passes: list[tuple[list[int], Tensor]] = []
        if share < 1.0:
            passes = self._plain_passes(episodes, list(range(len(mask))))
            mask = top_entropy(self._entropy(episodes, batch, passes), mask, share)
        kept = [(rows, found) for rows, found in passes if found.requires_grad]
        return Credit(mask.float(), torch.zeros(mask.shape), Routes.none(len(mask)), kept)

    def _teacher_openings(
        self,
        episodes: Sequence[Episode],
        group: Sequence[int],
        routes: Routes,
        reference: Tensor,
    ) -> dict[int, tuple[int, ...]]:
        """What the teacher reads before a row's turns; rows with too long an input are left out."""
        openings: dict[int, tuple[int, ...]] = {}
        made: dict[tuple[int, int], tuple[int, ...] | None] = {}
        for row, source in enumerate(reference.tolist()):
            if source < 0:
                continue
            key = (group[row], source)
            if key not in made:
                verified = int(routes.case[row]) != Case.DIVERSITY
                made[key] = self._teacher_opening(episodes[row], episodes[source], verified)
            opening = made[key]
            rest = len(_rest(episodes[row])[0])
            if opening is not None and len(opening) + rest <= self.limits.input_tokens:
                openings[row] = opening
        return openings

    def _teacher_opening(
        self, episode: Episode, reference: Episode, verified: bool
    ) -> tuple[int, ...] | None:
        """The opening of `episode` with the reference in its system message; None: too long."""
        messages = teacher_messages(
            episode.messages,
            reference,
            verified=verified,
            observation_chars=self.limits.observation_chars,
            budget_tokens=self.limits.tokens,
            count=lambda text: len(self.chat.ids(text)),
        )
        return None if messages is None else tuple(self.chat.opening(messages, episode.tools)[1])

    def _plain_passes(
        self, episodes: Sequence[Episode], rows: list[int]
    ) -> list[tuple[list[int], Tensor]]:
        """Rows and the states (A, D) that predict their actions, under the plain opening.

        With a graph for the gradient as long as all of them are within `kept_tokens`.
        """
        packs = self._packs(episodes, {row: _opening(episodes[row]) for row in rows})
        tokens = sum(
            len(opening) + sum(len(_rest(episodes[row])[0]) for row in rows)
            for opening, rows in packs
        )
        with torch.set_grad_enabled(tokens <= self.kept_tokens):
            return [(rows, self._states(episodes, rows, opening)) for opening, rows in packs]

    def _by_row(self, batch: Batch, passes: list[tuple[list[int], Tensor]]) -> dict[int, Tensor]:
        """The states of each row, without a graph."""
        return {
            row: states
            for rows, found in passes
            for row, states in zip(
                rows, found.detach().split(batch.lengths[rows].tolist()), strict=True
            )
        }

    @torch.no_grad()
    def _entropy(
        self, episodes: Sequence[Episode], batch: Batch, passes: list[tuple[list[int], Tensor]]
    ) -> Tensor:
        """Entropy (B, T) of the plain distribution, nats."""
        entropy = torch.zeros(batch.action_mask.shape)
        head = output_layer(self.model)
        for rows, states in passes:
            _, spread = token_scores(head, states, self._targets(episodes, rows))
            for row, h in zip(rows, spread.split(batch.lengths[rows].tolist()), strict=True):
                entropy[row, batch.action_mask[row]] = h.cpu()
        return entropy

    @torch.no_grad()
    def _divergence(
        self,
        episodes: Sequence[Episode],
        batch: Batch,
        student: dict[int, Tensor],
        openings: dict[int, tuple[int, ...]],
    ) -> Tensor:
        """D (B, T) of the rows in both `student` and `openings`; 0 elsewhere."""
        d = torch.zeros(batch.action_mask.shape)
        head = output_layer(self.model)
        wanted = {row: opening for row, opening in openings.items() if row in student}
        for opening, rows in self._packs(episodes, wanted):
            teacher = self._states(episodes, rows, opening)
            kl = divergence(head, teacher, torch.cat([student[row] for row in rows]))
            for row, values in zip(rows, kl.split(batch.lengths[rows].tolist()), strict=True):
                d[row, batch.action_mask[row]] = values.cpu()
        return d

    def _gradient(
        self, episodes: Sequence[Episode], batch: Batch, given: Credit, advantage: Tensor
    ) -> dict[str, float]:
        """Adds up the gradient of the whole batch, pack by pack; rows of advantage 0 have none."""
        scale = self.algorithm.weight(batch.action_mask) * given.weight
        head = output_layer(self.model)
        kept = {row for rows, _ in given.passes for row in rows}
        rest = [row for row in advantage.nonzero()[:, 0].tolist() if row not in kept]
        packs = self._packs(episodes, {row: _opening(episodes[row]) for row in rest})
        fresh = ((rows, self._states(episodes, rows, opening)) for opening, rows in packs)
        loss = entropies = drift = cut = tokens = 0.0
        for rows, states in chain(_taken(given.passes), fresh):
            logprobs, entropy = token_scores(head, states, self._targets(episodes, rows))
            mask, device = batch.action_mask[rows], logprobs.device
            sampled = batch.old_logprobs[rows][mask].to(device)
            ratio = (logprobs.detach() - sampled).exp().clamp(max=self.importance_cap)
            corrected = ratio if math.isfinite(self.importance_cap) else torch.ones_like(ratio)
            sequence = torch.tensor(rows)[:, None].expand(mask.shape)[mask].to(device)
            # One step per batch: the sampling policy is the policy, so old is new, detached.
            part = surrogate(
                logprobs,
                logprobs.detach(),
                advantage[rows, None].expand(mask.shape)[mask].to(device),
                scale[rows][mask].to(device) * corrected,
                self.algorithm.clip_low,
                self.algorithm.clip_high,
                sequence if self.algorithm.sequence_ratio else None,
            )
            part.backward()
            cut += (ratio >= self.importance_cap).sum().item()
            spread = entropy.detach().cpu().split(batch.lengths[rows].tolist())
            given.entropy.update(zip(rows, spread, strict=True))
            loss += part.item()
            entropies += entropy.sum().item()
            drift += (logprobs.detach() - sampled).abs().sum().item()
            tokens += len(logprobs)
        log = {"train/loss": loss, "train/tokens": tokens}
        if tokens and math.isfinite(self.importance_cap):
            log["train/importance_capped"] = cut / tokens
        if tokens:
            log |= {"train/entropy": entropies / tokens, "train/logprob_mismatch": drift / tokens}
        return log

    def _states(
        self, episodes: Sequence[Episode], rows: list[int], opening: Sequence[int]
    ) -> Tensor:
        """States (A, D) that predict the actions of `rows`, each read after `opening`."""
        branches, masks = zip(*(_rest(episodes[row]) for row in rows), strict=True)
        return predicting_states(self.model, opening, branches, masks)

    def _targets(self, episodes: Sequence[Episode], rows: list[int]) -> Tensor:
        """(A,) action tokens of the rows."""
        ids = [i for row in rows for turn in episodes[row].turns for i in turn.token_ids]
        return torch.tensor(ids, device=self.model.device)

    def _packs(
        self, episodes: Sequence[Episode], openings: dict[int, tuple[int, ...]]
    ) -> list[tuple[tuple[int, ...], list[int]]]:
        """Rows with equal openings, together as far as `pack_tokens` allows.

        A row that never acted, because its opening spent the budget, has nothing to score.
        """
        packs: list[tuple[tuple[int, ...], list[int]]] = []
        open_packs: dict[tuple[int, ...], tuple[list[int], int]] = {}
        for row, opening in openings.items():
            if not episodes[row].turns:
                continue
            need = len(_rest(episodes[row])[0])
            rows, used = open_packs.get(opening, ([], self.pack_tokens))
            if used + need > self.pack_tokens:
                rows, used = [], len(opening)
                packs.append((opening, rows))
            rows.append(row)
            open_packs[opening] = (rows, used + need)
        return packs

    def _credit_log(self, given: Credit, batch: Batch) -> dict[str, float]:
        options = self.algorithm.credit
        if options is None:
            return {}
        return credit.summary(
            given.divergence, given.weight, batch.action_mask, batch.group, given.routes, options
        )


def _taken(passes: list[tuple[list[int], Tensor]]) -> Iterator[tuple[list[int], Tensor]]:
    """Empties the list, so that each graph is freed as soon as it was used."""
    while passes:
        yield passes.pop()


def _opening(episode: Episode) -> tuple[int, ...]:
    return episode.segments[0].token_ids


def _rest(episode: Episode) -> tuple[list[int], list[bool]]:
    """Ids after the opening, and which of them the policy sampled."""
    size = len(_opening(episode))
    return episode.token_ids[size:], episode.action_mask[size:]
