"""The training loop: play groups of episodes, take one step on them, write it all down."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.store import write_episodes
from envs.types import Episode, Task
from sandboxes import SandboxError
from sandboxes.commands import CommandError
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import LoraConfig, TrainConfig
from scgrpo.credit.record import credit_path, write_credit
from scgrpo.devices import device_of, dtype_of
from scgrpo.distributed.ranks import SINGLE_PROCESS, PeerLostError, Ranks
from scgrpo.distributed.sharding import full_parameters, full_state_dict, shard
from scgrpo.engines import open_policy
from scgrpo.models.attention import use_packed
from scgrpo.models.load import load_model, recompute_activations
from scgrpo.rollouts import Rollouts, SharedRollouts, success_rate
from scgrpo.runs.disk import disk_errors_explained
from scgrpo.runs.log import (
    METRICS,
    VALIDATION,
    Metrics,
    Progress,
    progress,
    read_metrics,
)
from scgrpo.step_log import (
    describe_step,
    describe_validation,
    episode_log,
    mixed_groups,
    policy_tokens,
)
from scgrpo.teachers.prompt_ids import Solution, load_teacher, solution_of
from scgrpo.training import checkpoint
from scgrpo.training.causes import count_causes, describe_causes
from scgrpo.training.collapse import CollapseMonitor
from scgrpo.training.curriculum import LevelCurriculum
from scgrpo.training.error_monitor import ErrorMonitor
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.update import PolicyUpdate, Update
from scgrpo.validation import ID, validate

__all__ = ["TrainingError", "TrainingLoop", "with_adapters"]

MAX_SKIPS = 3
MAX_REDRAWS = 20

logger = logging.getLogger(__name__)


class TrainingError(CommandError):
    """Training cannot go on; the message says why and what to do."""


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
        self.run, self.config, self.ranks = run, config, ranks
        self._rollouts = SharedRollouts(rollouts, ranks)
        self.rng = np.random.default_rng(config.seed)
        self.levels = LevelCurriculum(config.levels or rollouts.env.levels)
        model, self.tokenizer = load_model(start, dtype=dtype_of(config))
        self.model = with_adapters(model.to(device_of(config)), config.lora)
        use_packed(self.model)
        if config.activation_checkpointing:
            recompute_activations(self.model)
        # Fresh adapters are random, and each rank's would be its own.
        ranks.broadcast_(self.model.parameters())
        shard(self.model, ranks)
        self.optimizer = MasterAdamW(
            self.model.parameters(), lr=config.lr, kind=config.optimizer, ranks=ranks
        )
        self.step = self._saved = self._restore()
        rows = read_metrics(run / METRICS)
        rows = [row for row in rows if row["step"] <= self.step]
        self._collapse, self._errors = CollapseMonitor(rows), ErrorMonitor(rows)
        self._state, self._skipped = self._snapshot(), 0
        self.policy = open_policy(
            config, self.model, self.tokenizer, start, run, ranks=ranks
        )
        self.trainer = PolicyUpdate(
            model=self.model,
            chat=self.policy.chat,
            algorithm=algorithm_of(config),
            optimizer=self.optimizer,
            rng=self.rng,
            limits=config.reference,
            max_grad_norm=config.max_grad_norm,
            max_tokens_per_pack=config.max_tokens_per_pack,
            ranks=ranks,
            episode_tokens=config.limits.episode_tokens,
            teacher=_teacher(config, self.tokenizer),
            solution=_solution(config, rollouts),
            importance_cap=math.inf
            if self.policy.shares_weights
            else config.engine.importance_cap,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.policy.close()

    def learn(self) -> None:
        """Steps until the configured number is reached.

        On Ctrl-C, and if training cannot go on, every finished step is saved first. Raises
        TrainingError for a step without a verdict, and for a gradient that stays not finite.
        """
        total, lead, tracker = (
            self.config.max_steps,
            self.ranks.is_main_process,
            self.config.tracker,
        )
        with (
            Metrics(self.run, last_step=self.step, tracker=tracker)
            if lead
            else nullcontext() as metrics,
            progress(total, "training", shown=lead) as bar,
        ):
            bar.advance(self.step)
            try:
                self._validate(metrics)
                while self.step < total:
                    self._one_step(metrics, bar)
                    if self.step % self.config.save_every == 0 or self.step == total:
                        self._save()
                    self._validate(metrics)
            except (KeyboardInterrupt, TrainingError, SandboxError, PeerLostError):
                # Parts of a sharded model lie with ranks that may be gone.
                if self.step > self._saved and not self.ranks.sharded:
                    self._save()
                if self._saved:
                    folder = checkpoint.step_folder(
                        self.run / "checkpoints", self._saved
                    )
                    logger.info("the last saved step is kept in %s", folder)
                raise

    def _one_step(self, metrics: Metrics | None, bar: Progress) -> None:
        """Plays the step's groups, learns from them and logs it."""
        config, started = self.config, time.monotonic()
        step = self.step + 1
        with full_parameters(self.model):
            tasks, episodes, rounds = self._groups(step)
        self._keep(step, episodes)
        played = time.monotonic()
        log = episode_log(episodes) | self._errors.numbers(episodes)
        if self.trainer.algorithm.refill:
            log["episodes/refills"] = float(rounds - 1)
            log["episodes/mixed_groups"] = float(
                mixed_groups(episodes, config.group_size)
            )
        with _without_interrupts():
            update = self._update(step, tasks, episodes)
            log |= update.log
            log["level"] = float(self.levels.level)
            log["time/rollout_s"] = played - started
            log["time/update_s"] = time.monotonic() - played
            log["time/tokens_per_s"] = policy_tokens(episodes) / (played - started)
            self._collapse.check(step, log)
            self._errors.check(step, log)
            if metrics is not None:
                write_credit(credit_path(self.run, step), update.credit_rows)
                metrics.write(step, **log)
            self.step, self._state = step, self._snapshot()
        bar.advance(1, describe_step(log))
        if self._skipped >= MAX_SKIPS:
            raise TrainingError(
                f"the gradient was not finite in the last {MAX_SKIPS} steps, up to step {step}, so "
                "nothing was learned in them; use a lower lr or dtype=float32"
            )

    def _validate(self, metrics: Metrics | None) -> None:
        """Every `validation.every` steps: held-out success, and the best step's checkpoint."""
        config, path = self.config.validation, self.run / VALIDATION
        if not config.every or self.step % config.every or self.step == 0:
            return
        before = self.ranks.broadcast_object(
            lambda: {row["step"]: row.get(ID) for row in read_metrics(path)}
        )
        if self.step in before:
            return
        with full_parameters(self.model):
            values = validate(
                self._rollouts,
                self.policy,
                config,
                self.levels.level,
                seed=self.config.seed,
            )
        others = [value for value in before.values() if value is not None]
        if ID in values and values[ID] > max(others, default=-1.0):
            if self._saved != self.step:
                self._save()
            if self.ranks.is_main_process:
                checkpoint.mark_best(
                    checkpoint.step_folder(self.run / "checkpoints", self.step)
                )
        if metrics is not None:
            metrics.write_validation(self.step, **values)
            logger.info("step %d: %s", self.step, describe_validation(values))

    def _groups(self, step: int) -> tuple[list[Task], list[Episode], int]:
        """The step's tasks, their episodes group by group, and the rounds that it took.

        If the algorithm refills, further rounds replace groups that succeed or fail as one, until
        there are `tasks_per_step` others or no rounds are left.
        """
        config, seed = self.config, self.config.seed
        tasks = self._draw_tasks(config.tasks_per_step)
        episodes = self._rollouts(
            self.policy, tasks, group=config.group_size, seed=_seed(seed, step)
        )
        rounds = 1
        for rounds in range(1, self.trainer.algorithm.refill + 2):
            missing = config.tasks_per_step - mixed_groups(episodes, config.group_size)
            if missing == 0 or rounds > self.trainer.algorithm.refill:
                break
            # Tasks of a round may stand in an earlier one: they are groups of their own.
            more = self._draw_tasks(missing)
            drawn = _seed(seed, step, rounds)
            episodes += self._rollouts(
                self.policy, more, group=config.group_size, seed=drawn
            )
            tasks += more
        return tasks, episodes, rounds

    def _update(self, step: int, tasks: list[Task], episodes: list[Episode]) -> Update:
        """One optimizer step, and what follows from it for the policy and the level."""
        config = self.config
        groups = [i // config.group_size for i in range(len(episodes))]
        scale = min(1.0, step / max(1, config.warmup_steps))
        try:
            update = self.trainer.update(episodes, groups, lr=config.lr * scale)
        except ValueError as error:
            raise TrainingError(
                f"step {step} cannot be learned from: {error}"
            ) from error
        self._skipped = self._skipped + 1 if update.log.get("train/skipped") else 0
        self.policy.sync_weights()
        for i, task in enumerate(tasks):
            first = i * config.group_size
            of_task = episodes[first : first + config.group_size]
            if any(episode.verdict is not None for episode in of_task):
                self.levels.record(task.level, success_rate(of_task))
        return update

    def _draw_tasks(self, count: int) -> list[Task]:
        """`count` tasks, all different as long as there are others to draw."""
        ids: set[str] = set()
        tries = 0
        tasks: list[Task] = []
        while len(tasks) < count:
            pool = self._rollouts.env.tasks("train", self.levels.draw(self.rng))
            task = pool[int(self.rng.integers(len(pool)))]
            tries += 1
            if task.id not in ids or tries > MAX_REDRAWS * count:
                ids.add(task.id)
                tasks.append(task)
        return tasks

    def _keep(self, step: int, episodes: list[Episode]) -> None:
        """Writes the step's episodes; raises TrainingError when none of them has a verdict."""
        path = self.run / "episodes" / f"step-{step:06d}.jsonl"
        if self.ranks.is_main_process:
            with disk_errors_explained(path):
                # A step that is played again has other episodes than those of its old credit.
                credit_path(self.run, step).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                write_episodes(path, episodes)
        if all(e.verdict is None for e in episodes):
            raise TrainingError(
                f"no episode of step {step} has a verdict "
                f"({describe_causes(count_causes(episodes))}); the first broke with: "
                f"{episodes[0].error}. Fix that, then go on with resume=true"
            )

    def _snapshot(self) -> dict[str, Any]:
        """What the next step starts from, apart from weights and optimizer."""
        return {
            "random": checkpoint.random_state(self.rng),
            "levels": self.levels.state_dict(),
        }

    def _save(self) -> None:
        """Saves the last finished step, also in the middle of the next one's episodes.

        All ranks must call it if the model is sharded.
        """
        weights = full_state_dict(self.model, dtype_of(self.config))
        optimizer = self.optimizer.state_dict()
        if self.ranks.is_main_process:
            checkpoint.save(
                self.run / "checkpoints",
                self.step,
                model=self.model,
                tokenizer=self.tokenizer,
                optimizer=optimizer,
                weights=weights,
                state=self._state,
                keep=self.config.keep_checkpoints,
            )
        self._saved = self.step

    def _restore(self) -> int:
        """Loads the newest checkpoint; returns its step, 0 if there is none."""
        folder = self.run / "checkpoints"
        path = self.ranks.broadcast_object(
            lambda: checkpoint.latest(folder) if self.config.resume else None
        )
        if path is None:
            return 0
        state = checkpoint.load_into(path, self.model, self.optimizer)
        checkpoint.restore_random_state(state["random"], self.rng)
        self.levels.load_state_dict(state["levels"])
        logger.info("going on from %s", path)
        return checkpoint.step_of(path)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Holds Ctrl-C back to the block's end, so that no weight is left half-way.

    A second Ctrl-C is not held back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    interrupted = False

    def hold(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        signal.signal(signal.SIGINT, before)
        logger.info("stopping after this step's update; Ctrl-C again stops now")

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt


def with_adapters(model: PreTrainedModel, lora: LoraConfig) -> PreTrainedModel:
    """The model with fresh adapters on every linear layer, or as it is for rank 0."""
    if not lora.rank:
        return model
    from peft import LoraConfig as Adapters
    from peft import get_peft_model

    options = Adapters(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return cast(PreTrainedModel, get_peft_model(model, options))


def _teacher(
    config: TrainConfig, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel | None:
    """The other model that `algo` learns from, if it learns from one."""
    if not config.teacher:
        return None
    dtype, device = dtype_of(config), device_of(config)
    return load_teacher(config.teacher, tokenizer, dtype=dtype, device=device)


def _solution(config: TrainConfig, rollouts: Rollouts) -> Solution | None:
    """The environment's oracle, if `algo` shows its teacher the solution."""
    distill = algorithm_of(config).distill
    if distill is None or distill.teacher != "gold":
        return None
    return solution_of(rollouts.env)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
