"""From groups of verified episodes to new weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo.algorithms.advantages import in_uniform_group
from scgrpo.algorithms.distillation import Distillation, distillation_loss
from scgrpo.algorithms.presets import Algorithm
from scgrpo.batch import collate, mini_batches, rows_of
from scgrpo.credit.divergence import step_log
from scgrpo.credit.options import ReferenceLimits
from scgrpo.credit.record import CreditRow
from scgrpo.credit.references import References, draw_peer_references
from scgrpo.credit.rows import credit_rows, skipped_rows
from scgrpo.credit.rule import Credit
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.gradient import FixedLogprobs, PolicyGradient, rows_with_gradient
from scgrpo.models.forward import BatchForward
from scgrpo.models.packing import TokenIds, prompt_ids
from scgrpo.policies.chat import Chat
from scgrpo.runs.stages import stage
from scgrpo.teachers.prompt_ids import Solution, gold_prompts
from scgrpo.training.memory import release_memory
from scgrpo.training.optimizer import MasterAdamW

__all__ = ["PolicyUpdate", "Update"]


@dataclass(frozen=True)
class Update:
    """What a step's optimizer steps did.

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
    | updates_per_batch | passes over the episodes |
    | mini_batches | of a pass over the episodes, of whole groups, with an optimizer step each |
    | kl_coefficient | what the KL from the reference model is multiplied with; 0: no such term |
    | reference | the frozen model of the KL term; None: `model` without its adapters |
    | rng | draws reference episodes |
    | episode_tokens | the token budget of an episode, which an overlong penalty looks at |
    | importance_cap | a token's weight is scaled by its probability here over the one that it was |
    | | sampled with, up to this; infinite where the same weights sampled it: no scaling |
    | writing_weights | a context around the optimizer's steps, for a policy that goes on sampling |
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
    updates_per_batch: int = 1
    mini_batches: int = 1
    kl_coefficient: float = 0.0
    reference: PreTrainedModel | None = None
    episode_tokens: int = 1024
    importance_cap: float = math.inf
    writing_weights: Callable[[], AbstractContextManager[None]] = nullcontext
    teacher: PreTrainedModel | None = None
    solution: Solution | None = None
    ranks: Ranks = SINGLE_PROCESS

    def update(
        self, episodes: Sequence[Episode], group: Sequence[int], *, lr: float
    ) -> Update:
        """The optimizer steps on the episodes that have a verdict.

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

        steps_log, entropy = self._optimizer_steps(forward, credit, lr)
        log |= steps_log
        places = [chosen[play] for play in rows.play]
        records = credit_rows(places, forward.batch, credit, entropy)
        # A record is about an episode's first conversation.
        return Update(log, skipped + records[: len(chosen)])

    def _optimizer_steps(
        self, forward: BatchForward, credit: Credit, lr: float
    ) -> tuple[dict[str, float], dict[int, Tensor]]:
        """Learns from the batch: `updates_per_batch` times, part by part.

        Returns what to log, and the entropy (|o_b|,) in nats of each row b, from when it was first
        read for a gradient.
        """
        parts = self._parts_with_gradient(forward, credit)
        teacher_prompts = None
        if self.algorithm.distill is not None:
            teacher_prompts = self._teacher_prompts(forward, self.algorithm.distill)
        fixed = self._fixed_logprobs(forward, credit, parts)
        gradients = PolicyGradient(
            self.algorithm,
            self.optimizer,
            self.importance_cap,
            self.kl_coefficient,
            self.ranks,
        )
        # What the passes so far have freed lies elsewhere than the gradient will.
        release_memory()

        logs: list[dict[str, float]] = []
        entropy: dict[int, Tensor] = {}
        with ExitStack() as writing:
            for number in range(self.updates_per_batch * len(parts)):
                part = parts[number % len(parts)]
                # The first update's policy is the old one, to the bit.
                fixed_in_update = fixed if number else replace(fixed, old=None)
                gradient = gradients.add(forward, credit, part, fixed_in_update)
                log = gradient.log
                entropy = gradient.entropy | entropy
                if number == 0 and fixed.old is not None:
                    for row, logprobs in gradient.logprobs.items():
                        mask = forward.batch.action_mask[row]
                        fixed.old[row, mask] = logprobs
                if teacher_prompts is not None:
                    log |= self._distill(forward, part, *teacher_prompts, log)

                if number == 0:
                    # A policy that samples meanwhile never does so from half of a step.
                    writing.enter_context(self.writing_weights())
                with stage("optimizer"):
                    norm = self.optimizer.step(lr=lr, max_norm=self.max_grad_norm)
                forward.weights_changed()
                log["train/gradient_norm"] = norm
                # The optimizer leaves the weights as they are if the norm is not finite.
                log["train/skipped"] = float(not math.isfinite(norm))
                logs.append(log)
        return _mean_log(logs) | {"train/lr": lr}, entropy

    def _parts_with_gradient(
        self, forward: BatchForward, credit: Credit
    ) -> list[list[int]]:
        """The rows of each optimizer step of a pass over the batch."""
        if self.kl_coefficient or self.algorithm.distill is not None:
            return forward.parts
        learning = set(rows_with_gradient(credit.advantage))
        parts = [part for part in forward.parts if not learning.isdisjoint(part)]
        # A batch without any gradient takes one step, with the optimizer's momentum.
        return parts or forward.parts[:1]

    def _fixed_logprobs(
        self, forward: BatchForward, credit: Credit, parts: list[list[int]]
    ) -> FixedLogprobs:
        """Log-probabilities that stay the same over the step's updates.

        The first update reads its own part's old log-probabilities itself.
        """
        old = reference = None
        if self.kl_coefficient:
            rows = [row for part in parts for row in part]
            reference = self._reference_logprobs(forward, rows)
        if self.updates_per_batch * len(parts) > 1:
            later = {row for part in parts[1:] for row in part}
            if not self.kl_coefficient:
                later &= set(rows_with_gradient(credit.advantage))
            old = torch.zeros(forward.batch.action_mask.shape)
            if later:
                old = forward.logprobs(sorted(later))
        return FixedLogprobs(old, reference)

    def _reference_logprobs(self, forward: BatchForward, rows: list[int]) -> Tensor:
        if self.reference is not None:
            return forward.logprobs(rows, model=self.reference)
        if not isinstance(self.model, PeftModel):
            raise ValueError(
                f"kl_coefficient={self.kl_coefficient}: got no PolicyUpdate.reference, and a model "
                "without adapters to switch off"
            )
        with self.model.disable_adapter():
            return forward.logprobs(rows, model=self.model)

    def forward(
        self, episodes: Sequence[Episode], group: Sequence[int]
    ) -> BatchForward:
        """Episodes, all with a verdict, as the model is to read them."""
        batch = collate(episodes, group, pad_id=0)
        mixed = ~in_uniform_group(batch.rewards, batch.group)
        parts = mini_batches(group, mixed.tolist(), self.mini_batches)
        return BatchForward(
            self.model,
            episodes,
            batch,
            chat=self.chat,
            limits=self.limits,
            max_tokens_per_pack=self.max_tokens_per_pack,
            # A graph holds rows that are learned from at once.
            cached_forward_tokens=self.cached_forward_tokens if len(parts) == 1 else 0,
            parts=parts,
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

    def _distill(
        self,
        forward: BatchForward,
        part: list[int],
        prompts: Mapping[int, TokenIds],
        expected: int,
        log: Mapping[str, float],
    ) -> dict[str, float]:
        """Adds the gradient of the rows' divergence from a teacher; returns what to log.

        `prompts` and `expected` are `_teacher_prompts`'. `log` has what the surrogate logged: the
        loss of both is their sum.
        """
        options = self.algorithm.distill
        assert options is not None
        teacher = self.model if self.teacher is None else self.teacher
        mask = forward.batch.action_mask
        weight = torch.zeros(mask.shape)
        weight[part] = self.algorithm.weight(mask[part])
        sums = distillation_loss(
            forward,
            {row: prompts[row] for row in part if row in prompts},
            options,
            weight=weight,
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


def _mean_log(logs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What to log of several optimizer steps: means, tokens in all, and whether one was skipped."""
    values: dict[str, list[float]] = {}
    for log in logs:
        for name, value in log.items():
            values.setdefault(name, []).append(value)

    merged: dict[str, float] = {}
    for name, of_steps in values.items():
        if name.endswith("/tokens"):
            merged[name] = sum(of_steps)
        elif name == "train/skipped":
            merged[name] = max(of_steps)
        else:
            merged[name] = sum(of_steps) / len(of_steps)
    if len(logs) > 1:
        merged["train/updates"] = float(len(logs))
    return merged
