"""The supervised stage: a few steps on a random but well-formed policy's episodes.

It teaches how a tool call is written, and how a reference is read if the run shows any, and leaves
the solution to reinforcement learning: the random policy knows nothing of the task.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.config import WarmStartConfig
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.packing import action_ids, completion_ids
from scgrpo.models.paths import choose_path, logits_head
from scgrpo.models.read_back import check_weights
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.policies.chat import Chat
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.preflight.positions import max_positions
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import atomic_folder
from scgrpo.runs.log import progress
from scgrpo.training.memory import release_memory
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.warm_start.cache import LAYOUT_VERSION
from scgrpo.warm_start.examples import (
    Example,
    drawn_tasks,
    examples_of,
    random_episodes,
    with_token_ids,
    within_positions,
)
from scgrpo.warm_start.reading import reading_examples

__all__ = ["imitate", "warm_start"]

logger = logging.getLogger(__name__)


def warm_start(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rollouts: Rollouts,
    level: int,
    config: WarmStartConfig,
    *,
    seed: int,
    chat_options: ChatOptions | None = None,
    reference: ReferenceLimits | None = None,
    offload: bool = False,
    merge_adapters: bool = False,
) -> None:
    """Trains `model` in place and saves it to `folder`, complete or not at all.

    With `reference` there are twice as many steps, and in half of the examples one is in front;
    with `offload` the optimizer lies on the CPU; with `merge_adapters` what is saved is a model
    without any, on which a run puts adapters of its own.
    """
    started = time.monotonic()
    choose_path(model)
    chat = Chat(tokenizer, chat_options)
    tasks = drawn_tasks(rollouts.env, level, config.episodes, seed)
    episodes = random_episodes(rollouts, tasks, seed=seed)
    examples = examples_of(with_token_ids(episode, chat) for episode in episodes)
    positions = max_positions(model.config)
    ordinary = within_positions(examples, positions)
    if not ordinary:
        raise ValueError(
            f"the shortest random episode has {_shortest(examples)} tokens and the model "
            f"{positions} positions, so there is none to learn from; set warm_start.mode=never, "
            "or take a model with more positions"
        )
    reading = None
    if reference is not None:
        reading = reading_examples(
            rollouts, episodes, chat, reference, positions, seed=seed
        )

    rng = np.random.default_rng([seed, LAYOUT_VERSION])
    count = min(config.tasks_per_step, len(ordinary))
    steps = config.steps * (2 if reading else 1)

    def draw() -> list[Example]:
        conditioned: list[Example] = []
        if reading:
            # Of an odd number one is either.
            half = (count + int(rng.integers(2))) // 2
            conditioned = reading.draw(half, rng)
        size = count - len(conditioned)
        places = rng.choice(len(ordinary), size=size, replace=False)
        return [*conditioned, *(ordinary[place] for place in places)]

    losses = imitate(
        model,
        draw,
        steps=steps,
        lr=config.lr,
        description="warm start",
        offload=offload,
    )
    if merge_adapters:
        assert isinstance(model, PeftModel)
        model = cast(PreTrainedModel, model.merge_and_unload())
    with atomic_folder(folder) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        check_weights(scratch, model)

    solved = sum(bool(episode.verified) for episode in episodes)
    logger.info(
        "warm start: %d steps on %d random episodes (%.0f %% solved)%s, loss %.2f -> %.2f, %.0f s",
        steps,
        sum(len(example.episodes) for example in ordinary),
        100 * solved / len(episodes),
        f" and {reading}" if reading else "",
        losses[0],
        losses[-1],
        time.monotonic() - started,
    )


def imitate(
    model: PreTrainedModel,
    draw: Callable[[], Sequence[Example]],
    *,
    steps: int,
    lr: float,
    description: str,
    offload: bool = False,
) -> list[float]:
    """Trains `model` in place on the examples that `draw` returns for each step.

    The learning rate rises to `lr` in three steps and falls linearly. Returns the loss of each
    step, nats a token.
    """
    optimizer = MasterAdamW(model.parameters(), lr=lr, offload=offload)
    losses: list[float] = []
    with progress(steps, description) as bar:
        for step in range(steps):
            up = min(1.0, (step + 1) / 3)
            down = 1 - step / steps
            loss = _step(model, optimizer, draw(), lr=lr * (up * down))
            losses.append(loss)
            bar.advance(1, f"loss {loss:.3f}")
            release_memory()
    return losses


def _step(
    model: PreTrainedModel,
    optimizer: MasterAdamW,
    examples: Sequence[Example],
    *,
    lr: float,
) -> float:
    """One step of next-token loss on the policy's tokens; returns its mean in nats."""
    head = logits_head(model)
    targets = [action_ids(e.episodes, range(len(e.episodes))) for e in examples]
    total = sum(map(len, targets))
    loss = 0.0
    for example, written in zip(examples, targets, strict=True):
        # An example's prompt is read once.
        completions = [completion_ids(episode) for episode in example.episodes]
        states = predicting_states(
            model,
            example.prompt,
            [ids for ids, _ in completions],
            [mask for _, mask in completions],
        )
        ids = torch.tensor(written, device=states.device)
        logprobs, _ = token_scores(head, states, ids)

        example_loss = -logprobs.sum() / total
        example_loss.backward()
        loss += example_loss.item()
    optimizer.step(lr=lr, max_norm=1.0)
    return loss


def _shortest(examples: Sequence[Example]) -> int:
    """Tokens of the shortest episode and its prompt."""
    return min(
        len(example.prompt) + len(completion_ids(episode)[0])
        for example in examples
        for episode in example.episodes
    )
