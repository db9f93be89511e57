"""What a model says of given tokens: log-probabilities, entropy and divergence.

Episodes of one task share their opening, so it is computed once per group (`TreeLayout`), and no
tensor of all tokens by the whole vocabulary is ever alive: the output layer runs in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from scgrpo.models.attention import TreeLayout, hidden_states

__all__ = ["Scores", "divergence", "output_layer", "predicting_states", "token_scores"]

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
    lengths = [len(branch) for branch in branches]
    ids = [*prefix, *(i for branch in branches for i in branch)]
    layout = TreeLayout(len(prefix), lengths, model.device)
    states = hidden_states(model, torch.tensor(ids, device=model.device), layout)
    places, first = [], len(prefix)
    for length, mask in zip(lengths, masks, strict=True):
        before = [len(prefix) - 1, *range(first, first + length - 1)]
        places += [place for place, acts in zip(before, mask, strict=True) if acts]
        first += length
    return states[torch.tensor(places, dtype=torch.long, device=model.device)]


def output_layer(model: PreTrainedModel) -> nn.Module:
    """States to logits. Raises ValueError for a model without an output layer."""
    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(
            f"{type(model).__name__} has no output layer; wanted a causal model"
        )
    return head


class Scores(NamedTuple):
    """What a model says of tokens, fp32 nats: their log-probabilities, and the entropies. (A,)."""

    logprobs: Tensor
    entropy: Tensor


def token_scores(
    head: nn.Module, states: Tensor, targets: Tensor, *, known: Scores | None = None
) -> Scores:
    """Log-probability of each target and entropy of its distribution. (A, D), (A,) -> (A,), (A,).

    The gradient flows through the log-probabilities alone; logits are computed again in the
    backward pass, and only there where the scores are `known`.
    """
    found = known or _scores(head, states, targets)
    weights = [weight for weight in head.parameters() if weight.requires_grad]
    learned = _Logprobs.apply(found.logprobs, head, states, targets, *weights)
    return Scores(learned, found.entropy)


@torch.no_grad()
def _scores(head: nn.Module, states: Tensor, targets: Tensor) -> Scores:
    parts = [
        _scored(torch.log_softmax(logits.float(), dim=-1), ids)
        for s, t in zip(states.split(CHUNK), targets.split(CHUNK), strict=True)
        for logits, ids in zip(_blocks(head(s)), _blocks(t), strict=True)
    ]
    return Scores(*map(torch.cat, zip(*parts, strict=True)))


def _scored(log_p: Tensor, targets: Tensor) -> Scores:
    """(A, V), (A,) -> (A,), (A,)."""
    entropy = -torch.linalg.vecdot(log_p.exp(), log_p)
    return Scores(log_p.gather(1, targets[:, None])[:, 0], entropy)


class _Logprobs(torch.autograd.Function):
    """Log-probabilities that were found before, with a gradient for states and output layer."""

    @staticmethod
    def forward(
        ctx: Any,
        logprobs: Tensor,
        head: nn.Module,
        states: Tensor,
        targets: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(states, targets, *weights)
        ctx.head = head
        return logprobs.clone()

    @staticmethod
    def backward(ctx: Any, *towards: Tensor) -> tuple[Tensor | None, ...]:
        states, targets, *weights = ctx.saved_tensors
        by_states, by_weights = (
            torch.empty_like(states),
            [torch.zeros_like(w) for w in weights],
        )
        parts = (x.split(CHUNK) for x in (states, targets, towards[0], by_states))
        for s, ids, given, out in zip(*parts, strict=True):
            with torch.enable_grad():
                s = s.detach().requires_grad_()
                rows = zip(_blocks(ctx.head(s)), _blocks(ids), strict=True)
                found = [
                    torch.log_softmax(x.float(), -1).gather(1, i[:, None])
                    for x, i in rows
                ]
                logprobs = torch.cat(found)[:, 0]
            by_s, *more = torch.autograd.grad(logprobs, [s, *weights], given)
            out.copy_(by_s)
            for total, part in zip(by_weights, more, strict=True):
                total += part
        return None, None, by_states, None, *by_weights


@torch.no_grad()
def divergence(
    head: nn.Module, teacher: Tensor, student: Tensor, targets: Tensor
) -> tuple[Tensor, Scores]:
    """KL(teacher || student) over the whole vocabulary, and what the student says of the targets.

    (A, D), (A, D), (A,) -> (A,), two of (A,). fp32 nats.
    """
    parts, scores = [], []
    chunks = (x.split(CHUNK) for x in (teacher, student, targets))
    for t, s, chosen in zip(*chunks, strict=True):
        blocks = (_blocks(x) for x in (head(t), head(s), chosen))
        for one, other, ids in zip(*blocks, strict=True):
            log_teacher = torch.log_softmax(one.float(), dim=-1)
            log_student = torch.log_softmax(other.float(), dim=-1)
            scores.append(_scored(log_student, ids))
            apart = log_teacher - log_student
            kl = torch.linalg.vecdot(log_teacher.exp_(), apart)
            parts.append(kl.clamp_min(0.0))  # rounding can leave a KL of -1e-8
    return torch.cat(parts), Scores(*map(torch.cat, zip(*scores, strict=True)))


def _blocks(rows: Tensor) -> tuple[Tensor, ...]:
    """The rows in blocks; on a CPU so few that their fp32 logits stay in its cache.

    The product that makes the logits wants many rows, what follows is bound by memory: at 49,152
    words, blocks of 16 rows take a core half the time of 256.
    """
    return rows.split(CPU_ROWS if rows.device.type == "cpu" else CHUNK)
