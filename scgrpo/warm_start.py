"""The warm start: a short supervised stage on a random but well-formed policy's episodes.

It teaches how a tool call is written and leaves the solution to reinforcement learning: the random
policy knows nothing of the task. Cached by everything that goes into it. It runs only if the model
needs it: `starting_weights` measures that.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.base import TextEnv
from envs.identity import code_digest
from envs.types import Episode, Segment, Task
from sandboxes import SandboxError
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path, logits_head
from scgrpo.models.read_back import check_weights
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.models.sources.folders import (
    adapter_base,
    is_adapter,
    is_model,
    resolve_model,
)
from scgrpo.policies.chat import Chat
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.policies.hf import HFPolicy
from scgrpo.preflight.positions import max_positions
from scgrpo.rollouts import Rollouts, malformed_share, success_rate
from scgrpo.runs.disk import atomic_folder
from scgrpo.runs.lock import in_turn
from scgrpo.runs.log import progress
from scgrpo.training.causes import describe_long_prompt
from scgrpo.training.memory import release_memory
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.training.run_start import warm_start_cache

__all__ = [
    "StartingWeights",
    "cache_key",
    "starting_weights",
    "warm_start",
    "with_token_ids",
]

logger = logging.getLogger(__name__)

EPISODES_PER_TASK = 4
LAYOUT_VERSION = 2


@dataclass(frozen=True)
class StartingWeights:
    """What a new run starts from.

    | field | meaning |
    |---|---|
    | folder | the model's own weights, or a warm start's in the cache |
    | measured | the episodes that measured the success before it; empty if nothing was measured |
    """

    folder: Path
    measured: Sequence[Episode] = ()


def starting_weights(config: TrainConfig, rollouts: Rollouts) -> StartingWeights:
    """The weights that a new run starts from.

    Raises ValueError for a model that does not exist or cannot be loaded.
    """
    base = resolve_model(config.model)
    measured: list[Episode] = []
    if config.warm_start.mode == "auto":
        measured = _starting_episodes(base, config, rollouts)
    if not _needs_warm_start(measured, config, rollouts):
        return StartingWeights(base, measured)
    return StartingWeights(_warm_started(base, config, rollouts), measured)


def _warm_started(base: Path, config: TrainConfig, rollouts: Rollouts) -> Path:
    """The warm-started weights in the cache, which runs of the same settings share."""
    level = _first_level(config, rollouts)
    options, dtype = config.warm_start, dtype_of(config)
    key = cache_key(
        base,
        rollouts.env,
        level,
        options,
        str(dtype),
        config.seed,
        config.chat,
    )
    cached = warm_start_cache() / key
    if is_model(cached):
        logger.info("warm start: loaded from the cache, %s", cached)
        return cached
    # Runs of a sweep begin at once: one makes it, and none replaces what another one reads.
    with in_turn(cached.with_name(f".{key}.lock"), "warm start"):
        if is_model(cached):
            logger.info("warm start: made by another run, %s", cached)
            return cached
        model, tokenizer = load_model(base, dtype=dtype)
        model.to(device_of(config))
        warm_start(
            cached,
            model,
            tokenizer,
            rollouts,
            level,
            options,
            seed=config.seed,
            chat_options=config.chat,
        )
    return cached


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
) -> None:
    """Trains `model` in place and saves it to `folder`, complete or not at all."""
    started = time.monotonic()
    choose_path(model)
    chat = Chat(tokenizer, chat_options)
    episodes = _random_episodes(rollouts, level, config, seed)
    data = [with_token_ids(episode, chat) for episode in episodes]
    data = _within_positions(data, model)

    losses = _train(model, data, config, np.random.default_rng([seed, LAYOUT_VERSION]))
    with atomic_folder(folder) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        check_weights(scratch, model)

    solved = sum(bool(episode.verified) for episode in episodes)
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
    chat_options: ChatOptions | None = None,
) -> str:
    """Hex digest over everything that the stage's result depends on."""
    digest = hashlib.sha256()
    folders = [model, adapter_base(model)] if is_adapter(model) else [model]
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    for file in filter(Path.is_file, files):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").digest()
        digest.update(file.name.encode() + content)
    for task in env.tasks("train", level):
        digest.update(task.content_hash.encode())
    # The environment's random policy and its replies.
    digest.update(code_digest(env).encode())

    # Only what changes the weights: a threshold or a mode does not.
    options = asdict(config)
    keys = ("episodes", "steps", "tasks_per_step", "lr")
    learned = {key: options[key] for key in keys}
    parts = [
        env.name,
        env.version,
        env.instructions,
        level,
        learned,
        dtype,
        seed,
        asdict(chat_options or ChatOptions()),
        LAYOUT_VERSION,
    ]
    digest.update(json.dumps(parts).encode())
    return digest.hexdigest()[:16]


