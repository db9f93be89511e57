"""From a group of verified episodes to a step of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo.algorithms.advantages import in_uniform_group
from scgrpo.algorithms.distillation import Distillation, distillation_loss
from scgrpo.algorithms.presets import Algorithm
from scgrpo.batch import Batch, collate, rows_of
from scgrpo.credit.divergence import step_log
from scgrpo.credit.options import ReferenceLimits
from scgrpo.credit.record import CreditRow
from scgrpo.credit.references import References, draw_peer_references
from scgrpo.credit.rows import credit_rows, skipped_rows
from scgrpo.credit.rule import Credit
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.losses import surrogate
from scgrpo.models.forward import BatchForward
from scgrpo.models.packing import TokenIds, prompt_ids
from scgrpo.models.scoring import token_scores
from scgrpo.policies.chat import Chat
from scgrpo.runs.stages import stage
from scgrpo.teachers.prompt_ids import Solution, gold_prompts
from scgrpo.training.memory import release_memory
from scgrpo.training.optimizer import MasterAdamW

__all__ = ["PolicyUpdate", "Update"]


@dataclass(frozen=True)
class Update:
    """What one optimizer step did.

    | field | meaning |
    |---|---|
    | log | numbers to log |
    | credit_rows | what each episode got, those that the step skipped included |
    """

    log: dict[str, float]
    credit_rows: list[CreditRow]


@dataclass
class PolicyUpdate:
    """Turns episodes into gradient steps of one algorithm.

    | field | meaning |
    |---|---|
    | model | what is trained; the policy samples from the same weights |
    | optimizer | over the model's trainable weights |
    | max_tokens_per_pack | most tokens in one forward and backward pass; bounds the memory |
    | cached_forward_tokens | token budget for reusing the graph of the credit's pass in the |
    | | update; larger batches compute it again |
    | rng | draws references |
    | episode_tokens | the token budget of an episode, which an overlong penalty looks at |
    | importance_cap | a token's weight is scaled by its probability here over the one that it was |
    | | sampled with, up to this; infinite where the same weights sampled it: no scaling |
    | writing_weights | a context around the optimizer's step, for a policy that samples meanwhile |
    | teacher | the other model that `opd` learns from |
    | solution | oracle turns of a task, shown to the teacher by `opsd` |
    | ranks | the processes that share the rows; each computes and adds up its own alone |
    """

    model: PreTrainedModel
    chat: Chat
    algorithm: Algorithm
    optimizer: MasterAdamW
    rng: np.random.Generator
    limits: ReferenceLimits = ReferenceLimits()
    max_grad_norm: float = 1.0
    max_tokens_per_pack: int = 4096
    cached_forward_tokens: int = 1024
    episode_tokens: int = 1024
    importance_cap: float = math.inf
    writing_weights: Callable[[], AbstractContextManager[None]] = nullcontext
    teacher: PreTrainedModel | None = None
    solution: Solution | None = None
    ranks: Ranks = SINGLE_PROCESS

    def update(
        self, episodes: Sequence[Episode], group: Sequence[int], *, lr: float
    ) -> Update:
        """One optimizer step on the episodes that have a verdict.

        Those without one leave their group first, so that n and G are counted without them. Raises
        ValueError if the credit rule or the algorithm cannot use the episodes.
        """
        chosen, skipped = self._select(episodes, group)
        ungraded = [episode for episode in episodes if episode.verdict is None]
        log = {"episodes/void": float(len(ungraded))}
        if not chosen:
            return Update(log, skipped)

        # Credit is settled for the whole batch before the first gradient.
        rows = rows_of([episodes[i] for i in chosen], [group[i] for i in chosen])
        forward = self.forward(rows.episodes, rows.group)
        credit = self.credit(forward, rows.play)
        log |= credit.log
        if credit.divergence is not None and credit.references is not None:
            log |= step_log(forward, credit.divergence, credit.references)

        # What the credit's passes have freed lies elsewhere than the gradient will.
        release_memory()
        gradient_log, entropy = self._backward(forward, credit)
        log |= gradient_log
        if self.algorithm.distill is not None:
            log |= self._distill(forward, self.algorithm.distill, log)

        with self.writing_weights(), stage("optimizer"):
            norm = self.optimizer.step(lr=lr, max_norm=self.max_grad_norm)
        log["train/gradient_norm"] = norm
        log["train/lr"] = lr
        # The optimizer leaves the weights as they are if the norm is not finite.
        log["train/skipped"] = float(not math.isfinite(norm))
        places = [chosen[play] for play in rows.play]
        records = credit_rows(places, forward.batch, credit, entropy)
        # A record is about an episode's first conversation.
        return Update(log, skipped + records[: len(chosen)])

    def forward(
        self, episodes: Sequence[Episode], group: Sequence[int]
    ) -> BatchForward:
        """Episodes, all with a verdict, as the model is to read them."""
        return BatchForward(
            self.model,
            episodes,
            collate(episodes, group, pad_id=0),
            chat=self.chat,
            limits=self.limits,
            max_tokens_per_pack=self.max_tokens_per_pack,
            cached_forward_tokens=self.cached_forward_tokens,
            ranks=self.ranks,
        )

    def credit(
        self, forward: BatchForward, play: Sequence[int] | None = None
    ) -> Credit:
        """What the algorithm's rule gives each token; see `Algorithm.credit_of`."""
        return self.algorithm.credit_of(
            forward, self.rng, episode_tokens=self.episode_tokens, play=play
        )

    def _select(
        self, episodes: Sequence[Episode], group: Sequence[int]
    ) -> tuple[list[int], list[CreditRow]]:
        """Places of the episodes to learn from, and a row with the reason for each other one."""
        ungraded: list[int] = []
        graded: list[int] = []
        rewards: list[float] = []
        for i, episode in enumerate(episodes):
            if episode.verdict is None:
                ungraded.append(i)
            else:
                graded.append(i)
                rewards.append(float(bool(episode.verified)))

        # The credit record's word for ungraded is `void`.
        skipped = _rows_without_credit(ungraded, group, "void")
        if not self.algorithm.drop_uniform_groups:
            return graded, skipped

        # By the verdict alone: with a length penalty hardly a group would be uniform.
        graded_group = [group[i] for i in graded]
        is_uniform = in_uniform_group(
            torch.tensor(rewards),
            torch.tensor(graded_group),
        )
        chosen: list[int] = []
        dropped: list[int] = []
        for i, uniform in zip(graded, is_uniform.tolist(), strict=True):
            places = dropped if uniform else chosen
            places.append(i)
        return chosen, skipped + _rows_without_credit(dropped, group, "dropped")

    def _backward(
        self, forward: BatchForward, credit: Credit
    ) -> tuple[dict[str, float], dict[int, Tensor]]:
        """Adds up the gradient of the whole batch, pack by pack; rows of advantage 0 have none.

        Returns what to log, and the entropy (|o_b|,) in nats of each row b that was read.
        """
        scale = self.algorithm.weight(forward.batch.action_mask) * credit.weight
        # Plain sums, because ranks and packs hold parts of different size.
        loss = entropy_sum = mismatch = capped = tokens = 0.0
        entropy: dict[int, Tensor] = {}
        for pack in forward.take(_rows_with_gradient(credit.advantage)):
            with stage("student_forward"):
                logprobs, pack_entropy = token_scores(
                    forward.head,
                    pack.states,
                    forward.targets(pack.rows),
                    known=pack.scores,
                )
            gap = logprobs.detach() - forward.old_logprobs(pack.rows)
            ratio = gap.exp().clamp(max=self.importance_cap)
            part = self._surrogate(
                forward.batch,
                pack.rows,
                logprobs,
                scale,
                credit,
                ratio,
            )
            with stage("backward", len(logprobs)):
                part.backward()
                self.optimizer.share_gradients()

            loss += part.item()
            entropy_sum += pack_entropy.sum().item()
            mismatch += gap.abs().sum().item()
            capped += (ratio >= self.importance_cap).sum().item()
            tokens += len(logprobs)
            entropy |= forward.by_row(pack.rows, pack_entropy)

        sums = self.ranks.reduce_sum(
            loss,
            entropy_sum,
            mismatch,
            capped,
            tokens,
        )
        for rows in self.ranks.all_gather(entropy):
            entropy |= rows
        return self._gradient_log(*sums), entropy

    def _gradient_log(
        self, loss: float, entropy: float, mismatch: float, capped: float, tokens: float
    ) -> dict[str, float]:
        """What to log of the gradient, from sums over all ranks' tokens."""
        log = {"train/loss": loss, "train/tokens": tokens}
        if tokens and math.isfinite(self.importance_cap):
            log["train/importance_capped"] = capped / tokens
        if tokens:
            log["train/entropy"] = entropy / tokens
            log["train/logprob_mismatch"] = mismatch / tokens
        return log

    def _surrogate(
        self,
        batch: Batch,
        rows: list[int],
        logprobs: Tensor,
        scale: Tensor,
        credit: Credit,
        ratio: Tensor,
    ) -> Tensor:
        """The rows' part of the loss, a scalar. `logprobs` and `ratio` (A,), `scale` (B, T).

        `ratio` is the probability here over the one that a token was sampled with, up to the cap.
        """
        mask, device = batch.action_mask[rows], logprobs.device
        weight = scale[rows][mask].to(device)
        if math.isfinite(self.importance_cap):
            weight = weight * ratio

        # The row of each token: a sequence-level ratio is a mean over it.
        places = torch.tensor(rows, dtype=torch.long)
        sequence = places[:, None].expand(mask.shape)[mask].to(device)

        if not self.algorithm.sequence_ratio:
            sequence = None

        # One step per batch: the sampling policy is the policy, so old is new, detached.
        return surrogate(
            logprobs,
            logprobs.detach(),
            _at_tokens(credit.advantage[rows], mask).to(device),
            weight,
            self.algorithm.clip_low,
            self.algorithm.clip_high,
            sequence,
        )

    def _distill(
        self, forward: BatchForward, options: Distillation, log: dict[str, float]
    ) -> dict[str, float]:
        """Adds the gradient of the divergence from a teacher; returns what to log.

        `log` has what the surrogate logged: the loss of both is their sum.
        """
        prompts, expected = self._teacher_prompts(forward, options)
        teacher = self.model if self.teacher is None else self.teacher
        sums = distillation_loss(
            forward,
            prompts,
            options,
            weight=self.algorithm.weight(forward.batch.action_mask),
            teacher=teacher,
            importance_cap=self.importance_cap,
        )
        loss, divergence, mismatch, tokens = self.ranks.reduce_sum(*sums)

        distill_log = {
            "train/loss": log["train/loss"] + loss,
            "distill/tokens": tokens,
            "distill/overflow": float(expected - len(prompts)),
        }
        if tokens:
            distill_log["distill/divergence"] = divergence / tokens
            # A surrogate without tokens has measured none.
            if "train/logprob_mismatch" not in log:
                distill_log["train/logprob_mismatch"] = mismatch / tokens
        return distill_log

    def _teacher_prompts(
        self, forward: BatchForward, options: Distillation
    ) -> tuple[dict[int, TokenIds], int]:
        """What the teacher of each row reads first, and how many rows should have one."""
        episodes, batch = forward.episodes, forward.batch
        if options.teacher == "model":
            if self.teacher is None:
                raise ValueError(
                    "distillation from another model: got no PolicyUpdate.teacher"
                )
            prompts = {row: prompt_ids(e) for row, e in enumerate(episodes)}
            return prompts, len(episodes)

        if options.teacher == "gold":
            if self.solution is None:
                raise ValueError(
                    "distillation from the solution: got no PolicyUpdate.solution"
                )
            with stage("references") as references_stage:
                prompts = gold_prompts(
                    self.chat,
                    self.limits,
                    episodes,
                    self.solution,
                )
                references_stage.add(sum(map(len, prompts.values())))
            return prompts, len(episodes)

        # A row without a verified peer has no teacher, and is not missing one.
        peers = draw_peer_references(batch.verified, batch.group, self.rng)
        no_references = References.none(len(episodes))
        references = replace(no_references, reference=peers)
        prompts = forward.reference_prompts(references, peers)
        return prompts, int((peers >= 0).sum())


def _rows_without_credit(
    places: list[int], group: Sequence[int], reason: str
) -> list[CreditRow]:
    """Rows without credit of the episodes at `places` of a step with the groups `group`."""
    return skipped_rows(places, [group[i] for i in places], reason)


def _rows_with_gradient(advantage: Tensor) -> list[int]:
    """Rows whose advantage, (B,) or (B, T), is not 0 everywhere."""
    by_row = advantage.reshape(len(advantage), -1)
    rows = by_row.any(1).nonzero()
    return rows[:, 0].tolist()


def _at_tokens(advantage: Tensor, mask: Tensor) -> Tensor:
    """The advantage, (B,) or (B, T), at each token of the mask (B, T). -> (A,)."""
    if advantage.dim() == 1:
        advantage = advantage[:, None].expand(mask.shape)
    return advantage[mask]
