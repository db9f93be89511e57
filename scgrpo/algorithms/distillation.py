"""Distillation on the student's own tokens: how far its distribution is from a teacher's.

With p_T and p_S the next-token distributions of teacher and student after the same tokens:

    forward = KL(p_T || p_S)            its optimum over teachers p_j of shares mu_j: sum_j mu_j p_j
    reverse = KL(p_S || p_T)            ... proportional to prod_j p_j^mu_j
    both    = (forward + reverse) / 2                                                        CHOSEN
    jsd     = (KL(p_T || m) + KL(p_S || m)) / 2, m = (p_T + p_S) / 2
    sampled = log p_S(o_t) - log p_T(o_t) on the sampled token, as a policy gradient: its
              expected gradient at t is that of reverse

The teacher never has a gradient. Sources: arXiv:2606.18810, section 4.2 (forward, reverse, both on
own verified episodes), arXiv:2601.18734 (the gold solution as privileged information), Thinking
Machines, "On-Policy Distillation" (sampled, with another model). CHOSEN: the paper is silent.
Axes: A action tokens, D the width of a state, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from scgrpo.models.packing import TokenIds, prompt_ids
from scgrpo.models.paths import logits_head
from scgrpo.runs.stages import stage

if TYPE_CHECKING:
    from scgrpo.models.forward import BatchForward

__all__ = [
    "DIVERGENCES",
    "Distillation",
    "DistillationSums",
    "Divergence",
    "Teacher",
    "distillation_loss",
    "token_divergences",
]

CHUNK = 256

Teacher = Literal["peer", "gold", "model"]
Divergence = Literal["forward", "reverse", "both", "jsd", "sampled"]


@dataclass(frozen=True)
class Distillation:
    """What teaches, and what the loss is.

    | field | meaning |
    |---|---|
    | teacher | `peer`: the policy, shown a verified episode of the group in its system prompt; |
    | | `gold`: the policy, shown the environment's solution there; `model`: another model |
    | divergence | of this module's docstring |
    | coefficient | what the divergence is multiplied with before it is added to the loss |
    """

    teacher: Teacher
    divergence: Divergence
    coefficient: float = 1.0

    def __post_init__(self) -> None:
        kinds = {"teacher": Teacher, "divergence": Divergence}
        for name, kind in kinds.items():
            value = getattr(self, name)
            choices = get_args(kind)
            if value not in choices:
                raise ValueError(
                    f"Distillation.{name} must be one of {', '.join(choices)}, "
                    f"got {value!r}"
                )
        # `not >` refuses NaN as well.
        if not self.coefficient > 0.0:
            raise ValueError(
                f"Distillation.coefficient must be positive, got {self.coefficient}"
            )


class DistillationSums(NamedTuple):
    """Sums over the action tokens that this process read.

    | field | meaning |
    |---|---|
    | loss | weighted divergence, as it was minimised |
    | divergence | nats, unweighted |
    | mismatch | nats, absolute log ratio of a token here and as it was sampled |
    | tokens | how many |
    """

    loss: float
    divergence: float
    mismatch: float
    tokens: float


def distillation_loss(
    forward: BatchForward,
    prompts: Mapping[int, TokenIds],
    options: Distillation,
    weight: Tensor,
    *,
    teacher: PreTrainedModel,
    importance_cap: float,
) -> DistillationSums:
    """Adds the gradient of the divergence from `teacher`, which reads row b after `prompts[b]`.

    `weight` (B, T) is the loss's normalisation. On tokens that an engine sampled, `sampled` is
    scaled by the probability here over the engine's, up to `importance_cap`; infinite: no scaling.
    """
    is_capped = options.divergence == "sampled" and math.isfinite(importance_cap)
    teacher_head = logits_head(teacher)
    sums = DistillationSums(0.0, 0.0, 0.0, 0.0)

    # Rows that share both prompts go together: the key is one prompt after the other.
    student_prompts: dict[int, TokenIds] = {}
    keys: dict[int, TokenIds] = {}
    for row, prompt in prompts.items():
        student_prompts[row] = prompt_ids(forward.episodes[row])
        keys[row] = student_prompts[row] + prompt

    for key, rows in forward.packs(keys):
        # A rank without rows in this pack still takes part in the sharded model's passes.
        student_prompt = student_prompts[rows[0]] if rows else key
        teacher_prompt = key[len(student_prompt) :]
        teacher_tokens = forward.pack_tokens(teacher_prompt, rows)
        with torch.no_grad(), stage("teacher_forward", teacher_tokens):
            teacher_states = forward.states(rows, teacher_prompt, teacher)
        # Both output layers in one.
        with stage("student_forward", forward.pack_tokens(student_prompt, rows)):
            student_states = forward.states(rows, student_prompt)
            divergence, logprobs = token_divergences(
                options.divergence,
                student=(forward.head, student_states),
                teacher=(teacher_head, teacher_states),
                targets=forward.targets(rows),
            )

        mismatch = logprobs - forward.old_logprobs(rows)
        mask = forward.batch.action_mask[rows]
        scale = weight[rows][mask] * options.coefficient
        scale = scale.to(divergence.device)
        if is_capped:
            ratio = mismatch.exp().clamp(max=importance_cap)
            scale = scale * ratio
        loss = (scale * divergence).sum()
        with stage("backward", len(divergence)):
            loss.backward()
        sums = _add(sums, loss, divergence.detach(), mismatch)
    return sums


def _add(
    sums: DistillationSums, loss: Tensor, divergence: Tensor, mismatch: Tensor
) -> DistillationSums:
    """`sums` with those of a pack whose tokens have `divergence` and `mismatch` (A,)."""
    return DistillationSums(
        loss=sums.loss + loss.item(),
        divergence=sums.divergence + divergence.sum().item(),
        mismatch=sums.mismatch + mismatch.abs().sum().item(),
        tokens=sums.tokens + len(divergence),
    )


def token_divergences(
    kind: Divergence,
    student: tuple[nn.Module, Tensor],
    teacher: tuple[nn.Module, Tensor],
    targets: Tensor,
) -> tuple[Tensor, Tensor]:
    """Divergence at each token, and the student's log-probability of it. -> (A,), (A,).

    `student` and `teacher` are an output layer and states (A, D); `targets` (A,) the sampled
    tokens. fp32 nats. The gradient flows through the student's side of the divergence alone; logits
    are computed again in the backward pass. Raises ValueError for vocabularies of different size.
    """
    student_head, student_states = student
    teacher_head, teacher_states = teacher
    values: list[Tensor] = []
    logprobs: list[Tensor] = []
    chunks = zip(
        student_states.split(CHUNK),
        teacher_states.split(CHUNK),
        targets.split(CHUNK),
        strict=True,
    )
    for s, t, ids in chunks:
        # Checkpointed, so that no logits (A, V) of all tokens are held for the backward pass.
        chunk_values, chunk_logprobs = checkpoint(
            _chunk,
            kind,
            student_head,
            s,
            teacher_head,
            t,
            ids,
            use_reentrant=False,
        )
        values.append(chunk_values)
        logprobs.append(chunk_logprobs)
    return torch.cat(values), torch.cat(logprobs)


def _chunk(
    kind: Divergence,
    head: nn.Module,
    s: Tensor,
    teacher_head: nn.Module,
    t: Tensor,
    ids: Tensor,
) -> tuple[Tensor, Tensor]:
    log_s = head(s).float().log_softmax(-1)
    with torch.no_grad():
        log_t = teacher_head(t).float().log_softmax(-1)
    if log_s.shape != log_t.shape:
        raise ValueError(
            f"the teacher's output layer has {log_t.shape[-1]} tokens and the student's "
            f"{log_s.shape[-1]}; choose a teacher of the same family"
        )
    logprobs = log_s.detach().gather(1, ids[:, None])[:, 0]
    return DIVERGENCES[kind](log_s, log_t, ids), logprobs


def _forward_kl(log_s: Tensor, log_t: Tensor, ids: Tensor) -> Tensor:
    log_ratio = log_t - log_s
    return (log_t.exp() * log_ratio).sum(-1)


def _reverse_kl(log_s: Tensor, log_t: Tensor, ids: Tensor) -> Tensor:
    log_ratio = log_s - log_t
    return (log_s.exp() * log_ratio).sum(-1)


def _mean_kl(log_s: Tensor, log_t: Tensor, ids: Tensor) -> Tensor:
    forward = _forward_kl(log_s, log_t, ids)
    reverse = _reverse_kl(log_s, log_t, ids)
    return (forward + reverse) / 2


def _jensen_shannon(log_s: Tensor, log_t: Tensor, ids: Tensor) -> Tensor:
    middle = torch.logaddexp(log_s, log_t) - math.log(2.0)
    student = _reverse_kl(log_s, middle, ids)
    teacher = _forward_kl(middle, log_t, ids)
    return (student + teacher) / 2


def _log_ratio(log_s: Tensor, log_t: Tensor, ids: Tensor) -> Tensor:
    places = ids[:, None]
    student = log_s.gather(1, places)[:, 0]
    teacher = log_t.gather(1, places)[:, 0]
    gap = (student - teacher).detach()
    # Its value is the gap, its gradient the gap times that of log p_S: the advantage is -gap.
    one = (student - student.detach()).exp()
    return gap * one


DIVERGENCES: dict[Divergence, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "forward": _forward_kl,
    "reverse": _reverse_kl,
    "both": _mean_kl,
    "jsd": _jensen_shannon,
    "sampled": _log_ratio,
}
"""Each takes log p_S and log p_T (A, V) and the sampled tokens (A,), and returns (A,) nats."""
