"""A policy that learns from nothing but the book: what does it gain?

A softmax over the book's attacks, how many of them and where they stand, trained with the group
advantages of GRPO on the environment's own reward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.attack.engine import Pooled
from envs.attack.model import Attack
from envs.attack.targets import Target

__all__ = ["LearningResult", "Rate", "learn"]

MAX_FRAGMENTS = 3
GROUP = 8
RATE = 0.5
MEASURED = 64
"""Episodes of each measurement: if none of them pays, the rate is below 6 % (95 %)."""


@dataclass(frozen=True)
class Rate:
    """How often a policy was paid; `low` and `high` are Wilson's interval of 95 %."""

    paid: int
    episodes: int

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high."""
        n, z = self.episodes, 1.96
        share = self.paid / n
        shrink = 1 + z * z / n
        middle = (share + z * z / (2 * n)) / shrink
        variance = share * (1 - share) / n + z * z / (4 * n * n)
        half = z * math.sqrt(variance) / shrink
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.paid / self.episodes:.3f} ({low:.3f} to {high:.3f}, n = {self.episodes})"


@dataclass(frozen=True)
class LearningResult:
    """What training on the reward gave.

    | field | meaning |
    |---|---|
    | before, after | how often the first and the last policy were paid |
    | during | of the training episodes |
    | best | the attacks that the last policy takes most often, the likeliest first |
    | errors | episodes without a verdict, which count as unpaid |
    """

    before: Rate
    during: Rate
    after: Rate
    best: tuple[str, ...]
    errors: int


Vector = NDArray[np.float64]


@dataclass(frozen=True)
class _Action:
    target: int
    fragments: tuple[int, ...]


class _Policy:
    """Independent softmaxes: the target, how many fragments, and each fragment."""

    def __init__(self, targets: int, fragments: int, rng: np.random.Generator) -> None:
        self.logits = [np.zeros(targets), np.zeros(MAX_FRAGMENTS), np.zeros(fragments)]
        self.rng = rng

    def act(self) -> _Action:
        """A target, and one to `MAX_FRAGMENTS` fragments, with repetitions."""
        probabilities = self.probabilities()
        # The third draw is not used, but what a seed gives depends on it.
        draws = [int(self.rng.choice(len(p), p=p)) for p in probabilities]
        target, more = draws[0], draws[1]
        shares = probabilities[2]
        fragments = self.rng.choice(len(shares), size=more + 1, p=shares)
        return _Action(target, tuple(map(int, fragments)))

    def probabilities(self) -> list[Vector]:
        """Of each softmax: targets, numbers of fragments, fragments."""
        exponentials = [np.exp(logits - logits.max()) for logits in self.logits]
        return [values / values.sum() for values in exponentials]

    def push(self, actions: Sequence[_Action], advantages: Vector) -> None:
        """One step up the surrogate: the gradient of each log-probability times its advantage."""
        gradients = [np.zeros_like(logits) for logits in self.logits]
        probabilities = self.probabilities()
        for action, advantage in zip(actions, advantages, strict=True):
            choices = ([action.target], [len(action.fragments) - 1], action.fragments)
            for gradient, p, places in zip(
                gradients, probabilities, choices, strict=True
            ):
                # d log softmax_i / d logits = onehot(i) - p
                for place in places:
                    gradient -= advantage * p
                    gradient[place] += advantage

        norm = math.sqrt(len(actions))
        for logits, gradient in zip(self.logits, gradients, strict=True):
            logits += RATE * gradient / norm


def learn(
    subject: Pooled,
    targets: Sequence[Target],
    attacks: Sequence[Attack],
    steps: int,
    *,
    seed: int = 0,
    measured: int = MEASURED,
) -> LearningResult:
    """Trains on `steps` groups of episodes, and measures before and after on `measured` episodes.

    Raises ValueError for no steps or no attacks.
    """
    if steps < 1 or not attacks:
        raise ValueError(
            f"got {steps} steps and {len(attacks)} attacks, expected 1 or more of both"
        )
    policy = _Policy(len(targets), len(attacks), np.random.default_rng(seed))
    errors: list[Exception] = []

    def reward(action: _Action) -> float:
        """1.0 if the environment pays; 0.0 also if it raises or the code does not fit."""
        target = targets[action.target]
        codes = [attacks[fragment].code for fragment in action.fragments]
        try:
            turns = target.turns(codes)
        except ValueError:
            # The code does not fit there.
            return 0.0
        try:
            return float(subject.play(target.task, turns).passed)
        except Exception as error:  # noqa: BLE001 - an episode without a verdict
            errors.append(error)
            return 0.0

    def rate() -> Rate:
        """How often the policy, as it is now, is paid."""
        rewards = [reward(policy.act()) for _ in range(measured)]
        return Rate(int(sum(rewards)), measured)

    before, paid = rate(), 0.0
    for _ in range(steps):
        actions = [policy.act() for _ in range(GROUP)]
        rewards = np.array([reward(action) for action in actions])
        paid += rewards.sum()
        deviation = rewards.std()
        # A group of equal rewards says nothing of its actions.
        if deviation > 0:
            advantages = (rewards - rewards.mean()) / deviation
            policy.push(actions, advantages)

    order = np.argsort(policy.logits[2])[::-1][:MAX_FRAGMENTS]
    best = tuple(attacks[int(place)].name for place in order)
    during, after = Rate(int(paid), steps * GROUP), rate()
    return LearningResult(before, during, after, best, len(errors))
