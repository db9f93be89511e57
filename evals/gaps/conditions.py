"""What a model is shown in front of a task: its own reference, or one of the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from envs.types import Episode, Message, Task
from evals.evaluation.episodes import rollout_seeds
from evals.evaluation.suites import Suite
from evals.gaps.references import TaskReferences
from scgrpo.credit.options import ReferenceLimits
from scgrpo.policies.chat import Chat
from scgrpo.policies.conditioned import Condition
from scgrpo.teachers.prompts import guide_messages, teacher_messages

__all__ = ["CONTROLS", "OWN", "PLAIN", "by_seed", "conditions_of", "condition_episodes"]

PLAIN, OWN = "none", "own"
CONTROLS: Mapping[str, str] = {
    "other": "a verified episode of another task, introduced as one of this task",
    "failed": "a failed episode of the task, introduced without a claim of success",
    "guide": "the guide sentence of a verified reference, and no reference",
}
"""The controls of a task's own verified episode: what each shows."""


def conditions_of(
    name: str,
    references: Sequence[TaskReferences],
    chat: Chat,
    limits: ReferenceLimits,
) -> list[Condition | None]:
    """What each task's episodes read under the condition `name`; None if nothing can be shown.

    A reference that does not fit `limits.tokens` cannot. The reference of `other` is that of the
    next task that has one.
    """
    if name == "guide":
        return [guide_messages for _ in references]
    conditions: list[Condition | None] = []
    for reference in condition_episodes(name, references):
        if reference is None:
            conditions.append(None)
            continue
        condition = partial(
            _with_reference,
            reference=reference,
            verified=name != "failed",
            chat=chat,
            limits=limits,
        )
        # Whether it fits does not depend on what stands before it.
        fits = condition(()) is not None
        conditions.append(condition if fits else None)  # pyright: ignore[reportArgumentType]
    return conditions


def condition_episodes(
    name: str, references: Sequence[TaskReferences]
) -> list[Episode | None]:
    """The reference that each task's episodes read under `own`, `other` or `failed`."""
    if name == "failed":
        return [reference.failed for reference in references]
    own = [reference.verified for reference in references]
    if name == OWN:
        return own
    places = [place for place, episode in enumerate(own) if episode is not None]
    others: list[Episode | None] = []
    for place in range(len(own)):
        following = [p for p in places if p > place] + [p for p in places if p < place]
        others.append(own[following[0]] if following else None)
    return others


def by_seed(
    suite: Suite,
    tasks: Sequence[Task],
    conditions: Sequence[Condition | None],
    *,
    rollouts: int,
    seed: int,
) -> dict[int, Condition]:
    """Sampling seed -> what that episode reads, for every rollout of the tasks with a condition."""
    conditions_by_seed: dict[int, Condition] = {}
    for task, condition in zip(tasks, conditions, strict=True):
        if condition is not None:
            for number in rollout_seeds(suite, task, rollouts, seed):
                conditions_by_seed[number] = condition
    return conditions_by_seed


def _with_reference(
    messages: Sequence[Message],
    *,
    reference: Episode,
    verified: bool,
    chat: Chat,
    limits: ReferenceLimits,
) -> list[Message] | None:
    return teacher_messages(
        messages,
        reference,
        verified=verified,
        observation_chars=limits.observation_chars,
        budget_tokens=limits.tokens,
        count=lambda text: len(chat.ids(text)),
    )
