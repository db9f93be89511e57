"""From a step's groups to a step of the weights, which the policy and the levels follow."""

from __future__ import annotations

from sandboxes.commands import CommandError
from scgrpo.config import TrainConfig
from scgrpo.distributed.ranks import PeerLostError
from scgrpo.policies.hf import HFPolicy
from scgrpo.policies.remote import RemotePolicy
from scgrpo.rollouts import success_rate
from scgrpo.runs.stages import stage
from scgrpo.steps.errors import TrainingError
from scgrpo.steps.groups import Groups
from scgrpo.training.memory import release_gpu_cache
from scgrpo.training.task_draw import TaskDraw
from scgrpo.update import PolicyUpdate, Update

__all__ = ["Learning", "samples_meanwhile"]

MAX_SKIPS = 3


class Learning:
    """Takes one optimizer step for each step's groups; the policy and the levels follow it."""

    def __init__(
        self,
        config: TrainConfig,
        trainer: PolicyUpdate,
        policy: HFPolicy | RemotePolicy,
        levels: TaskDraw,
    ) -> None:
        self._config = config
        self._trainer = trainer
        self._policy = policy
        self._levels = levels
        self._skips = 0

    def learn(self, step: int, groups: Groups) -> Update:
        """Raises TrainingError for groups that nothing can be learned from."""
        config, size = self._config, self._config.group_size
        warmup = min(1.0, step / max(1, config.warmup_steps))
        try:
            update = self._trainer.update(
                groups.episodes,
                [i // size for i in range(len(groups.episodes))],
                lr=config.lr * warmup,
            )
        except ValueError as error:
            message = f"step {step} cannot be learned from: {error}"
            raise TrainingError(message) from error

        # Skips count only in a row: one finite gradient shows that the run can learn.
        was_skipped = update.log.get("train/skipped")
        self._skips = self._skips + 1 if was_skipped else 0
        if not samples_meanwhile(config, self._policy):
            with stage("weight_sync"):
                self._sync_weights(step)

        for i, task in enumerate(groups.tasks):
            of_task = groups.episodes[i * size : (i + 1) * size]
            if any(episode.verdict is not None for episode in of_task):
                self._levels.record(task, success_rate(of_task))
        return update

    def check_gradients(self, step: int) -> None:
        """Raises TrainingError if the gradient stays not finite; `step` was the last."""
        if self._skips >= MAX_SKIPS:
            raise TrainingError(
                f"the gradient was not finite in the last {MAX_SKIPS} steps, up to step {step}, so "
                "nothing was learned in them; use a lower lr or dtype=float32"
            )

    def _sync_weights(self, step: int) -> None:
        """Hands the policy the new weights. Raises TrainingError if no engine takes them."""
        if self._config.engine.sleeps:
            # The engine wakes on the GPU that has just learned.
            release_gpu_cache()
        try:
            self._policy.sync_weights()
        except PeerLostError:
            raise
        except CommandError as error:
            raise TrainingError(
                f"no engine takes the weights of step {step}: {error}. Fix that, then continue "
                "with resume=true"
            ) from error


def samples_meanwhile(config: TrainConfig, policy: HFPolicy | RemotePolicy) -> bool:
    """Whether the policy samples from the model's own weights while they are written."""
    return bool(config.ahead) and isinstance(policy, HFPolicy)