def with_token_ids(episode: Episode, chat: Chat) -> Episode:
    """A scripted episode as if the model had written it: with token ids, logprobs 0."""
    # The ids must be those that the chat would give the model in a rollout.
    segments: list[Segment] = []
    call = ""
    for segment in episode.segments:
        if segment.source == "prompt":
            text, ids = chat.prompt(episode.messages, episode.tools)
            segments.append(Segment("prompt", text, tuple(ids)))
        elif segment.source == "policy":
            ids = tuple(chat.turn_ids(segment.text))
            call = chat.read(ids, episode.tools).call
            logprobs = (0.0,) * len(ids)
            turn = Segment(
                "policy",
                segment.text,
                token_ids=ids,
                logprobs=logprobs,
            )
            segments.append(turn)
        else:
            ids = chat.reply(segment.text, ended=True, call=call)
            segments.append(Segment("env", segment.text, tuple(ids)))
    return replace(episode, segments=tuple(segments))


def _within_positions(data: list[Episode], model: PreTrainedModel) -> list[Episode]:
    """The episodes that the model can read whole. Raises ValueError if it can read none.

    The random policy knows no budget of tokens.
    """
    positions = max_positions(model.config)
    if positions is None:
        return data
    short = [episode for episode in data if len(episode.token_ids) <= positions]
    if not short:
        shortest = min(len(episode.token_ids) for episode in data)
        raise ValueError(
            f"the shortest random episode has {shortest} tokens and the model {positions} "
            "positions, so there is none to learn from; set warm_start.mode=never, or take a "
            "model with more positions"
        )
    return short


def _needs_warm_start(
    measured: Sequence[Episode], config: TrainConfig, rollouts: Rollouts
) -> bool:
    options = config.warm_start
    if options.mode != "auto":
        return options.mode == "always"
    if success_rate(measured) >= options.success_threshold:
        return False
    if type(rollouts.env).random_turn is TextEnv.random_turn:
        message = "no warm start: %s defines no random_turn to learn from"
        logger.warning(message, config.env)
        return False
    return True


def _first_level(config: TrainConfig, rollouts: Rollouts) -> int:
    return (config.levels or rollouts.env.levels)[0]


def _starting_episodes(
    base: Path, config: TrainConfig, rollouts: Rollouts
) -> list[Episode]:
    """The untrained model's on training tasks of the first level; their success is logged."""
    model, tokenizer = load_model(base, dtype=dtype_of(config))
    model.to(device_of(config))

    # Spread over the level, because neighbours may be of one kind.
    level = _first_level(config, rollouts)
    count = config.warm_start.measure_episodes // EPISODES_PER_TASK
    tasks = _spread(rollouts.env.tasks("train", level), count)
    cache_tokens = config.limits.episode_tokens
    with HFPolicy(
        model, tokenizer, cache_tokens=cache_tokens, chat_options=config.chat
    ) as policy:
        episodes = rollouts(
            policy,
            tasks,
            group=EPISODES_PER_TASK,
            seed=config.seed,
            description="starting success",
        )

    # No success was measured, so none is too low: a warm start would not help.
    if all(episode.prompt_too_long for episode in episodes):
        raise ValueError(
            f"no episode of level {level} can begin: {describe_long_prompt(episodes[0])}"
        )

    success = success_rate(episodes)
    threshold = config.warm_start.success_threshold
    decision = f"under {100 * threshold:.0f} %, so a warm start"
    logger.info(
        "starting success %.1f %% of %d episodes, %.0f %% of the turns malformed: %s",
        100 * success,
        len(episodes),
        100 * malformed_share(episodes),
        "no warm start" if success >= threshold else decision,
    )
    return episodes


