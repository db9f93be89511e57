"""A model of a few million parameters, taught from random weights to play and to read.

First it learns to copy: what follows a token now is what followed it before (induction, the
mechanism by which a reference is read; arXiv:2209.11895). A small model finds that on random
tokens, and not on the few and alike texts of an environment. Then it imitates random episodes of
all cells at once, without a reference and behind one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.rollout import Limits
from envs.types import Episode
from evals.trials.plan import Cell, SmallModel
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.sources.folders import is_model
from scgrpo.models.tiny import make_tiny, train_tokenizer
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import atomic_folder
from scgrpo.runs.lock import in_turn
from scgrpo.runs.log import progress
from scgrpo.teachers.prompts import VERIFIED_GUIDE, teacher_messages
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.warm_start.examples import (
    Example,
    drawn_tasks,
    examples_of,
    random_episodes,
    with_token_ids,
)
from scgrpo.warm_start.reading import ReadingExamples, reading_examples
from scgrpo.warm_start.stage import imitate

__all__ = ["small_model"]

TAUGHT = "taught.json"
"""In the model's folder: what it was taught."""
EPISODES_AT_ONCE = 8
COPY_ROWS = 32
"""Sequences in a step that teaches to copy."""

logger = logging.getLogger(__name__)


def small_model(options: SmallModel, cells: Sequence[Cell], folder: Path) -> Path:
    """The taught small model in `folder`, which is made if it is not there.

    Whoever has the folder starts from equal weights: another machine would round otherwise.
    Raises ValueError if a cell cannot be taught, or if the folder's was taught something else.
    """
    declared = {"small": asdict(options), "cells": [str(cell) for cell in cells]}
    with in_turn(folder.with_name(f".{folder.name}.lock"), "small model"):
        if not is_model(folder):
            _teach(folder, options, cells, declared)
    taught = json.loads((folder / TAUGHT).read_text())
    # The first models were all taught from random weights.
    taught["small"] = {"start": "", **taught["small"]}
    if taught != declared:
        raise ValueError(
            f"{folder} was taught {taught}, expected {declared}: give the plan another name, or "
            "remove the folder to teach it anew"
        )
    return folder


def _teach(
    folder: Path,
    options: SmallModel,
    cells: Sequence[Cell],
    declared: Mapping[str, Any],
) -> None:
    """Makes the tokenizer and the model, teaches it, and saves both, complete or not at all."""
    started = time.monotonic()
    with ExitStack() as opened, atomic_folder(folder) as scratch:
        # The random policy knows no budget of tokens, and takes no time: what runs code would wait
        # for a sandbox longer than it may.
        rollouts = [
            opened.enter_context(Rollouts(c.env, Limits(), threads=EPISODES_AT_ONCE))
            for c in cells
        ]
        episodes = [
            random_episodes(
                of_cell,
                drawn_tasks(of_cell.env, cell.level, options.episodes, options.seed),
                seed=options.seed,
                description=f"episodes of {cell}",
            )
            for cell, of_cell in zip(cells, rollouts, strict=True)
        ]
        if options.start:
            model, tokenizer = load_model(
                folder.parent / options.start, dtype=torch.float32
            )
            tokenizer.save_pretrained(scratch)
        else:
            model, tokenizer = _copying_model(scratch, options, _texts(episodes))
        choose_path(model)

        examples = _Examples(options)
        for cell, of_cell, of_env in zip(cells, rollouts, episodes, strict=True):
            examples.add(cell, of_cell, of_env, Chat(tokenizer))
        losses = imitate(
            model,
            examples.draw,
            steps=options.steps,
            lr=options.lr,
            description="small model",
        )
        model.save_pretrained(scratch)
        (scratch / TAUGHT).write_text(json.dumps(declared, indent=2) + "\n")
    logger.info(
        "small model: %d parameters, %d steps on %s, loss %.2f -> %.2f, %.0f s: %s",
        sum(p.numel() for p in model.parameters()),
        options.steps,
        ", ".join(map(str, cells)),
        losses[0],
        losses[-1],
        time.monotonic() - started,
        folder,
    )


def _copying_model(
    folder: Path, options: SmallModel, texts: Sequence[str]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A new model that can copy, and a tokenizer of the texts, which `folder` gets too."""
    make_tiny(
        folder,
        hidden=options.hidden,
        layers=options.layers,
        heads=options.heads,
        seed=options.seed,
        tokenizer=train_tokenizer(texts, options.vocabulary),
    )
    model, tokenizer = load_model(folder, dtype=torch.float32)
    _teach_copying(model, options)
    return model, tokenizer


class _Examples:
    """The examples of all cells: ordinary ones, and those that are read behind a reference."""

    def __init__(self, options: SmallModel) -> None:
        self._options = options
        self._rng = np.random.default_rng(options.seed)
        self._of_cells: list[tuple[list[Example], ReadingExamples]] = []

    def add(
        self, cell: Cell, rollouts: Rollouts, episodes: Sequence[Episode], chat: Chat
    ) -> None:
        """Adds a cell's. Raises ValueError if no episode can be a reference."""
        reading = reading_examples(
            rollouts, episodes, chat, ReferenceLimits(), None, seed=self._options.seed
        )
        if reading is None:
            raise ValueError(
                f"random play solves no task of {cell}, so there is no reference to read; "
                "choose a level that it solves now and then"
            )
        ordinary = examples_of(with_token_ids(episode, chat) for episode in episodes)
        self._of_cells.append((ordinary, reading))

    def draw(self) -> list[Example]:
        """Those of a step: of each cell as many with a reference as without."""
        count = self._options.tasks_per_step
        examples: list[Example] = []
        for ordinary, reading in self._of_cells:
            places = self._rng.integers(len(ordinary), size=count)
            examples += [ordinary[place] for place in places]
            examples += reading.draw(count, self._rng)
        return examples


def _teach_copying(model: PreTrainedModel, options: SmallModel) -> None:
    """Trains `model` in place to go on with random tokens that stood in the sequence before."""
    rng = np.random.default_rng([options.seed, options.copy_steps])
    optimizer = MasterAdamW(model.parameters(), lr=options.lr)
    words = model.config.vocab_size
    with progress(options.copy_steps, "copying") as bar:
        for step in range(options.copy_steps):
            # Of other lengths in each step, or places alone would tell what follows.
            before, repeated, between = rng.integers((0, 6, 0), (17, 33, 33))
            first = rng.integers(words, size=(COPY_ROWS, before + repeated + between))
            again = first[:, before : before + repeated]
            ids = torch.from_numpy(np.concatenate([first, again], axis=1))
            logits = model(input_ids=ids).logits[:, -repeated:-1]
            # The first repeated token cannot be known.
            loss = functional.cross_entropy(
                logits.flatten(0, 1), ids[:, 1 - repeated :].flatten()
            )
            loss.backward()
            up = min(1.0, (step + 1) / 50)
            down = 1 - step / options.copy_steps
            optimizer.step(lr=options.lr * up * down, max_norm=1.0)
            bar.advance(1, f"loss {loss.item():.2f}")


def _texts(episodes: Sequence[Sequence[Episode]]) -> list[str]:
    """What the tokenizer is trained on: every text of the episodes once, and of references."""
    texts: set[str] = {VERIFIED_GUIDE}
    for of_cell in episodes:
        for episode in of_cell:
            texts.update(segment.text for segment in episode.segments)
            shown = teacher_messages(
                episode.messages,
                episode,
                verified=True,
                observation_chars=ReferenceLimits().observation_chars,
                budget_tokens=1,
                count=lambda _: 0,
            )
            texts.update(message["content"] for message in shown or ())
    return sorted(texts)
