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
        n = self.episodes
        z = 1.96
        z_squared = z * z
        share = self.paid / n
        shrink = 1 + z_squared / n

        shift = z_squared / (2 * n)
        middle = (share + shift) / shrink
        variance = share * (1 - share) / n
        variance += z_squared / (4 * n * n)
        half = z * math.sqrt(variance) / shrink

        low = max(0.0, middle - half)
        high = min(1.0, middle + half)
        return low, high

    def __str__(self) -> str:
        low, high = self.interval
        share = self.paid / self.episodes
        return f"{share:.3f} ({low:.3f} to {high:.3f}, n = {self.episodes})"


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

    @property
    def choices(self) -> tuple[Sequence[int], ...]:
        """The places that were drawn from each softmax of the policy."""
        more = len(self.fragments) - 1
        return [self.target], [more], self.fragments


class _Policy:
    """Independent softmaxes: the target, how many fragments, and each fragment."""

    def __init__(self, targets: int, fragments: int, rng: np.random.Generator) -> None:
        self.logits = [
            np.zeros(targets),
            np.zeros(MAX_FRAGMENTS),
            np.zeros(fragments),
        ]
        self.rng = rng

    def act(self) -> _Action:
        """A target, and one to `MAX_FRAGMENTS` fragments, with repetitions."""
        probabilities = self.probabilities()
        # The third draw is not used, but what a seed gives depends on it.
        draws: list[int] = []
        for p in probabilities:
            place = self.rng.choice(len(p), p=p)
            draws.append(int(place))
        target, more, _ = draws

        shares = probabilities[2]
        fragments = self.rng.choice(
            len(shares),
            size=more + 1,
            p=shares,
        )
        return _Action(target, tuple(map(int, fragments)))

    def probabilities(self) -> list[Vector]:
        """Of each softmax: targets, numbers of fragments, fragments."""
        probabilities: list[Vector] = []
        for logits in self.logits:
            # Less the maximum, so that no exponential overflows.
            values = np.exp(logits - logits.max())
            probabilities.append(values / values.sum())
        return probabilities

    def push(self, actions: Sequence[_Action], advantages: Vector) -> None:
        """One step up the surrogate: the gradient of each log-probability times its advantage."""
        gradients = [np.zeros_like(logits) for logits in self.logits]
        probabilities = self.probabilities()
        for action, advantage in zip(actions, advantages, strict=True):
            for softmax, places in enumerate(action.choices):
                gradient = gradients[softmax]
                # d log softmax_i / d logits = onehot(i) - p
                for place in places:
                    gradient -= advantage * probabilities[softmax]
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
    rng = np.random.default_rng(seed)
    policy = _Policy(len(targets), len(attacks), rng)
    rewards = _Rewards(subject, targets, attacks)

    before = rewards.rate(policy, measured)
    paid = 0.0
    for _ in range(steps):
        paid += _train_on_group(policy, rewards)
    during = Rate(int(paid), steps * GROUP)

    # By the logits, before anything else is drawn.
    order = np.argsort(policy.logits[2])[::-1]
    likeliest = order[:MAX_FRAGMENTS]
    best = tuple(attacks[int(place)].name for place in likeliest)
    after = rewards.rate(policy, measured)
    return LearningResult(before, during, after, best, len(rewards.errors))


class _Rewards:
    """What the environment pays for actions; `errors` collects what it raises."""

    def __init__(
        self,
        subject: Pooled,
        targets: Sequence[Target],
        attacks: Sequence[Attack],
    ) -> None:
        self.subject = subject
        self.targets = targets
        self.attacks = attacks
        self.errors: list[Exception] = []

    def reward(self, action: _Action) -> float:
        """1.0 if the environment pays; 0.0 also if it raises or the code does not fit."""
        target = self.targets[action.target]
        codes = [self.attacks[fragment].code for fragment in action.fragments]
        try:
            turns = target.turns(codes)
        except ValueError:
            # The code does not fit there.
            return 0.0

        try:
            trace = self.subject.play(target.task, turns)
            return float(trace.passed)
        except Exception as error:  # noqa: BLE001 - an episode without a verdict
            self.errors.append(error)
            return 0.0

    def rate(self, policy: _Policy, episodes: int) -> Rate:
        """How often the policy, as it is now, is paid."""
        paid = 0.0
        for _ in range(episodes):
            action = policy.act()
            paid += self.reward(action)
        return Rate(int(paid), episodes)


def _train_on_group(policy: _Policy, rewards: _Rewards) -> float:
    """One step on a group of episodes; gives the sum of their rewards."""
    actions = [policy.act() for _ in range(GROUP)]
    values = np.array([rewards.reward(action) for action in actions])
    deviation = values.std()
    # A group of equal rewards says nothing of its actions.
    if deviation > 0:
        advantages = (values - values.mean()) / deviation
        policy.push(actions, advantages)
    return float(values.sum())
