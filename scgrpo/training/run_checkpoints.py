"""When a run is saved, and how it goes on: the loop's side of its checkpoints."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.config import TrainConfig
from scgrpo.devices import dtype_of
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.runs import checkpoints
from scgrpo.training import checkpoint
from scgrpo.training.background import Background
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.training.run_start import base_of_checkpoints
from scgrpo.training.task_draw import TaskDraw

__all__ = ["RunCheckpoints"]

logger = logging.getLogger(__name__)


class RunCheckpoints:
    """Saves and restores what a run goes on from: weights, optimizer, random state, level.

    On a GPU, and with several processes, a thread writes a copy while training goes on, one step's
    at a time. One process on a CPU writes at once: a copy would set its peak of memory.

    | attribute | meaning |
    |---|---|
    | step | the last finished step, 0 before the first |
    | saved | the last step that is on disk, 0 for none |
    | can_save | false from `begin_step` to `finish_step`: the weights are of no finished step |
    """

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        ranks: Ranks,
        *,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        optimizer: MasterAdamW,
        rng: np.random.Generator,
        levels: TaskDraw,
    ) -> None:
        self._folder = folder
        self._config = config
        self._ranks = ranks
        self._model = model
        self._tokenizer = tokenizer
        self._optimizer = optimizer
        self._rng = rng
        self._levels = levels
        on_cpu = model.device.type == "cpu"
        self._writes_beside = ranks.count > 1 or not on_cpu
        self._writing = Background[int]("checkpoint")
        self.can_save = True
        self.step = self.saved = self._restore() if config.resume else 0
        self._state = self._snapshot()

    @property
    def saved_folder(self) -> Path:
        """The folder of the last saved step."""
        return checkpoints.step_folder(self._folder, self.saved)

    def begin_step(self) -> None:
        """To be called before the weights change."""
        self.can_save = False

    def finish_step(self, step: int) -> None:
        """Takes down the random state and the level that the step after `step` starts from."""
        self.step = step
        self.can_save = True
        self._state = self._snapshot()

    def save(self) -> None:
        """Saves the last finished step, also in the middle of the next one's episodes.

        It may still be written when this returns; `wait` says when it is done. All ranks must call
        it if the model is sharded. Raises what went wrong with the step that was saved before.
        """
        self.wait()
        sharded = self._ranks.sharded
        if not self._ranks.is_main_process and not sharded:
            self.saved = self.step
            return

        content = checkpoint.Content(
            self.step,
            self._model,
            self._tokenizer,
            self._optimizer.state_parts(),
            self._state,
            base=self._base() if self._ranks.is_main_process else None,
        )
        # Of a model that is not sharded rank 0 has everything, whatever became of the others.
        ranks = self._ranks.apart if sharded else SINGLE_PROCESS
        if self._writes_beside:
            content = checkpoint.snapshot(content, dtype_of(self._config))
            self._writing.begin(partial(self._write, content, ranks))
        else:
            self.saved = self._write(content, ranks)

    def _write(self, content: checkpoint.Content, ranks: Ranks) -> int:
        """Writes the checkpoint; returns its step."""
        checkpoint.save(
            self._folder, content, keep=self._config.keep_checkpoints, ranks=ranks
        )
        return content.step

    def wait(self) -> None:
        """Waits until what was saved is on disk. Raises what went wrong with it."""
        if self._writing.has_begun:
            self.saved = self._writing.take()

    def close(self) -> None:
        """Waits for the thread to end. Safe to call twice."""
        self._writing.close()

    def _base(self) -> tuple[str, str | None] | None:
        """How a checkpoint of adapters names the model that they stand on; None for another."""
        if not isinstance(self._model, PeftModel):
            return None
        run = self._folder.parent
        about = self._model.peft_config["default"]
        base, revision = base_of_checkpoints(run, str(about.base_model_name_or_path))
        # The library reads the base's configuration there, and a cache may be gone by now.
        if base.startswith("."):
            about.base_model_name_or_path = str(run / Path(base).name)
        return base, revision

    def mark_best(self) -> None:
        """Makes the last finished step the run's best one, and saves it if it is not saved."""
        self.wait()
        if self.saved != self.step:
            self.save()
            self.wait()
        if self._ranks.is_main_process:
            checkpoint.mark_best(self.saved_folder)

    def _snapshot(self) -> dict[str, Any]:
        """What the next step starts from, apart from weights and optimizer."""
        return {
            "random": checkpoint.random_state(self._rng),
            "levels": self._levels.state_dict(),
        }

    def _restore(self) -> int:
        """Loads the newest checkpoint; returns its step, 0 if there is none."""
        # Rank 0 alone looks, so that all ranks go on from the same step.
        path = self._ranks.broadcast_object(lambda: checkpoints.latest(self._folder))
        if path is None:
            return 0

        state = checkpoint.load_into(path, self._optimizer, self._ranks)
        checkpoint.restore_random_state(state["random"], self._rng)
        self._levels.load_state_dict(state["levels"])
        logger.info("going on from %s", path)
        return checkpoints.step_of(path)
