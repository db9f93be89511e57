"""A training step to be timed, always from the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks import clocks
from envs.types import Episode, Stop, Task, Verdict
from scgrpo.algorithms.presets import Algorithm
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.update import PolicyUpdate

__all__ = ["Step", "with_both_outcomes"]


@dataclass
class Step:
    """One algorithm's step on one model: episodes are played, then learned from.

    | field | meaning |
    |---|---|
    | tasks, group | each task is played `group` times |
    | episode_tokens | the token budget of an episode |
    | recorded | the episodes whose update is timed, so that several algorithms get the same |
    """

    algorithm: Algorithm
    policy: HFPolicy
    play: Rollouts
    tasks: Sequence[Task]
    group: int
    episode_tokens: int
    optimizer: MasterAdamW
    recorded: Sequence[Episode] = ()

    def rollout(self, seed: int = 0) -> list[Episode]:
        """Plays a group of episodes of each task."""
        return self.play(self.policy, self.tasks, group=self.group, seed=seed)

    def update(self) -> dict[str, float]:
        """Learns from the recorded episodes, at a learning rate of 0; returns what it logs."""
        trainer = PolicyUpdate(
            model=self.policy.model,
            chat=self.policy.chat,
            algorithm=self.algorithm,
            optimizer=self.optimizer,
            rng=np.random.default_rng(0),
            episode_tokens=self.episode_tokens,
        )
        groups = [i // self.group for i in range(len(self.recorded))]
        update = trainer.update(self.recorded, groups, lr=0.0)
        self.policy.sync_weights()
        return update.log

    def seconds(self) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of the rollout and of the update: on the wall, and of this process's cores."""
        begun = clocks()
        self.rollout()
        played = clocks()
        self.update()
        return played - begun, clocks() - played


def with_both_outcomes(episodes: Sequence[Episode]) -> list[Episode]:
    """The episodes with other verdicts: every second one counts as solved."""
    changed = []
    for i, episode in enumerate(episodes):
        passed = i % 2 == 0
        verdict = Verdict(passed=passed, score=float(passed))
        changed.append(replace(episode, stop=Stop.FINISHED, verdict=verdict))
    return changed
