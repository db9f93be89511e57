"""A policy that learns from nothing but the book: what does it gain?

A softmax over the book's attacks, how many of them and where they stand, trained with the group
advantages of GRPO on the environment's own reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.attack.engine import Pooled
from envs.attack.model import Attack
from envs.attack.targets import Target

__all__ = ["Learned", "Rate", "learn"]

MOST_FRAGMENTS = 3
GROUP = 8
RATE = 0.5
MEASURED = 64
"""Episodes of each measurement: where none of so many pays, the rate is below 6 % (95 %)."""


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
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = (
            z
            / (1 + z * z / n)
            * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        )
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.paid / self.episodes:.3f} ({low:.3f} to {high:.3f}, n = {self.episodes})"


@dataclass(frozen=True)
class Learned:
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
        self.logits = [np.zeros(targets), np.zeros(MOST_FRAGMENTS), np.zeros(fragments)]
        self.rng = rng

    def act(self) -> _Action:
        target, more, _ = (int(self.rng.choice(len(p), p=p)) for p in self.shares())
        picked = self.rng.choice(len(self.logits[2]), size=more + 1, p=self.shares()[2])
        return _Action(target, tuple(int(one) for one in picked))

    def shares(self) -> list[Vector]:
        return [np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in self.logits]

    def push(self, actions: Sequence[_Action], advantages: Vector) -> None:
        """One step up the surrogate: the gradient of each log-probability times its advantage."""
        steps = [np.zeros_like(one) for one in self.logits]
        for action, advantage in zip(actions, advantages, strict=True):
            drawn = ([action.target], [len(action.fragments) - 1], action.fragments)
            for step, share, places in zip(steps, self.shares(), drawn, strict=True):
                for place in places:
                    step -= advantage * share
                    step[place] += advantage
        for one, step in zip(self.logits, steps, strict=True):
            one += RATE * step / math.sqrt(len(actions))


def learn(
    subject: Pooled,
    targets: Sequence[Target],
    attacks: Sequence[Attack],
    steps: int,
    *,
    seed: int = 0,
    measured: int = MEASURED,
    told: Callable[[int, Rate], None] = lambda step, rate: None,
) -> Learned:
    """Trains on `steps` groups of episodes; `told` hears the step and the pay so far.

    Raises ValueError for no steps or no attacks.
    """
    if steps < 1 or not attacks:
        raise ValueError(
            f"got {steps} steps and {len(attacks)} attacks, wanted 1 or more of both"
        )
    policy = _Policy(len(targets), len(attacks), np.random.default_rng(seed))
    errors: list[Exception] = []

    def reward(action: _Action) -> float:
        try:
            turns = targets[action.target].turns(
                [attacks[n].code for n in action.fragments]
            )
        except ValueError:
            return 0.0
        try:
            return float(subject.play(targets[action.target].task, turns).passed)
        except Exception as error:  # noqa: BLE001 - an episode without a verdict
            errors.append(error)
            return 0.0

    def rate() -> Rate:
        return Rate(int(sum(reward(policy.act()) for _ in range(measured))), measured)

    before, paid = rate(), 0.0
    for step in range(1, steps + 1):
        actions = [policy.act() for _ in range(GROUP)]
        rewards = np.array([reward(action) for action in actions])
        paid += rewards.sum()
        if rewards.std() > 0:
            policy.push(actions, (rewards - rewards.mean()) / rewards.std())
        told(step, Rate(int(paid), step * GROUP))
    order = np.argsort(policy.logits[2])[::-1][:MOST_FRAGMENTS]
    best = tuple(attacks[int(place)].name for place in order)
    return Learned(before, Rate(int(paid), steps * GROUP), rate(), best, len(errors))
