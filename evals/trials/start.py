"""The weights that all methods of a trial start from."""

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

from envs.identity import code_digest
from envs.rollout import Limits
from envs.types import Episode
from evals.trials.plan import Cell, SmallModel, TrialPlan
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.sources.folders import cache_folder, is_model, resolve_model
from scgrpo.models.tiny import make_tiny, train_tokenizer
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import atomic_folder
from scgrpo.runs.lock import in_turn
from scgrpo.teachers.prompts import VERIFIED_GUIDE, teacher_messages
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
from scgrpo.warm_start.starting_weights import warm_started

__all__ = ["starting_model"]

logger = logging.getLogger(__name__)


def starting_model(plan: TrialPlan, cell: Cell) -> Path:
    """The folder that the cell's runs start from: made once, then cached.

    The small model is taught all of the plan's cells at once; another model gets a warm start in
    each, that teaches to read references whatever the method, with seed 0.
    """
    cells = [Cell.of(name) for name in plan.cells]
    if plan.model == "small":
        return _small_model(plan.small, cells)
    config = TrainConfig(
        env=cell.env,
        model=plan.model,
        levels=(cell.level,),
        warm_start=WarmStartConfig(references="always"),
    )
    with Rollouts(cell.env, config.limits, sandbox=config.sandbox) as rollouts:
        return warm_started(resolve_model(plan.model), config, rollouts, cell.level)


def _small_model(options: SmallModel, cells: Sequence[Cell]) -> Path:
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
