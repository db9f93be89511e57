"""The warm start: a short supervised stage on a random but well-formed policy's episodes.

It teaches how a tool call is written and leaves the solution to reinforcement learning: the random
policy knows nothing of the task. Cached by everything that goes into it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.base import TextEnv
from envs.types import Episode, Segment
from sandboxes import SandboxError
from scgrpo.config import WarmStartConfig
from scgrpo.models.attention import use_packed
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import atomic_folder
from scgrpo.runs.log import progress
from scgrpo.training.optimizer import MasterAdamW

__all__ = ["cache_key", "spoken", "warm_start"]

logger = logging.getLogger(__name__)

EPISODES_PER_TASK = 4
LAYOUT_VERSION = 2


def warm_start(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    play: Rollouts,
    level: int,
    config: WarmStartConfig,
    *,
    seed: int,
) -> None:
    """Trains `model` in place and saves it to `folder`, whole or not at all."""
    started = time.monotonic()
    use_packed(model)
    chat = Chat(tokenizer)
    episodes = _random_episodes(play, level, config, seed)
    data = [spoken(episode, chat) for episode in episodes]
    optimizer = MasterAdamW(model.parameters(), lr=config.lr)
    rng = np.random.default_rng([seed, LAYOUT_VERSION])
    losses: list[float] = []
    with progress(config.steps, "warm start") as bar:
        for step in range(config.steps):
            scale = min(1.0, (step + 1) / 3) * (1 - step / config.steps)
            losses.append(
                _step(
                    model,
                    optimizer,
                    _draw(data, config.tasks_per_step, rng),
                    lr=config.lr * scale,
                )
            )
            bar.advance(1, f"loss {losses[-1]:.3f}")
    with atomic_folder(folder) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
    solved = sum(bool(e.verified) for e in episodes)
    logger.info(
        "warm start: %d steps on %d random episodes (%.0f %% solved), loss %.2f -> %.2f, %.0f s",
        config.steps,
        len(data),
        100 * solved / len(episodes),
        losses[0],
        losses[-1],
        time.monotonic() - started,
    )


def cache_key(
    model: Path,
    env: TextEnv,
    level: int,
    config: WarmStartConfig,
    dtype: str,
    seed: int,
) -> str:
    """Hex digest over everything that the stage's result depends on."""
    digest = hashlib.sha256()
    for file in sorted(path for path in model.iterdir() if path.is_file()):
        with file.open("rb") as opened:
            digest.update(
                file.name.encode() + hashlib.file_digest(opened, "sha256").digest()
            )
    for task in env.tasks("train", level):
        digest.update(task.content_hash.encode())
    digest.update(
        inspect.getsource(type(env)).encode()
    )  # its random policy and its replies
    learned = {
        key: asdict(config)[key]
        for key in ("episodes", "steps", "tasks_per_step", "lr")
    }
    parts = [
        env.name,
        env.version,
        env.instructions,
        level,
        learned,
        dtype,
        seed,
        LAYOUT_VERSION,
    ]
    digest.update(json.dumps(parts).encode())
    return digest.hexdigest()[:16]


def spoken(episode: Episode, chat: Chat) -> Episode:
    """A scripted episode as if the model had written it: with token ids, logprobs 0."""
    segments: list[Segment] = []
    for segment in episode.segments:
        if segment.source == "prompt":
            text, ids = chat.prompt(episode.messages, episode.tools)
            segments.append(Segment("prompt", text, tuple(ids)))
        elif segment.source == "policy":
            ids = [*chat.ids(segment.text), chat.end_id]
            segments.append(
                Segment("policy", segment.text, tuple(ids), (0.0,) * len(ids))
            )
        else:
            ids = chat.reply(segment.text, ended=True)
            segments.append(Segment("env", segment.text, tuple(ids)))
    return replace(episode, segments=tuple(segments))


def _random_episodes(
    play: Rollouts, level: int, config: WarmStartConfig, seed: int
) -> list[Episode]:
    """Episodes of the environment's random policy on training tasks, several for each task."""
    rng = np.random.default_rng([seed, level])
    tasks = play.env.tasks("train", level)
    drawn = rng.integers(len(tasks), size=-(-config.episodes // EPISODES_PER_TASK))
    episodes = play(
        None,
        [tasks[int(i)] for i in drawn],
        group=EPISODES_PER_TASK,
        seed=seed,
        description="random episodes",
    )
    if broken := next((e for e in episodes if e.verdict is None), None):
        raise SandboxError(f"a random episode broke: {broken.error}")
    return episodes


def _draw(
    data: list[Episode], tasks: int, rng: np.random.Generator
) -> list[list[Episode]]:
    """Groups of episodes that share an opening, of so many tasks where there are so many."""
    by_task: dict[str, list[Episode]] = {}
    for episode in data:
        by_task.setdefault(episode.task.id, []).append(episode)
    groups = list(by_task.values())
    picked = rng.choice(len(groups), size=min(tasks, len(groups)), replace=False)
    return [groups[i] for i in picked]


def _step(
    model: PreTrainedModel,
    optimizer: MasterAdamW,
    groups: list[list[Episode]],
    *,
    lr: float,
) -> float:
    """One step of next-token loss on the policy's tokens; returns its mean in nats."""
    head: Any = model.get_output_embeddings()
    total = sum(sum(e.action_mask) for group in groups for e in group)
    loss = 0.0
    for group in groups:
        size = len(group[0].segments[0].token_ids)
        states = predicting_states(
            model,
            group[0].token_ids[:size],
            [e.token_ids[size:] for e in group],
            [e.action_mask[size:] for e in group],
        )
        targets = [i for e in group for turn in e.turns for i in turn.token_ids]
        logprobs, _ = token_scores(
            head, states, torch.tensor(targets, device=states.device)
        )
        part = -logprobs.sum() / total
        part.backward()
        loss += part.item()
    optimizer.step(lr=lr, max_norm=1.0)
    return loss
