"""From a group of verified episodes to a step of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo import credit
from scgrpo.algorithms import Algorithm, surrogate, uniform
from scgrpo.batch import Batch, collate
from scgrpo.optimizer import MasterAdamW
from scgrpo.policies.chat import Chat
from scgrpo.reference import teacher_messages
from scgrpo.routing import Case, Routes
from scgrpo.scoring import divergence, predicting_states, token_scores

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
    """

    weight: Tensor
    divergence: Tensor
    routes: Routes


@dataclass
class Trainer:
    """Turns episodes into gradient steps of one algorithm.

    | field | meaning |
    |---|---|
    | model | what is trained; the policy samples from the same weights |
    | optimizer | over the model's trainable weights |
    | pack_tokens | most tokens in one forward and backward pass; bounds the memory |
    | rng | draws references |
    """

    model: PreTrainedModel
    chat: Chat
    algorithm: Algorithm
    optimizer: MasterAdamW
    rng: np.random.Generator
    limits: ReferenceLimits = ReferenceLimits()
    max_grad_norm: float = 1.0
    pack_tokens: int = 4096

    def update(
        self, episodes: Sequence[Episode], group: Sequence[int], *, lr: float
    ) -> dict[str, float]:
        """One optimizer step on the episodes that have a verdict; returns what to log.

        Void episodes leave their group first, and n and G are counted anew.
        """
        rows = [i for i, e in enumerate(episodes) if e.verdict is not None]
        log = {"episodes/void": float(len(episodes) - len(rows))}
        episodes, group = [episodes[i] for i in rows], [group[i] for i in rows]
        if not episodes:
            return log
        batch = collate(episodes, group, pad_id=0)
        if self.algorithm.drop_uniform_groups:
            kept = (~uniform(batch.rewards, batch.group)).nonzero()[:, 0].tolist()
            episodes, group = [episodes[i] for i in kept], [group[i] for i in kept]
            if not episodes:
                return log
            batch = collate(episodes, group, pad_id=0)
        given, advantage = self.credit(episodes, batch)
        log |= self._credit_log(given, batch)
        log |= self._gradient(episodes, batch, given.weight, advantage)
        log["train/gradient_norm"] = self.optimizer.step(lr=lr, max_norm=self.max_grad_norm)
        log["train/lr"] = lr
        return log

    def credit(self, episodes: Sequence[Episode], batch: Batch) -> tuple[Credit, Tensor]:
        """The weight of every token and the advantage (B,) of every episode."""
        base = self.algorithm.advantage(batch.rewards, batch.group)
        options = self.algorithm.credit
        zeros = torch.zeros(batch.action_mask.shape)
        if options is None:
            none = torch.full((len(episodes),), -1)
            routes = Routes(none, none, none, torch.zeros(len(episodes), dtype=torch.bool))
            return Credit(batch.action_mask.float(), zeros, routes), base
        routes = credit.route(batch.verified, batch.group, self.rng, options)
        inputs = self._teacher_inputs(episodes, routes)
        routes = routes.without(torch.tensor([row in inputs[1] for row in range(len(episodes))]))
        d, entropy = self._divergences(episodes, batch, inputs[0], routes.reference)
        wrong = None
        if options.contrastive:
            wrong, _ = self._divergences(episodes, batch, inputs[0], routes.wrong_reference)
        weight = credit.weights(
            d,
            entropy,
            batch.action_mask,
            routes,
            options,
            self.rng,
            wrong_divergence=wrong,
            micro_batch=batch.group,
        )
        weight = weight * batch.action_mask
        advantage = credit.advantages(
            base, batch.group, routes, weight, batch.action_mask, options
        )
        return Credit(weight, d, routes), advantage

    def _teacher_inputs(
        self, episodes: Sequence[Episode], routes: Routes
    ) -> tuple[dict[tuple[int, int], list[int]], set[int]]:
        """Teacher prompts by (row, reference), and the rows whose reference does not fit."""
        prompts: dict[tuple[int, int], list[int]] = {}
        overflow: set[int] = set()
        made: dict[tuple[str, int, bool], list[int] | None] = {}
        for wanted in (routes.reference, routes.wrong_reference):
            for row, source in enumerate(wanted.tolist()):
                if source < 0:
                    continue
                verified = int(routes.case[row]) != Case.DIVERSITY
                key = (episodes[row].task.id, source, verified)
                if key not in made:
                    made[key] = self._teacher_prompt(episodes[row], episodes[source], verified)
                prompt = made[key]
                rest = sum(len(s.token_ids) for s in episodes[row].segments[1:])
                if prompt is None or len(prompt) + rest > self.limits.input_tokens:
                    overflow.add(row)
                else:
                    prompts[row, source] = prompt
        return prompts, overflow

    def _teacher_prompt(
        self, episode: Episode, reference: Episode, verified: bool
    ) -> list[int] | None:
        """The opening ids of `episode` with the reference in its system message; None: too long."""
        messages = teacher_messages(
            episode.messages,
            reference,
            verified=verified,
            observation_chars=self.limits.observation_chars,
            budget_tokens=self.limits.tokens,
            count=lambda text: len(self.chat.ids(text)),
        )
        return None if messages is None else self.chat.opening(messages, episode.tools)[1]

    @torch.no_grad()
    def _divergences(
        self,
        episodes: Sequence[Episode],
        batch: Batch,
        prompts: dict[tuple[int, int], list[int]],
        reference: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """D and the plain distribution's entropy at action tokens of rows with a reference."""
        head = self.model.get_output_embeddings()
        d, entropy = torch.zeros(batch.action_mask.shape), torch.zeros(batch.action_mask.shape)
        student: dict[int, Tensor] = {}
        rows = [row for row, source in enumerate(reference.tolist()) if source >= 0]
        for pack in self._packs(episodes, rows, batch.group.tolist()):
            states = self._states(episodes, pack, _opening(episodes[pack[0]]))
            _, spread = token_scores(head, states, self._targets(episodes, pack))
            sizes = [int(batch.lengths[row]) for row in pack]
            for row, s, h in zip(pack, states.split(sizes), spread.split(sizes), strict=True):
                student[row] = s
                entropy[row, batch.action_mask[row]] = h.cpu()
        keys = [f"{episodes[r].task.id}/{int(reference[r])}" if r in rows else "" for r in range(len(episodes))]
        for pack in self._packs(episodes, rows, keys, prompts, reference):
            teacher = self._states(episodes, pack, prompts[pack[0], int(reference[pack[0]])])
            kl = divergence(head, teacher, torch.cat([student[row] for row in pack]))
            sizes = [int(batch.lengths[row]) for row in pack]
            for row, values in zip(pack, kl.split(sizes), strict=True):
                d[row, batch.action_mask[row]] = values.cpu()
        return d, entropy

    def _gradient(
        self, episodes: Sequence[Episode], batch: Batch, weight: Tensor, advantage: Tensor
    ) -> dict[str, float]:
        """Adds up the gradient of the whole batch, pack by pack; rows of advantage 0 have none."""
        scale = self.algorithm.weight(batch.action_mask) * weight
        head = self.model.get_output_embeddings()
        rows = advantage.nonzero()[:, 0].tolist()
        loss = entropies = drift = tokens = 0.0
        for pack in self._packs(episodes, rows, batch.group.tolist()):
            states = self._states(episodes, pack, _opening(episodes[pack[0]]))
            logprobs, entropy = token_scores(head, states, self._targets(episodes, pack))
            mask = batch.action_mask[pack]
            per_token = advantage[pack, None].expand(mask.shape)[mask].to(logprobs.device)
            # One step per batch: the sampling policy is the policy, so old is new, detached.
            part = surrogate(
                logprobs[None],
                logprobs.detach()[None],
                per_token[None],
                scale[pack][mask].to(logprobs.device)[None],
                self.algorithm.clip_low,
                self.algorithm.clip_high,
            )
            part.backward()
            sampled = batch.old_logprobs[pack][mask].to(logprobs.device)
            loss += part.item()
            entropies += entropy.sum().item()
            drift += (logprobs.detach() - sampled).abs().sum().item()
            tokens += len(logprobs)
        if not tokens:
            return {"train/loss": 0.0}
        return {
            "train/loss": loss,
            "train/entropy": entropies / tokens,
            "train/logprob_mismatch": drift / tokens,
            "train/tokens": tokens,
        }

    def _states(
        self, episodes: Sequence[Episode], pack: list[int], prefix: Sequence[int]
    ) -> Tensor:
        """States that predict the action tokens of the pack's rows, after `prefix`. (A, D)."""
        branches = [_rest(episodes[row]) for row in pack]
        return predicting_states(self.model, prefix, *zip(*branches, strict=True))

    def _targets(self, episodes: Sequence[Episode], pack: list[int]) -> Tensor:
        """(A,) action tokens of the pack's rows."""
        ids = [i for row in pack for turn in episodes[row].turns for i in turn.token_ids]
        return torch.tensor(ids, device=self.model.device)

    def _packs(
        self,
        episodes: Sequence[Episode],
        rows: Sequence[int],
        key: Sequence[object],
        prompts: dict[tuple[int, int], list[int]] | None = None,
        reference: Tensor | None = None,
    ) -> list[list[int]]:
        """Rows with the same opening, packed up to `pack_tokens` each."""
        packs: list[list[int]] = []
        room: dict[object, int] = {}
        last: dict[object, list[int]] = {}
        for row in rows:
            need = len(_rest(episodes[row])[0])
            if key[row] not in last or room[key[row]] < need:
                opening = len(_opening(episodes[row]))
                if prompts is not None and reference is not None:
                    opening = len(prompts[row, int(reference[row])])
                last[key[row]] = []
                packs.append(last[key[row]])
                room[key[row]] = self.pack_tokens - opening
            last[key[row]].append(row)
            room[key[row]] -= need
        return packs

    def _credit_log(self, given: Credit, batch: Batch) -> dict[str, float]:
        options = self.algorithm.credit
        if options is None:
            return {}
        return credit.summary(
            given.divergence, given.weight, batch.action_mask, batch.group, given.routes, options
        )


def _opening(episode: Episode) -> tuple[int, ...]:
    return episode.segments[0].token_ids


def _rest(episode: Episode) -> tuple[list[int], list[bool]]:
    """Ids after the opening, and which of them the policy sampled."""
    size = len(_opening(episode))
    return episode.token_ids[size:], episode.action_mask[size:]
