"""Whether the prompts of a run's tasks leave room for a turn, measured before the first episode."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from envs.base import TextEnv
from envs.rollout import Limits, play
from envs.types import Episode, Message, Segment, Task
from scgrpo.credit.options import ReferenceLimits
from scgrpo.policies.chat import Chat
from scgrpo.teachers.prompt_ids import Solution
from scgrpo.teachers.prompts import gold_messages
from scgrpo.training.causes import describe_long_prompt

__all__ = ["PromptOnly", "check_gold_prompts", "check_openings", "long_openings"]

MAX_TASKS = 5000
LONGEST = 3
SEED = 0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptOnly:
    """A policy that renders an episode's prompt with a model's chat, and writes nothing."""

    chat: Chat
    version: int = 0

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        """A conversation that ends before its first turn."""
        text, ids = self.chat.prompt(messages, tools)
        return _Conversation(Segment("prompt", text, tuple(ids)))

    def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class _Conversation:
    prompt: Segment

    def generate(self) -> None:
        """No turn."""

    def append(self, reply: str) -> Segment:
        """Never called, because there is no turn to reply to."""
        return Segment("env", reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def check_openings(
    env: TextEnv,
    levels: Sequence[int],
    later: Sequence[int],
    chat: Chat,
    limits: Limits,
    reference: ReferenceLimits | None = None,
) -> None:
    """Raises ValueError for a training task whose prompt leaves no room for a turn.

    `levels` are those that the run starts with: there the longest prompts must fit. Of those that
    it may reach `later`, one prompt must fit, and the others are warned of: an episode of a prompt
    that is too long is counted and teaches nothing. `reference` is that of an algorithm whose
    teacher reads references: its input must have room as well.
    """
    policy = PromptOnly(chat)
    for level in levels:
        _check_level(env, level, policy, limits, reference)
    for level in later:
        _check_later_level(env, level, policy, limits)


def long_openings(
    env: TextEnv, tasks: Sequence[Task], chat: Chat, limits: Limits
) -> list[Episode]:
    """The longest prompt of the tasks, as an episode, if it leaves no room for a turn."""
    longest = sorted(tasks, key=_characters)[-1:]
    episodes = _openings(env, longest, PromptOnly(chat), limits)
    return [episode for episode in episodes if episode.prompt_too_long]


def check_gold_prompts(
    env: TextEnv,
    levels: Sequence[int],
    chat: Chat,
    limits: Limits,
    reference: ReferenceLimits,
    solution: Solution,
) -> None:
    """Raises ValueError for a training task whose solution does not fit the teacher's prompt."""
    for level in levels:
        longest = _by_length(env, level)[-LONGEST:]
        for episode in _rendered_openings(env, longest, PromptOnly(chat), limits):
            messages = gold_messages(
                episode.messages,
                solution(episode.task),
                budget_tokens=reference.tokens,
                count=lambda text: len(chat.ids(text)),
            )
            if messages is None:
                raise ValueError(
                    f"{env.name}, task {episode.task.id}: its solution does not fit "
                    f"reference.tokens={reference.tokens}; set a larger one"
                )
            _, ids = chat.prompt(messages, episode.tools)
            _check_input(env, episode.task, len(ids), reference)


def _check_level(
    env: TextEnv,
    level: int,
    policy: PromptOnly,
    limits: Limits,
    reference: ReferenceLimits | None,
) -> None:
    """Raises ValueError unless the longest prompts leave room for a turn, and for a teacher's."""
    longest = _by_length(env, level)[-LONGEST:]
    for episode in _rendered_openings(env, longest, policy, limits):
        if episode.prompt_too_long:
            raise ValueError(_refusal(env, episode, limits))
        _warn_of_short_turns(env, episode, limits)
        if reference is not None:
            tokens = len(episode.segments[0].token_ids)
            _check_input(env, episode.task, tokens, reference)


def _check_later_level(
    env: TextEnv, level: int, policy: PromptOnly, limits: Limits
) -> None:
    """Raises ValueError if no prompt leaves room for a turn, and warns if some do not."""
    tasks = _by_length(env, level)
    for episode in _rendered_openings(env, tasks[:1], policy, limits):
        if episode.prompt_too_long:
            raise ValueError(
                f"{_refusal(env, episode, limits)}. No prompt of level {level} is shorter: leave "
                "that level out by levels=..."
            )
    for episode in long_openings(env, tasks, policy.chat, limits):
        refusal = _refusal(env, episode, limits)
        logger.warning("%s. Such episodes are counted and teach nothing", refusal)


def _by_length(env: TextEnv, level: int) -> list[Task]:
    """The training tasks of a level, those with few characters first."""
    tasks = islice(env.tasks("train", level), MAX_TASKS)
    return sorted(tasks, key=_characters)


def _characters(task: Task) -> int:
    return len(task.prompt)


def _openings(
    env: TextEnv, tasks: Sequence[Task], policy: PromptOnly, limits: Limits
) -> list[Episode]:
    """An episode of each task that ends before its first turn."""
    return [play(env, policy, task, limits=limits, seed=SEED) for task in tasks]


def _rendered_openings(
    env: TextEnv, tasks: Sequence[Task], policy: PromptOnly, limits: Limits
) -> list[Episode]:
    """The openings, but for those whose reset broke: the run counts such episodes by cause.

    Raises ValueError if the chat template cannot render a prompt.
    """
    openings: list[Episode] = []
    for episode in _openings(env, tasks, policy, limits):
        if not episode.errored:
            openings.append(episode)
        elif episode.messages:
            raise ValueError(
                f"{env.name}, task {episode.task.id}: the model's chat template cannot render the "
                f"prompt: {episode.error}"
            )
    return openings


def _refusal(env: TextEnv, episode: Episode, limits: Limits) -> str:
    tokens = len(episode.segments[0].token_ids)
    return (
        f"{env.name}, {describe_long_prompt(episode)}; set limits.episode_tokens="
        f"{tokens + limits.turn_tokens} or more, for the prompt and one turn of "
        f"limits.turn_tokens={limits.turn_tokens}"
    )


def _warn_of_short_turns(env: TextEnv, episode: Episode, limits: Limits) -> None:
    tokens = len(episode.segments[0].token_ids)
    room = limits.episode_tokens - tokens
    if room < limits.turn_tokens:
        logger.warning(
            "%s, task %s: its prompt of %d tokens leaves %d of limits.episode_tokens=%d, not even "
            "one turn of limits.turn_tokens=%d",
            *(env.name, episode.task.id, tokens, room),
            *(limits.episode_tokens, limits.turn_tokens),
        )


def _check_input(
    env: TextEnv, task: Task, tokens: int, reference: ReferenceLimits
) -> None:
    """Raises ValueError if a teacher's prompt of that many tokens leaves no room for a turn."""
    if tokens >= reference.input_tokens:
        raise ValueError(
            f"{env.name}, task {task.id}: the teacher's prompt has {tokens} tokens, which leaves "
            f"no room for a turn in reference.input_tokens={reference.input_tokens}; set a "
            "larger one"
        )
