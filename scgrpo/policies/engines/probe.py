"""Whether an engine samples what the trainer believes: probes of its probabilities and draws.

A digest knows which weights an engine holds, not what it makes of them. Log-probabilities of a
fixed text show another adapter, number type or architecture. Penalties and truncation do not show
in them, since vLLM computes them before either; the draws themselves do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sandboxes.commands import CommandError
from scgrpo.models.paths import logits_head
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.policies.engines.base import Engine

__all__ = [
    "TEXT",
    "Draws",
    "OtherDistributionError",
    "check_draws",
    "check_scores",
    "drawn_turns",
    "draws",
    "prompt_scores",
]

TEXT = (
    "one two three four, one two three four, one two three four. To solve the problem, call the "
    "function with the arguments that the problem names, read what it returns, and call it again."
)
LIMIT_NATS = 0.1
"""Mean difference of a text's log-probabilities; bfloat16 alone makes 0.01 to 0.03."""
LIMIT_SIGMAS = 6.0
TURNS, TURN_TOKENS = 16, 32
ROWS = 64


class OtherDistributionError(CommandError):
    """The engine samples from another distribution than the trainer's; the message says how."""


class Draws(NamedTuple):
    """How far draws are from a distribution, each as a z-score.

    | field | meaning |
    |---|---|
    | repeats | how many tokens stood before, in the prompt or in the turn |
    | surprise | the sum of the log-probabilities |
    """

    repeats: float
    surprise: float


@torch.no_grad()
def prompt_scores(model: PreTrainedModel, ids: Sequence[int]) -> list[float]:
    """Log-probabilities of all ids but the first, nats. All ranks of a sharded model must call."""
    states = predicting_states(model, ids[:1], [ids[1:]], [[True] * (len(ids) - 1)])
    targets = torch.tensor(ids[1:], device=states.device)
    return token_scores(logits_head(model), states, targets).logprobs.tolist()


def check_scores(
    engine: Engine, ids: Sequence[int], expected: Sequence[float], *, adapter: str = ""
) -> None:
    """Raises OtherDistributionError if a replica's log-probabilities of the ids are others."""
    for replica, scores in enumerate(engine.score(ids, adapter=adapter)):
        gaps = [abs(a - b) for a, b in zip(scores, expected, strict=True)]
        gap = math.fsum(gaps) / len(gaps)
        # `not <=` refuses NaN as well.
        if not gap <= LIMIT_NATS:
            raise OtherDistributionError(
                f"{engine.name}, replica {replica}: its log-probabilities of a fixed text differ "
                f"from the trainer's by {gap:.3f} nats a token, expected at most {LIMIT_NATS}: "
                "does it serve this model, unquantised, with this adapter?"
            )


def drawn_turns(
    engine: Engine, ids: Sequence[int], *, salt: str, adapter: str = ""
) -> list[list[int]]:
    """The ids of turns behind `ids` to judge the engine's draws by."""

    def one(seed: int) -> list[int]:
        turn = engine.sample(
            ids,
            room=TURN_TOKENS,
            seed=seed,
            salt=salt,
            stop_ids=(),
            stop_text="",
            adapter=adapter,
        )
        return turn.ids

    with ThreadPoolExecutor(TURNS, "probe") as threads:
        return list(threads.map(one, range(TURNS)))


@torch.no_grad()
def draws(
    model: PreTrainedModel, ids: Sequence[int], turns: Sequence[Sequence[int]]
) -> Draws:
    """How far the turns behind `ids` are from the model's distribution.

    Each token's indicator less its probability is a martingale difference, so that both sums have
    mean 0 and the variance that is added up here. All ranks of a sharded model must call it.
    """
    masks = [[True] * len(turn) for turn in turns]
    states = predicting_states(model, ids, turns, masks)  # (A, D)
    head = logits_head(model)
    places = [(turn, place) for turn in turns for place in range(len(turn))]

    sums = torch.zeros(4, dtype=torch.float64)
    for first in range(0, len(places), ROWS):
        chunk = places[first : first + ROWS]
        logprobs = head(states[first : first + ROWS]).float().log_softmax(-1)
        was_seen = torch.zeros_like(logprobs, dtype=torch.bool)
        for row, (turn, place) in enumerate(chunk):
            was_seen[row, [*ids, *turn[:place]]] = True
        targets = torch.tensor([turn[place] for turn, place in chunk])
        targets = targets.to(logprobs.device)
        sums += _moments(logprobs, was_seen, targets)
    repeats, repeats_variance, surprise, surprise_variance = sums.tolist()
    return Draws(_z(repeats, repeats_variance), _z(surprise, surprise_variance))


def check_draws(name: str, draws: Draws) -> None:
    """Raises OtherDistributionError for an engine's draws that are not the trainer's."""
    if abs(draws.repeats) <= LIMIT_SIGMAS and abs(draws.surprise) <= LIMIT_SIGMAS:
        return
    raise OtherDistributionError(
        f"{name} samples from another distribution than the trainer's: tokens that stood "
        f"before come {draws.repeats:+.0f} standard deviations off, log-probabilities are "
        f"{draws.surprise:+.0f} off, expected at most {LIMIT_SIGMAS:.0f}; start it with "
        "--generation-config vllm, and without penalties or truncation"
    )


def _moments(logprobs: Tensor, was_seen: Tensor, targets: Tensor) -> Tensor:
    """Sums over rows, (4,): repeats less expected, variance; surprise less expected, variance."""
    probabilities = logprobs.exp()
    chance = (probabilities * was_seen).sum(-1)
    repeated = was_seen.gather(1, targets[:, None])[:, 0].to(chance)
    # A token of probability 0 would make 0 * -inf.
    finite = logprobs.clamp(min=-1e4)
    mean = (probabilities * finite).sum(-1)
    square = (probabilities * finite.square()).sum(-1)
    surprise = finite.gather(1, targets[:, None])[:, 0]
    sums = [
        (repeated - chance).sum(),
        (chance * (1 - chance)).sum(),
        (surprise - mean).sum(),
        (square - mean.square()).clamp(min=0).sum(),
    ]
    return torch.stack(sums).double().cpu()


def _z(total: float, variance: float) -> float:
    # Of what was certain anyway a difference is rounding.
    return total / math.sqrt(variance + 1.0)
