"""From a group of verified episodes to a step of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo import credit
from scgrpo.advantages import overlong_penalty, uniform
from scgrpo.algorithms import Algorithm, surrogate, top_entropy
from scgrpo.batch import Batch, collate
from scgrpo.credit import ReferenceLimits, Routes, peers
from scgrpo.credit_record import CreditRow, left_out, recorded
from scgrpo.distillation import Distillation, compared
from scgrpo.distributed import ALONE, Ranks
from scgrpo.forward import Kept, Known, Passes, joined_scores
from scgrpo.optimizer import MasterAdamW
from scgrpo.packing import Opening, opening_of
from scgrpo.policies.chat import Chat
from scgrpo.scoring import output_layer, token_scores
from scgrpo.teachers import Solution, gold_openings, reference_openings

__all__ = ["Credit", "Trainer"]


@dataclass(frozen=True)
class Credit:
    """Per-token credit of one batch. (B, T) each, about the token at t; 0 off the action tokens.

    | field | meaning |
    |---|---|
    | weight | what the gradient is multiplied with |
    | divergence | D, nats; 0 in rows without a reference |
    | routes | who was whose reference |
    | plain | the plain passes that were kept for the gradient |
    | known | plain scores of rows that were found on the way to their divergence |
    | entropy | of the plain distribution, nats: row -> (its action tokens,), from the gradient |
    """

    weight: Tensor
    divergence: Tensor
    routes: Routes
    plain: Kept = field(default_factory=list)
    known: Known = field(default_factory=dict)
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
    | teacher | the other model of a distillation that wants one |
    | solution | the turns that solve a task, for a distillation that shows them |
    | ranks | the processes that share the rows; each computes and adds up its own alone |
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
    teacher: PreTrainedModel | None = None
    solution: Solution | None = None
    ranks: Ranks = ALONE
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
        if self.algorithm.drop_uniform_groups:
            rewards = torch.tensor([float(bool(e.verified)) for e in episodes])
            same = uniform(rewards, torch.tensor(group)).tolist()
            kept = [i for i, dropped in enumerate(same) if not dropped]
            gone = [i for i, dropped in enumerate(same) if dropped]
            self.credited += left_out([rows[i] for i in gone], [group[i] for i in gone], "dropped")
            rows = [rows[i] for i in kept]
            episodes, group = [episodes[i] for i in kept], [group[i] for i in kept]
            if not episodes:
                return log
        passes = self.passes(episodes, group)
        batch = passes.batch
        given, advantage = self.credit(passes)
        log |= self._credit_log(given, batch)
        log |= self._gradient(passes, given, advantage)
        if self.algorithm.distill is not None:
            log |= self._distilled(passes, self.algorithm.distill, log)
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

    def passes(self, episodes: Sequence[Episode], group: Sequence[int]) -> Passes:
        """Episodes, all with a verdict, as the model is to read them."""
        batch = collate(episodes, group, pad_id=0)
        return Passes(self.model, episodes, batch, pack_tokens=self.pack_tokens, ranks=self.ranks)

    def credit(self, passes: Passes) -> tuple[Credit, Tensor]:
        """The weight of every token, and the advantage of every episode (B,) or token (B, T)."""
        episodes, batch, options = passes.episodes, passes.batch, self.algorithm.credit
        penalty = overlong_penalty(batch.real.sum(1), self.episode_tokens, self.algorithm.overlong)
        base = self.algorithm.advantage(batch.rewards + penalty, batch.group)
        mask = batch.action_mask
        if options is None:
            if self.algorithm.turns is not None:
                base = _spread(self.algorithm.turns(episodes, batch.group), episodes, mask)
            return self._unconditioned(passes), base
        routes = credit.route(batch.verified, batch.group, self.rng, options)
        right = self._reference_openings(passes, routes, routes.reference)
        wrong = self._reference_openings(passes, routes, routes.wrong_reference)
        missing = [
            (int(routes.reference[row]) >= 0 and row not in right)
            or (int(routes.wrong_reference[row]) >= 0 and row not in wrong)
            for row in range(len(episodes))
        ]
        routes = routes.without(torch.tensor(missing))
        plain = passes.kept(routes.weighted.nonzero()[:, 0].tolist(), self.kept_tokens)
        d, known = passes.divergence(plain, right)
        wrong_d, more = passes.divergence(plain, wrong)
        weight = credit.weights(
            d,
            passes.entropy(plain) if options.control == "entropy" else None,
            mask,
            routes,
            options,
            self.rng,
            wrong_divergence=wrong_d,
            micro_batch=batch.group,
        )
        advantage = credit.advantages(base, batch.group, routes, weight, mask, options)
        return Credit(weight * mask, d, routes, _with_graph(plain), known | more), advantage

    def _unconditioned(self, passes: Passes) -> Credit:
        """Weight 1 at the action tokens that have a gradient: all, or those of high entropy."""
        mask, share = passes.batch.action_mask, self.algorithm.entropy_share
        plain: Kept = []
        if share < 1.0:
            plain = passes.kept(range(len(mask)), self.kept_tokens)
            mask = top_entropy(passes.entropy(plain), mask, share)
        none = torch.zeros(mask.shape)
        return Credit(mask.float(), none, Routes.none(len(mask)), _with_graph(plain))

    def _reference_openings(
        self, passes: Passes, routes: Routes, reference: Tensor
    ) -> dict[int, Opening]:
        group = passes.batch.group.tolist()
        return reference_openings(self.chat, self.limits, passes.episodes, group, routes, reference)

    def _gradient(self, passes: Passes, given: Credit, advantage: Tensor) -> dict[str, float]:
        """Adds up the gradient of the whole batch, pack by pack; rows of advantage 0 have none."""
        batch, head = passes.batch, passes.head
        scale = self.algorithm.weight(batch.action_mask) * given.weight
        kept = {row for rows, _ in given.plain for row in rows}
        fresh = passes.plain([row for row in _learning(advantage) if row not in kept])
        loss = entropies = drift = cut = tokens = 0.0
        for rows, states in chain(_taken(given.plain), fresh):
            known = joined_scores(given.known, rows)
            logprobs, entropy = token_scores(head, states, passes.targets(rows), known=known)
            mask, device = batch.action_mask[rows], logprobs.device
            sampled = batch.old_logprobs[rows][mask].to(device)
            ratio = (logprobs.detach() - sampled).exp().clamp(max=self.importance_cap)
            corrected = ratio if math.isfinite(self.importance_cap) else torch.ones_like(ratio)
            places = torch.tensor(rows, dtype=torch.long)
            sequence = places[:, None].expand(mask.shape)[mask].to(device)
            # One step per batch: the sampling policy is the policy, so old is new, detached.
            part = surrogate(
                logprobs,
                logprobs.detach(),
                _at_tokens(advantage[rows], mask).to(device),
                scale[rows][mask].to(device) * corrected,
                self.algorithm.clip_low,
                self.algorithm.clip_high,
                sequence if self.algorithm.sequence_ratio else None,
            )
            part.backward()
            cut += (ratio >= self.importance_cap).sum().item()
            given.entropy.update(passes.by_row(rows, entropy))
            loss += part.item()
            entropies += entropy.sum().item()
            drift += (logprobs.detach() - sampled).abs().sum().item()
            tokens += len(logprobs)
        loss, entropies, drift, cut, tokens = self.ranks.summed(loss, entropies, drift, cut, tokens)
        for found in self.ranks.gathered(given.entropy):
            given.entropy.update(found)
        log = {"train/loss": loss, "train/tokens": tokens}
        if tokens and math.isfinite(self.importance_cap):
            log["train/importance_capped"] = cut / tokens
        if tokens:
            log |= {"train/entropy": entropies / tokens, "train/logprob_mismatch": drift / tokens}
        return log

    def _distilled(
        self, passes: Passes, options: Distillation, log: dict[str, float]
    ) -> dict[str, float]:
        """Adds the gradient of the divergence from a teacher; returns what to log, sums included.

        On tokens that an engine sampled, `sampled` is scaled as the surrogate is.
        """
        episodes, batch = passes.episodes, passes.batch
        openings, wanted = self._taught(passes, options)
        model = self.model if self.teacher is None else self.teacher
        heads = passes.head, output_layer(model)
        scale = self.algorithm.weight(batch.action_mask) * options.coefficient
        total = apart = drift = tokens = 0.0
        for key, rows in passes.packs(
            {row: opening_of(episodes[row]) + read for row, read in openings.items()}
        ):
            own = opening_of(episodes[rows[0]]) if rows else key
            with torch.no_grad():
                theirs = passes.states(rows, key[len(own) :], model)
            states = passes.states(rows, own)
            ids = passes.targets(rows)
            values, logprobs = compared(
                options.divergence, (heads[0], states), (heads[1], theirs), ids
            )
            mask = batch.action_mask[rows]
            gap = logprobs - batch.old_logprobs[rows][mask].to(logprobs.device)
            weight = scale[rows][mask].to(values.device)
            if options.divergence == "sampled" and math.isfinite(self.importance_cap):
                weight = weight * gap.exp().clamp(max=self.importance_cap)
            part = (weight * values).sum()
            part.backward()
            total += part.item()
            apart += values.detach().sum().item()
            drift += gap.abs().sum().item()
            tokens += len(values)
        total, apart, drift, tokens = self.ranks.summed(total, apart, drift, tokens)
        told = {"train/loss": log["train/loss"] + total, "distill/tokens": tokens}
        told["distill/overflow"] = float(wanted - len(openings))
        if tokens:
            told["distill/divergence"] = apart / tokens
            told.setdefault(
                "train/logprob_mismatch", log.get("train/logprob_mismatch", drift / tokens)
            )
        return told

    def _taught(self, passes: Passes, options: Distillation) -> tuple[dict[int, Opening], int]:
        """What the teacher of each row reads first, and how many rows should have one."""
        episodes, batch = passes.episodes, passes.batch
        if options.teacher == "model":
            if self.teacher is None:
                raise ValueError("distillation from another model wants Trainer.teacher, got None")
            return {row: opening_of(e) for row, e in enumerate(episodes)}, len(episodes)
        if options.teacher == "gold":
            if self.solution is None:
                raise ValueError("distillation from the solution wants Trainer.solution, got None")
            return gold_openings(self.chat, self.limits, episodes, self.solution), len(episodes)
        drawn = peers(batch.verified, batch.group, self.rng)
        routes = replace(Routes.none(len(episodes)), reference=drawn)
        return (
            self._reference_openings(passes, routes, drawn),
            int((drawn >= 0).sum()),
        )

    def _credit_log(self, given: Credit, batch: Batch) -> dict[str, float]:
        options = self.algorithm.credit
        if options is None:
            return {}
        return credit.summary(
            given.divergence, given.weight, batch.action_mask, batch.group, given.routes, options
        )


def _with_graph(plain: Kept) -> Kept:
    return [(rows, states) for rows, states in plain if states.requires_grad]


def _taken(plain: Kept) -> Iterator[tuple[list[int], Tensor]]:
    """Empties the list, so that each graph is freed as soon as it was used."""
    while plain:
        yield plain.pop()


def _spread(turns: Sequence[Tensor], episodes: Sequence[Episode], mask: Tensor) -> Tensor:
    """Each turn's advantage at its tokens, (B, T); 0 off the action tokens."""
    spread = torch.zeros(mask.shape)
    for row, (values, episode) in enumerate(zip(turns, episodes, strict=True)):
        lengths = torch.tensor([len(turn.token_ids) for turn in episode.turns], dtype=torch.long)
        spread[row, mask[row]] = values.repeat_interleave(lengths)
    return spread


def _learning(advantage: Tensor) -> list[int]:
    """Rows whose advantage, (B,) or (B, T), is not 0 everywhere."""
    return advantage.reshape(len(advantage), -1).any(1).nonzero()[:, 0].tolist()


def _at_tokens(advantage: Tensor, mask: Tensor) -> Tensor:
    """The advantage, (B,) or (B, T), at each token of the mask (B, T). -> (A,)."""
    return (advantage if advantage.dim() == 2 else advantage[:, None].expand(mask.shape))[mask]
