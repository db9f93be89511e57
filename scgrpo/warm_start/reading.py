"""Examples that teach a model to read a reference, and not what solves a task.

A model that does not read its references has noise for credit. So verified random episodes are
imitated with a verified reference of their own task in the system message, exactly as a teacher
reads it, and ordinary episodes with another task's: the mere presence of a reference says nothing.
Where no reference stands, random episodes are imitated, of which most fail.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.types import Episode, Task
from scgrpo.credit.options import ReferenceLimits
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts
from scgrpo.teachers.prompts import teacher_messages
from scgrpo.warm_start.examples import (
    EPISODES_PER_TASK,
    Example,
    random_episodes,
    with_token_ids,
    within_positions,
)

__all__ = ["ReadingExamples", "reading_examples"]

ROUNDS = 4
"""Most rounds of random episodes of a task, of which the first is played anyway."""
OTHER_EVERY = 4
"""One in so many examples has another task's reference."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadingExamples:
    """Examples with a reference in their prompt.

    | field | meaning |
    |---|---|
    | own | verified episodes after a verified one of their own task |
    | other | random episodes after a verified one of another task |
    """

    own: Sequence[Example]
    other: Sequence[Example]

    def __str__(self) -> str:
        return f"references of {len(self.own)} tasks"

    def draw(self, count: int, rng: np.random.Generator) -> list[Example]:
        """`count` examples, drawn with replacement."""
        chosen: list[Example] = []
        for is_other in rng.integers(OTHER_EVERY, size=count) == 0:
            pool = self.other if is_other and self.other else self.own
            chosen.append(pool[int(rng.integers(len(pool)))])
        return chosen


def reading_examples(
    rollouts: Rollouts,
    episodes: Sequence[Episode],
    chat: Chat,
    limits: ReferenceLimits,
    positions: int | None,
    *,
    seed: int,
) -> ReadingExamples | None:
    """Examples on the tasks of the random `episodes`, which are played more often where needed.

    None, with a warning, if random play solves none of them, or no example fits `limits` and the
    model's `positions` (None: any number).
    """
    rng = np.random.default_rng([seed, len(episodes)])
    by_task = _attempts(rollouts, episodes, seed)
    verified = {
        name: [e for e in attempts if e.verified] for name, attempts in by_task.items()
    }
    sources = [solved[0] for solved in verified.values() if solved]
    own: list[Example] = []
    other: list[Example] = []
    for name, solved in verified.items():
        if solved:
            # A task's only success is copied from itself.
            targets = solved[1:] or solved
            _add(own, solved[0], targets[:EPISODES_PER_TASK], chat, limits)
        foreign = [source for source in sources if source.task.id != name]
        if foreign:
            source = foreign[int(rng.integers(len(foreign)))]
            _add(other, source, by_task[name][:EPISODES_PER_TASK], chat, limits)
    own, other = within_positions(own, positions), within_positions(other, positions)
    if not own:
        logger.warning(
            "warm start: the model is not taught to read references: random play solved %d of %d "
            "tasks, and of these none fits reference.tokens=%d and the model's positions",
            len(sources),
            len(by_task),
            limits.tokens,
        )
        return None
    return ReadingExamples(own, other)


def _attempts(
    rollouts: Rollouts, episodes: Sequence[Episode], seed: int
) -> dict[str, list[Episode]]:
    """Task's id -> its random episodes, until two are verified or no rounds are left."""
    by_task: dict[str, list[Episode]] = {}
    for episode in episodes:
        by_task.setdefault(episode.task.id, []).append(episode)
    tasks: dict[str, Task] = {e.task.id: e.task for e in episodes}
    for number in range(1, ROUNDS):
        missing = [
            tasks[name]
            for name, attempts in by_task.items()
            if sum(bool(e.verified) for e in attempts) < 2
        ]
        if not missing:
            break
        # Rounds differ in their seeds, or each would repeat the first.
        for episode in random_episodes(
            rollouts,
            missing,
            seed=seed + 1_000_003 * number,
            description="random references",
        ):
            by_task[episode.task.id].append(episode)
    return by_task


def _add(
    examples: list[Example],
    reference: Episode,
    targets: Sequence[Episode],
    chat: Chat,
    limits: ReferenceLimits,
) -> None:
    """Appends the targets after the reference, if that fits."""
    messages = teacher_messages(
        targets[0].messages,
        reference,
        verified=True,
        observation_chars=limits.observation_chars,
        budget_tokens=limits.tokens,
        count=lambda text: len(chat.ids(text)),
    )
    if messages is not None:
        _, prompt = chat.prompt(messages, targets[0].tools)
        imitated = [with_token_ids(episode, chat) for episode in targets]
        examples.append(Example(tuple(prompt), imitated))
