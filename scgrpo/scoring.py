"""What a model says of given tokens: log-probabilities, entropy and divergence.

Episodes of one task share their opening, so it is computed once per group (`TreeLayout`), and no
tensor of all tokens by the whole vocabulary is ever alive: the output layer runs in chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from scgrpo.attention import TreeLayout, hidden_states

__all__ = ["divergence", "output_layer", "predicting_states", "token_scores"]

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
        raise ValueError(f"{type(model).__name__} has no output layer; wanted a causal model")
    return head


def token_scores(head: nn.Module, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of its distribution. (A, D), (A,) -> (A,), (A,).

    fp32 nats. The gradient flows through the log-probabilities alone; logits are computed again in
    the backward pass.
    """
    chunks = [
        checkpoint(_scores, head, s, t, use_reentrant=False)
        for s, t in zip(states.split(CHUNK), targets.split(CHUNK), strict=True)
    ]
    logprobs, entropy = zip(*chunks, strict=True)
    return torch.cat(logprobs), torch.cat(entropy)


def _scores(head: nn.Module, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    found, entropies = [], []
    for logits, ids in zip(_blocks(head(states)), _blocks(targets), strict=True):
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        with torch.no_grad():
            entropies.append(-torch.linalg.vecdot(logprobs.exp(), logprobs))
        found.append(logprobs.gather(1, ids[:, None])[:, 0])
    return torch.cat(found), torch.cat(entropies)


@torch.no_grad()
def divergence(head: nn.Module, teacher: Tensor, student: Tensor) -> Tensor:
    """KL(teacher || student) over the whole vocabulary, fp32 nats. (A, D), (A, D) -> (A,)."""
    parts = []
    for t, s in zip(teacher.split(CHUNK), student.split(CHUNK), strict=True):
        for one, other in zip(_blocks(head(t)), _blocks(head(s)), strict=True):
            log_teacher = torch.log_softmax(one.float(), dim=-1)
            log_student = torch.log_softmax(other.float(), dim=-1)
            apart = log_teacher - log_student
            kl = torch.linalg.vecdot(log_teacher.exp_(), apart)
            parts.append(kl.clamp_min(0.0))  # rounding can leave a KL of -1e-8
    return torch.cat(parts)


def _blocks(rows: Tensor) -> tuple[Tensor, ...]:
    """The rows in blocks; on a CPU so few that their fp32 logits stay in its cache.

    The product that makes the logits wants many rows, what follows is bound by memory: at 49,152
    words, blocks of 16 rows take a core half the time of 256.
    """
    return rows.split(CPU_ROWS if rows.device.type == "cpu" else CHUNK)
