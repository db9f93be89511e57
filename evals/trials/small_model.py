"""A model of a few million parameters, taught from random weights to play and to read.

First it learns to copy: what follows a token now is what followed it before (induction, the
mechanism by which a reference is read; arXiv:2209.11895). A small model finds that on random
tokens, and not on the few and alike texts of an environment. Then it imitates random episodes of
all cells at once, without a reference and behind one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from envs.identity import code_digest
from envs.rollout import Limits
from envs.types import Episode
from evals.trials.plan import Cell, SmallModel
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.sources.folders import cache_folder, is_model
from scgrpo.models.tiny import make_tiny, train_tokenizer
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import atomic_folder
from scgrpo.runs.lock import in_turn
from scgrpo.runs.log import progress
from scgrpo.teachers.prompts import VERIFIED_GUIDE, teacher_messages
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.warm_start.cache import LAYOUT_VERSION
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

COPY_ROWS = 32
"""Sequences in a step that teaches to copy."""

logger = logging.getLogger(__name__)


def small_model(options: SmallModel, cells: Sequence[Cell]) -> Path:
    """The taught small model in the cache. Raises ValueError if a cell cannot be taught."""
    with ExitStack() as opened:
        # The random policy knows no budget of tokens.
        rollouts = [opened.enter_context(Rollouts(c.env, Limits())) for c in cells]
        key = _key(options, cells, rollouts)
        folder = cache_folder() / "trials" / key
        with in_turn(folder.with_name(f".{key}.lock"), "small model"):
            if not is_model(folder):
                _teach(folder, options, cells, rollouts)
    return folder


def _key(
    options: SmallModel, cells: Sequence[Cell], rollouts: Sequence[Rollouts]
) -> str:
    code = [code_digest(of_cell.env) for of_cell in rollouts]
    parts = [asdict(options), [str(cell) for cell in cells], code, LAYOUT_VERSION]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _teach(
    folder: Path,
    options: SmallModel,
    cells: Sequence[Cell],
    rollouts: Sequence[Rollouts],
) -> None:
    """Makes the tokenizer and the model, teaches it, and saves both, complete or not at all."""
    started = time.monotonic()
    episodes: list[list[Episode]] = []
    for cell, of_cell in zip(cells, rollouts, strict=True):
        tasks = drawn_tasks(of_cell.env, cell.level, options.episodes, options.seed)
        episodes.append(
            random_episodes(
                of_cell, tasks, seed=options.seed, description=f"episodes of {cell}"
            )
        )
    with atomic_folder(folder) as scratch:
        make_tiny(
            scratch,
            hidden=options.hidden,
            layers=options.layers,
            heads=options.heads,
            seed=options.seed,
            tokenizer=train_tokenizer(_texts(episodes), options.vocabulary),
        )
        model, tokenizer = load_model(scratch, dtype=torch.float32)
        _teach_copying(model, options)
        choose_path(model)
        chat = Chat(tokenizer)

        ordinary: list[list[Example]] = []
        reading: list[ReadingExamples] = []
        for cell, of_cell, of_env in zip(cells, rollouts, episodes, strict=True):
            ordinary.append(examples_of(with_token_ids(e, chat) for e in of_env))
            examples = reading_examples(
                of_cell, of_env, chat, ReferenceLimits(), None, seed=options.seed
            )
            if examples is None:
                raise ValueError(
                    f"random play solves no task of {cell}, so there is no reference to read; "
                    "choose a level that it solves now and then"
                )
            reading.append(examples)

        rng = np.random.default_rng(options.seed)
        count = options.tasks_per_step

        def draw() -> list[Example]:
            examples: list[Example] = []
            for plain, conditioned in zip(ordinary, reading, strict=True):
                places = rng.integers(len(plain), size=count)
                examples += [plain[place] for place in places]
                examples += conditioned.draw(count, rng)
            return examples

        losses = imitate(
            model, draw, steps=options.steps, lr=options.lr, description="small model"
        )
        model.save_pretrained(scratch)
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
