"""What a model says of given tokens: log-probabilities, entropy and divergence.

No tensor of all tokens by the whole vocabulary is ever alive: the output layer runs in chunks.

Axes: A action tokens, D the width of a state, V the words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from scgrpo.models.paths import choose_path

__all__ = [
    "CHUNK",
    "Scores",
    "concatenate",
    "divergence",
    "predicting_states",
    "token_scores",
]

CHUNK = 256
CPU_ROWS = 16


def predicting_states(
    model: PreTrainedModel,
    prefix: Sequence[int],
    branches: Sequence[Sequence[int]],
    masks: Sequence[Sequence[bool]],
) -> Tensor:
    """Hidden states that predict the masked tokens of each branch. -> (A, D).

    A counts True entries of `masks`, branch after branch. Each branch follows the same prefix; the
    state of the prefix's last token predicts the first token of every branch.
    """
    decoder = choose_path(model).decoder
    return decoder.predicting_states(model, prefix, branches, masks)


class Scores(NamedTuple):
    """What a model says of tokens, fp32 nats: their log-probabilities, and the entropies. (A,)."""

    logprobs: Tensor
    entropy: Tensor


def token_scores(
    head: nn.Module, states: Tensor, targets: Tensor, *, known: Scores | None = None
) -> Scores:
    """Log-probability of each target and entropy of its distribution. (A, D), (A,) -> (A,), (A,).

    The gradient flows through the log-probabilities alone; logits are computed again in the
    backward pass, and only there if the scores are `known`.
    """
    scores = known or _scores(head, states, targets)
    weights = [weight for weight in head.parameters() if weight.requires_grad]
    logprobs = _Logprobs.apply(scores.logprobs, head, states, targets, *weights)
    return Scores(logprobs, scores.entropy)


@torch.no_grad()
def _scores(head: nn.Module, states: Tensor, targets: Tensor) -> Scores:
    """Scores without a gradient. (A, D), (A,) -> (A,), (A,)."""
    parts: list[Scores] = []
    chunks = zip(states.split(CHUNK), targets.split(CHUNK), strict=True)
    for chunk_states, chunk_targets in chunks:
        blocks = zip(
            _blocks(head(chunk_states)),
            _blocks(chunk_targets),
            strict=True,
        )
        for logits, ids in blocks:
            # Without a local: a block's log-probabilities are freed before the next one's.
            scores = _score_targets(_log_softmax(logits), ids)
            parts.append(scores)
    return concatenate(parts)


def _log_softmax(logits: Tensor) -> Tensor:
    """In fp32, over the vocabulary."""
    return torch.log_softmax(logits.float(), dim=-1)


def _pick(log_p: Tensor, targets: Tensor) -> Tensor:
    """Each row's value at its target. (A, V), (A,) -> (A,)."""
    index = targets.unsqueeze(1)
    return log_p.gather(1, index).squeeze(1)


def _score_targets(log_p: Tensor, targets: Tensor) -> Scores:
    """(A, V), (A,) -> (A,), (A,)."""
    negative_entropy = torch.linalg.vecdot(log_p.exp(), log_p)
    return Scores(
        logprobs=_pick(log_p, targets),
        entropy=-negative_entropy,
    )


def concatenate(parts: Sequence[Scores]) -> Scores:
    """The scores of all parts as one, in their order."""
    logprobs = torch.cat([part.logprobs for part in parts])
    entropy = torch.cat([part.entropy for part in parts])
    return Scores(logprobs, entropy)


class _Logprobs(torch.autograd.Function):
    """Log-probabilities computed earlier, with a gradient for states and output layer.

    Logits are computed again in `backward`, chunk by chunk, so none are kept between the passes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logprobs: Tensor,
        head: nn.Module,
        states: Tensor,
        targets: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        """The given log-probabilities, as an output that has a gradient."""
        ctx.save_for_backward(states, targets, *weights)
        ctx.head = head
        return logprobs.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients in the order of `forward`'s arguments."""
        states, targets, *weights = ctx.saved_tensors
        states_grad = torch.empty_like(states)
        # In fp32: a sum of many chunks in bf16 would be rounded at each.
        weight_grads = [
            torch.zeros_like(weight, dtype=torch.float32) for weight in weights
        ]

        chunks = zip(
            states.split(CHUNK),
            targets.split(CHUNK),
            grads[0].split(CHUNK),
            states_grad.split(CHUNK),
            strict=True,
        )
        for chunk, ids, grad, chunk_grad in chunks:
            with torch.enable_grad():
                leaf = chunk.detach().requires_grad_()
                # No local for the logits: they are freed before the gradient is computed.
                logprobs = _target_logprobs(ctx.head(leaf), ids)
            inputs = [leaf, *weights]
            by_leaf, *by_weights = torch.autograd.grad(logprobs, inputs, grad)

            chunk_grad.copy_(by_leaf)  # a view of `states_grad`
            for total, by_weight in zip(weight_grads, by_weights, strict=True):
                total += by_weight

        # Rounded once, one after the other.
        for i, weight in enumerate(weights):
            weight_grads[i] = weight_grads[i].to(weight.dtype)
        return None, None, states_grad, None, *weight_grads


def _target_logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    """(A, V), (A,) -> (A,), differentiable."""
    parts: list[Tensor] = []
    blocks = zip(_blocks(logits), _blocks(targets), strict=True)
    for block, ids in blocks:
        log_p = _log_softmax(block)
        parts.append(_pick(log_p, ids))
    return torch.cat(parts)


@torch.no_grad()
def divergence(
    head: nn.Module, teacher: Tensor, student: Tensor, targets: Tensor
) -> tuple[Tensor, Scores]:
    """KL(teacher || student) over the whole vocabulary, and what the student says of the targets.

    (A, D), (A, D), (A,) -> (A,), two of (A,). fp32 nats.
    """
    parts: list[Tensor] = []
    scores: list[Scores] = []
    chunks = zip(
        teacher.split(CHUNK),
        student.split(CHUNK),
        targets.split(CHUNK),
        strict=True,
    )
    for teacher_states, student_states, chunk_targets in chunks:
        blocks = zip(
            _blocks(head(teacher_states)),
            _blocks(head(student_states)),
            _blocks(chunk_targets),
            strict=True,
        )
        for teacher_logits, student_logits, ids in blocks:
            log_teacher = _log_softmax(teacher_logits)
            log_student = _log_softmax(student_logits)
            scores.append(_score_targets(log_student, ids))

            # The difference first: `exp_` overwrites the teacher's log-probabilities.
            gap = log_teacher - log_student
            teacher_p = log_teacher.exp_()
            kl = torch.linalg.vecdot(teacher_p, gap)
            parts.append(kl.clamp_min(0.0))  # rounding can leave a KL of -1e-8
    return torch.cat(parts), concatenate(scores)


def _blocks(rows: Tensor) -> tuple[Tensor, ...]:
    """The rows in blocks; on a CPU few enough that their fp32 logits stay in its cache.

    The product that makes the logits gains from many rows; what follows is bound by memory: at
    49,152 words, blocks of 16 rows take a core half the time of 256.
    """
    return rows.split(CPU_ROWS if rows.device.type == "cpu" else CHUNK)