def _spread(tasks: Sequence[Task], count: int) -> list[Task]:
    """`count` tasks, evenly spaced over the sequence."""
    count = max(1, min(count, len(tasks)))
    last = len(tasks) - 1
    places = np.linspace(0, last, count)
    nearest = places.round().astype(int).tolist()
    return [tasks[place] for place in nearest]


def _train(
    model: PreTrainedModel,
    data: list[Episode],
    config: WarmStartConfig,
    rng: np.random.Generator,
) -> list[float]:
    """Takes the optimizer steps; returns the loss of each."""
    optimizer = MasterAdamW(model.parameters(), lr=config.lr)
    losses: list[float] = []
    with progress(config.steps, "warm start") as bar:
        for step in range(config.steps):
            # Three steps up, then linearly down.
            up = min(1.0, (step + 1) / 3)
            down = 1 - step / config.steps
            groups = _draw(data, config.tasks_per_step, rng)
            loss = _step(
                model,
                optimizer,
                groups,
                lr=config.lr * (up * down),
            )
            losses.append(loss)
            bar.advance(1, f"loss {loss:.3f}")
            release_memory()
    return losses


def _random_episodes(
    rollouts: Rollouts, level: int, config: WarmStartConfig, seed: int
) -> list[Episode]:
    """Episodes of the environment's random policy on training tasks, several for each task."""
    rng = np.random.default_rng([seed, level])
    tasks = rollouts.env.tasks("train", level)
    count = -(-config.episodes // EPISODES_PER_TASK)
    places = rng.integers(len(tasks), size=count)
    episodes = rollouts(
        None,
        [tasks[int(place)] for place in places],
        group=EPISODES_PER_TASK,
        seed=seed,
        description="random episodes",
    )

    # Nothing is learned from them yet, so an error here is the machine's.
    for episode in episodes:
        if episode.verdict is None:
            raise SandboxError(f"a random episode broke: {episode.error}")
    return episodes


def _draw(
    data: list[Episode], tasks: int, rng: np.random.Generator
) -> list[list[Episode]]:
    """Groups of episodes that share a prompt, of `tasks` tasks or of all there are."""
    by_task: dict[str, list[Episode]] = {}
    for episode in data:
        by_task.setdefault(episode.task.id, []).append(episode)
    groups = list(by_task.values())
    places = rng.choice(
        len(groups),
        size=min(tasks, len(groups)),
        replace=False,
    )
    return [groups[place] for place in places]


def _step(
    model: PreTrainedModel,
    optimizer: MasterAdamW,
    groups: list[list[Episode]],
    *,
    lr: float,
) -> float:
    """One step of next-token loss on the policy's tokens; returns its mean in nats."""
    head = logits_head(model)
    total = 0
    for group in groups:
        for episode in group:
            total += sum(episode.action_mask)
    loss = 0.0
    for group in groups:
        # The prompt of a group is read once.
        prompt = group[0].segments[0].token_ids
        states = predicting_states(
            model,
            prompt,
            [e.token_ids[len(prompt) :] for e in group],
            [e.action_mask[len(prompt) :] for e in group],
        )
        targets: list[int] = []
        for episode in group:
            for turn in episode.turns:
                targets += turn.token_ids
        ids = torch.tensor(targets, device=states.device)
        logprobs, _ = token_scores(head, states, ids)

        group_loss = -logprobs.sum() / total
        group_loss.backward()
        loss += group_loss.item()
    optimizer.step(lr=lr, max_norm=1.0)
    return loss
