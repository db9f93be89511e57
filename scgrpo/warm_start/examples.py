"""What the warm start learns from: a prompt, and episodes to imitate after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from envs.base import TextEnv
from envs.types import Episode, Segment, Task
from sandboxes import SandboxError
from scgrpo.models.packing import TokenIds, completion_ids, prompt_ids
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts

__all__ = [
    "EPISODES_PER_TASK",
    "Example",
    "drawn_tasks",
    "examples_of",
    "random_episodes",
    "with_token_ids",
    "within_positions",
]

EPISODES_PER_TASK = 4
"""Of a task that is drawn once, and the most of an example: it is read at once."""


@dataclass(frozen=True)
class Example:
    """One prompt and the episodes that are imitated after it.

    | field | meaning |
    |---|---|
    | prompt | its token ids; the episodes' own opening, or that with a reference in it |
    | episodes | with token ids; each follows the prompt, without its own opening |
    """

    prompt: TokenIds
    episodes: Sequence[Episode]


def random_episodes(
    rollouts: Rollouts,
    tasks: Sequence[Task],
    *,
    seed: int,
    description: str = "random episodes",
) -> list[Episode]:
    """`EPISODES_PER_TASK` episodes of the environment's random policy on each task.

    Raises SandboxError for one that broke.
    """
    episodes = rollouts(
        None,
        tasks,
        group=EPISODES_PER_TASK,
        seed=seed,
        description=description,
    )
    # Nothing is learned from them yet, so an error here is the machine's.
    for episode in episodes:
        if episode.verdict is None:
            raise SandboxError(f"a random episode broke: {episode.error}")
    return episodes


def drawn_tasks(env: TextEnv, level: int, episodes: int, seed: int) -> list[Task]:
    """The training tasks that together have at least `episodes` random episodes."""
    rng = np.random.default_rng([seed, level])
    tasks = env.tasks("train", level)
    count = -(-episodes // EPISODES_PER_TASK)
    return [tasks[int(place)] for place in rng.integers(len(tasks), size=count)]


def examples_of(episodes: Iterable[Episode]) -> list[Example]:
    """The episodes of each task behind its own opening, at most `EPISODES_PER_TASK` an example.

    An environment of few tasks has many episodes of each.
    """
    by_task: dict[str, list[Episode]] = {}
    for episode in episodes:
        by_task.setdefault(episode.task.id, []).append(episode)
    return [
        Example(prompt_ids(group[0]), group[start : start + EPISODES_PER_TASK])
        for group in by_task.values()
        for start in range(0, len(group), EPISODES_PER_TASK)
    ]


def within_positions(
    examples: Sequence[Example], positions: int | None
) -> list[Example]:
    """The examples, each with its episodes that end within `positions` (None: any number).

    The random policy knows no budget of tokens, and a model may have too few positions.
    """
    if positions is None:
        return list(examples)
    readable: list[Example] = []
    for example in examples:
        room = positions - len(example.prompt)
        episodes = [e for e in example.episodes if len(completion_ids(e)[0]) <= room]
        if episodes:
            readable.append(replace(example, episodes=episodes))
    return readable


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
