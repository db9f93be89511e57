"""The training loop: play groups of episodes, take one step on them, write it all down."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Self

import numpy as np
import torch

from envs.store import write_episodes
from envs.types import Episode
from sandboxes import SandboxError
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import TrainConfig
from scgrpo.credit.record import credit_path, write_credit
from scgrpo.distributed.ranks import SINGLE_PROCESS, PeerLostError, Ranks
from scgrpo.distributed.sharding import full_parameters
from scgrpo.engines import open_policy
from scgrpo.policies.hf import HFPolicy
from scgrpo.preflight.positions import within_positions
from scgrpo.rollouts import RolloutError, Rollouts, SharedRollouts
from scgrpo.runs.disk import disk_errors_explained
from scgrpo.runs.log import METRICS, Metrics, Progress, progress, read_metrics
from scgrpo.runs.stages import StageProfile, describe_stages, recording, stage
from scgrpo.steps.errors import TrainingError, out_of_memory
from scgrpo.steps.groups import Groups, StepGroups
from scgrpo.steps.learning import Learning, samples_meanwhile
from scgrpo.steps.log import (
    describe_step,
    episode_log,
    mixed_groups,
    policy_tokens,
    staleness_log,
)
from scgrpo.teachers.prompt_ids import Solution, solution_of
from scgrpo.training.causes import count_ungraded, describe_causes
from scgrpo.training.collapse import CollapseMonitor
from scgrpo.training.error_monitor import ErrorMonitor
from scgrpo.training.interrupts import Interrupts
from scgrpo.training.memory import memory_log, release_memory
from scgrpo.training.open_model import open_model, reference_model_of, teacher_of
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.training.run_checkpoints import RunCheckpoints
from scgrpo.training.task_draw import TaskDraw
from scgrpo.update import PolicyUpdate
from scgrpo.validation import Validation, describe_validation

__all__ = ["TrainingLoop"]

logger = logging.getLogger(__name__)


class TrainingLoop:
    """The training loop and what it keeps from one step to the next. A context manager."""

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        rollouts: Rollouts,
        start: Path,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.run = run
        self.config = config
        self.ranks = ranks
        self._interrupts = Interrupts(
            config.stop_grace_s, ranks.watch, agreed=ranks.count > 1
        )
        self.rng = np.random.default_rng(config.seed)
        self.levels = TaskDraw(rollouts.env, config.levels)
        self.model, self.tokenizer = open_model(start, config, ranks)
        self.optimizer = MasterAdamW(
            self.model.parameters(),
            lr=config.lr,
            kind=config.optimizer,
            offload=config.optimizer_offload,
            ranks=ranks,
        )
        # A restored run draws on: after this, nothing may draw before the first step.
        self.checkpoints = RunCheckpoints(
            run / "checkpoints",
            config,
            ranks,
            model=self.model,
            tokenizer=self.tokenizer,
            optimizer=self.optimizer,
            rng=self.rng,
            levels=self.levels,
        )

        # Rows of steps that were lost with their checkpoint are not history.
        rows = [row for row in read_metrics(run / METRICS) if row["step"] <= self.step]
        self._collapse = CollapseMonitor(rows)
        self._errors = ErrorMonitor(rows)
        self._profile = StageProfile() if config.profile else None
        self.policy = open_policy(
            config,
            self.model,
            self.tokenizer,
            start,
            run,
            ranks=ranks,
        )
        self.trainer = self._policy_update(rollouts, start)
        self._learning = Learning(config, self.trainer, self.policy, self.levels)
        shared = SharedRollouts(rollouts, ranks, self._interrupts)
        self.groups = StepGroups(
            config,
            shared,
            self.policy,
            self.levels,
            step=self.step,
            refills=self.trainer.algorithm.refill,
            rng=self.rng,
        )
        self._validation = Validation(
            run,
            config,
            shared,
            self.policy,
            self.levels,
            step=self.step,
            ranks=ranks,
        )

    def _policy_update(self, rollouts: Rollouts, start: Path) -> PolicyUpdate:
        """What turns a step's episodes into a step of the weights."""
        config = self.config
        # Weights that sampled themselves have no mismatch to correct.
        importance_cap = config.engine.importance_cap
        if self.policy.shares_weights and not config.ahead:
            importance_cap = math.inf
        return PolicyUpdate(
            model=self.model,
            chat=self.policy.chat,
            algorithm=algorithm_of(config),
            optimizer=self.optimizer,
            rng=self.rng,
            limits=within_positions(config.shown_reference, self.model.config),
            max_grad_norm=config.max_grad_norm,
            max_tokens_per_pack=config.max_tokens_per_pack,
            updates_per_batch=config.updates_per_batch,
            mini_batches=config.mini_batches,
            kl_coefficient=config.kl_coefficient,
            reference=reference_model_of(start, config, self.ranks),
            ranks=self.ranks,
            episode_tokens=config.limits.episode_tokens,
            teacher=teacher_of(config, self.tokenizer),
            solution=_solution(config, rollouts),
            importance_cap=importance_cap,
            writing_weights=self._writing_weights,
        )

    @contextmanager
    def _writing_weights(self) -> Iterator[None]:
        """Around the optimizer's step: from here to the step's end nothing can be saved."""
        self.checkpoints.begin_step()
        pausing: AbstractContextManager[None] = nullcontext()
        if samples_meanwhile(self.config, self.policy):
            assert isinstance(self.policy, HFPolicy)
            pausing = self.policy.writing_weights()
        with pausing:
            yield

    def _while_sampling(self) -> AbstractContextManager[None]:
        """The model's layers are complete if it samples itself; engines have copies of them."""
        if isinstance(self.policy, HFPolicy):
            return full_parameters(self.model)
        return nullcontext()

    @property
    def step(self) -> int:
        """The last finished step, 0 before the first."""
        return self.checkpoints.step

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # First the policy: episodes that are still played end by it.
        self.policy.close()
        self.groups.close()
        self.checkpoints.close()

    def learn(self, on_start: Callable[[], None] | None = None) -> None:
        """Steps until the configured number is reached.

        Rank 0 calls `on_start` once everything is open and training begins.

        On Ctrl-C and SIGTERM, and if training cannot go on, every finished step is saved first.
        Raises TrainingError for a step without a verdict, for a gradient that stays not finite, and
        for a GPU whose memory does not suffice.
        """
        total = self.config.max_steps
        is_main = self.ranks.is_main_process
        with ExitStack() as stack:
            # Rank 0 alone writes metrics, and only its bar is on the terminal.
            metrics = None
            if is_main:
                metrics = Metrics(
                    self.run,
                    last_step=self.step,
                    tracker=self.config.tracker,
                )
                stack.enter_context(metrics)
                if on_start is not None:
                    on_start()
            bar = stack.enter_context(progress(total, "training", shown=is_main))
            bar.advance(self.step)

            stack.enter_context(self._interrupts)
            try:
                self._validate(metrics)
                while self.step < total:
                    with recording(self._profile):
                        self._one_step(metrics, bar)
                        if (
                            self.step % self.config.save_every == 0
                            or self.step == total
                        ):
                            with stage("checkpoint"):
                                self.checkpoints.save()
                    self._validate(metrics)
                self.checkpoints.wait()
            except (KeyboardInterrupt, RolloutError, TrainingError):
                # All processes raise these at one place, unless one was stopped twice.
                self._save_unsaved(agreed=not self._interrupts.gives_up)
                raise
            except (SandboxError, PeerLostError):
                self._save_unsaved(agreed=self.ranks.count == 1)
                raise
            except torch.OutOfMemoryError as error:
                # Its frames hold what filled the memory.
                reason = str(error).splitlines()[0]
                traceback.clear_frames(error.__traceback__)
                self._save_unsaved(agreed=self.ranks.count == 1)
                raise out_of_memory(self.step + 1, reason) from None
        if is_main and self.config.profile:
            stages = describe_stages(read_metrics(self.run / METRICS))
            logger.info("stages of a step:\n%s", stages)

    def _save_unsaved(self, *, agreed: bool) -> None:
        """Saves the steps since the last save, before a failure passes on.

        `agreed`: every process is here, so that the parts of a sharded model can be saved.
        """
        checkpoints = self.checkpoints
        try:
            checkpoints.wait()
            can_save = agreed or not self.ranks.sharded
            if checkpoints.saved < self.step and can_save and checkpoints.can_save:
                checkpoints.save()
                checkpoints.wait()
        except PeerLostError as error:
            # The failure itself is the better reason.
            logger.warning("step %d is not saved: %s", self.step, error)
        if checkpoints.saved:
            logger.info("the last saved step is kept in %s", checkpoints.saved_folder)

    def _one_step(self, metrics: Metrics | None, bar: Progress) -> None:
        """Plays the step's groups, learns from them and logs it."""
        step = self.step + 1
        started = time.monotonic()
        with self._while_sampling(), stage("waiting"):
            groups = self.groups.take(step)
        if not self.config.ahead:
            self.policy.sleep()
        release_memory()
        with stage("log"):
            self._keep(step, groups.episodes)
        played = time.monotonic()
        log = self._episode_log(groups)
        log |= self._time_log(groups, played - started)
        self.groups.begin_after(step)

        # Weights, level and metrics change as one: no interrupt may come between them.
        with self._interrupts.delay():
            update = self._learning.learn(step, groups)
            log |= update.log
            log["level"] = float(self.levels.level)
            log |= self.levels.log(groups.episodes)
            log |= memory_log()
            release_memory()
            log["time/update_s"] = time.monotonic() - played
            self._collapse.check(step, log)
            self._errors.check(step, log)
            if metrics is not None:
                with stage("log"):
                    write_credit(credit_path(self.run, step), update.credit_rows)
                    # What comes after this is in the next step's row.
                    if self._profile is not None:
                        log |= self._profile.log()
                    metrics.write(step, **log)
            self.checkpoints.finish_step(step)

        bar.advance(1, describe_step(log))
        self._learning.check_gradients(step)

    def _episode_log(self, groups: Groups) -> dict[str, float]:
        """What to log of the step's episodes."""
        episodes = groups.episodes
        log = episode_log(episodes)
        log |= self._errors.numbers(episodes)
        if self.config.ahead:
            log |= staleness_log(episodes, self.policy.version)
        if self.trainer.algorithm.refill:
            mixed = mixed_groups(episodes, self.config.group_size)
            log["episodes/refills"] = float(groups.rounds - 1)
            log["episodes/mixed_groups"] = float(mixed)
        return log

    def _time_log(self, groups: Groups, waited_s: float) -> dict[str, float]:
        """How long the step waited for its episodes, and how fast they were played."""
        log = {"time/rollout_s": waited_s}
        played_s = waited_s
        if self.config.ahead:
            played_s = log["time/played_s"] = groups.seconds
        log["time/tokens_per_s"] = policy_tokens(groups.episodes) / played_s
        return log

    def _validate(self, metrics: Metrics | None) -> None:
        """Every `validation.every` steps: held-out success, and the best step's checkpoint."""
        if not self._validation.due(self.step):
            return

        # Episodes of the next steps would take the validation's slots; what broke them comes first.
        self.groups.wait()
        with self._while_sampling():
            values = self._validation.measure(self.step)
        if self._validation.best_step == self.step:
            self.checkpoints.mark_best()
        if metrics is not None:
            metrics.write_validation(self.step, **values)
            logger.info("step %d: %s", self.step, describe_validation(values))

    def _keep(self, step: int, episodes: list[Episode]) -> None:
        """Writes the step's episodes; raises TrainingError when none of them has a verdict."""
        path = self.run / "episodes" / f"step-{step:06d}.jsonl"
        if self.ranks.is_main_process:
            with disk_errors_explained(path):
                # A step that is played again has other episodes than those of its old credit.
                credit_path(self.run, step).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                write_episodes(path, self.levels.own(episodes))

        if all(episode.verdict is None for episode in episodes):
            causes = describe_causes(count_ungraded(episodes))
            raise TrainingError(
                f"no episode of step {step} has a verdict ({causes}); the first broke with: "
                f"{episodes[0].error} (task {episodes[0].task.id}). Fix that, then continue with "
                "resume=true"
            )


def _solution(config: TrainConfig, rollouts: Rollouts) -> Solution | None:
    """The environment's oracle, if `algo` shows its teacher the solution."""
    distill = algorithm_of(config).distill
    if distill is None or distill.teacher != "gold":
        return None
    if config.agent.command:
        raise ValueError(
            f"algo={config.algo} shows the environment's own solution, whose tools an agent does "
            "not have: use another algo with agent.command"
        )
    return solution_of(rollouts.env)
