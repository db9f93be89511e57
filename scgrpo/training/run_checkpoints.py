"""When a run is saved, and how it goes on: the loop's side of its checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.config import TrainConfig
from scgrpo.devices import dtype_of
from scgrpo.distributed.ranks import Ranks
from scgrpo.distributed.sharding import full_state_dict
from scgrpo.runs import checkpoints
from scgrpo.training import checkpoint
from scgrpo.training.curriculum import LevelCurriculum
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.training.run_start import base_of_checkpoints

__all__ = ["RunCheckpoints"]

logger = logging.getLogger(__name__)


class RunCheckpoints:
    """Saves and restores what a run goes on from: weights, optimizer, random state, level.

    | attribute | meaning |
    |---|---|
    | step | the last finished step, 0 before the first |
    | saved | the last step that is on disk, 0 for none |
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
        levels: LevelCurriculum,
    ) -> None:
        self._folder = folder
        self._config = config
        self._ranks = ranks
        self._model = model
        self._tokenizer = tokenizer
        self._optimizer = optimizer
        self._rng = rng
        self._levels = levels
        self.step = self.saved = self._restore() if config.resume else 0
        self._state = self._snapshot()

    @property
    def saved_folder(self) -> Path:
        """The folder of the last saved step."""
        return checkpoints.step_folder(self._folder, self.saved)

    def finish_step(self, step: int) -> None:
        """Takes down the random state and the level that the step after `step` starts from."""
        self.step = step
        self._state = self._snapshot()

    def save(self) -> None:
        """Saves the last finished step, also in the middle of the next one's episodes.

        All ranks must call it if the model is sharded.
        """
        # Every rank holds a part of a sharded model, so all gather before one writes.
        weights = full_state_dict(self._model, dtype_of(self._config))
        optimizer = self._optimizer.state_dict()

        if self._ranks.is_main_process:
            checkpoint.save(
                self._folder,
                self.step,
                model=self._model,
                tokenizer=self._tokenizer,
                optimizer=optimizer,
                weights=weights,
                base=self._base(),
                state=self._state,
                keep=self._config.keep_checkpoints,
            )
        self.saved = self.step

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
        if self.saved != self.step:
            self.save()
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

        state = checkpoint.load_into(path, self._model, self._optimizer)
        checkpoint.restore_random_state(state["random"], self._rng)
        self._levels.load_state_dict(state["levels"])
        logger.info("going on from %s", path)
        return checkpoints.step_of(path)
