"""Tokens that a policy samples per second, against a loop that waits for the slowest turn.

The loop is what trainers do on top of `transformers.generate`: one batch per turn, the whole
history prefilled again each time, and no episode goes on before the slowest is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from benchmarks import Goal, Row, clock_rows, clocks
from envs import registry
from envs.rollout import Limits
from envs.types import Task
from scgrpo.models.load import default_device, default_dtype, load_model
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.chat import Chat
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts

ROUNDS = 5
GOAL = Goal(">=", 3.0)
ENV, LEVEL = "toy_guess", 1
TASKS, GROUP = 4, 8
LIMITS = Limits(turn_tokens=48, episode_tokens=640)


def main(rounds: int | None = None) -> list[Row]:
    """Needs the default model: the hub, pip or its cache."""
    folder, dtype = resolve_model("auto"), default_dtype()
    model, tokenizer = load_model(folder, dtype=dtype)
    model.to(default_device())
    peer_model, _ = load_model(folder, dtype=dtype)
    peer_model.to(default_device())
    with (
        HFPolicy(
            model, tokenizer, slots=TASKS * GROUP, cache_tokens=LIMITS.episode_tokens
        ) as policy,
        Rollouts(ENV, LIMITS) as play,
    ):
        tasks = play.env.tasks("train", LEVEL)[:TASKS]

        def ours(seed: int) -> int:
            policy.sync_weights()  # each step of training starts without a cached opening
            episodes = play(policy, tasks, group=GROUP, seed=seed)
            return sum(turn.length for e in episodes for turn in e.turns)

        def theirs(seed: int) -> int:
            torch.manual_seed(seed)
            repeated = [task for task in tasks for _ in range(GROUP)]
            return turn_by_turn(peer_model, policy.chat, repeated)

        times, tokens = [], []
        # The first round warms both up.
        for seed in range((rounds or ROUNDS) + 1):
            count, seconds = timed(ours, seed)
            their_count, their_seconds = timed(theirs, seed)
            if seed:
                times.append((seconds, their_seconds))
                tokens.append((count, their_count))
    return clock_rows(
        "rollout",
        f"{TASKS} x {GROUP} episodes of up to 3 turns",
        "tokens/s",
        times,
        "one generate() per turn",
        amounts=tokens,
        goal=GOAL,
    )


def timed(rollout: Callable[[int], int], seed: int) -> tuple[int, np.ndarray]:
    """New tokens of a rollout, and its seconds by each of `CLOCKS`."""
    begun = clocks()
    tokens = rollout(seed)
    return tokens, clocks() - begun


def turn_by_turn(model: Any, chat: Chat, tasks: Sequence[Task]) -> int:
    """Plays an episode of each task; returns the number of sampled tokens."""
    envs = [registry.make(ENV) for _ in tasks]
    histories = []
    sampled = 0
    for env, task in zip(envs, tasks, strict=True):
        options = {"split": task.split, "level": task.level, "task_id": task.id}
        _, info = env.reset(options=options)
        histories.append(chat.prompt(info["messages"], info["tools"])[1])
    live = list(range(len(tasks)))
    while live:
        turns = batch_of_turns(model, chat, [histories[row] for row in live])
        running = []
        for row, ids in zip(live, turns, strict=True):
            sampled += len(ids)
            reply, _, terminated, truncated, _ = envs[row].step(chat.text(ids))
            if not (terminated or truncated):
                histories[row] += ids + chat.reply(reply, ended=ids[-1] == chat.end_id)
                running.append(row)
        live = running
    return sampled


def batch_of_turns(
    model: Any, chat: Chat, histories: Sequence[list[int]]
) -> list[list[int]]:
    """The next turn of each history, up to its end token."""
    width = max(map(len, histories))
    pad = min(chat.end_ids)
    ids = torch.tensor(
        [[pad] * (width - len(h)) + h for h in histories], device=model.device
    )
    real = torch.tensor(
        [[0] * (width - len(h)) + [1] * len(h) for h in histories], device=model.device
    )
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=real,
            max_new_tokens=LIMITS.turn_tokens,
            do_sample=True,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            eos_token_id=sorted(chat.end_ids),
            pad_token_id=pad,
        )
    return [up_to_the_end(row, chat) for row in out[:, width:].tolist()]


def up_to_the_end(row: list[int], chat: Chat) -> list[int]:
    """The ids up to the first end token, which is kept."""
    before = list(takewhile(lambda i: i not in chat.end_ids, row))
    return row[: len(before) + 1]
