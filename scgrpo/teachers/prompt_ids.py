"""The teacher, and what it reads before an episode's turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.base import TextEnv
from envs.types import Episode, Message, Task
from scgrpo.credit.options import ReferenceLimits
from scgrpo.credit.references import Case, References
from scgrpo.models.load import load_model
from scgrpo.models.packing import TokenIds, ids_to_read
from scgrpo.models.paths import choose_path
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.chat import Chat
from scgrpo.teachers.prompts import gold_messages, guide_messages, teacher_messages

__all__ = [
    "Solution",
    "gold_prompts",
    "load_teacher",
    "reference_prompts",
    "solution_of",
]

Solution = Callable[[Task], Sequence[str]]
"""The turns that solve a task."""


def reference_prompts(
    chat: Chat,
    limits: ReferenceLimits,
    episodes: Sequence[Episode],
    group: Sequence[int],
    references: References,
    reference: Tensor,
    *,
    guide_only: bool = False,
) -> dict[int, TokenIds]:
    """Each row's prompt with the row `reference` (B,) of it in the system message.

    Rows without one, and those whose input would be too long, are left out. `guide_only` leaves
    the reference itself out: a control.
    """
    # Rows of one group share their prompt: its text is tokenized once for each reference.
    by_source: dict[tuple[int, int], TokenIds | None] = {}
    prompts: dict[int, TokenIds] = {}
    for row, source in enumerate(reference.tolist()):
        if source < 0:
            continue

        key = (group[row], source)
        if key not in by_source:
            # A group without a success shows a failure: its guide must not claim one.
            is_verified = int(references.case[row]) != Case.DIVERSITY
            if guide_only:
                messages = guide_messages(episodes[row].messages, verified=is_verified)
            else:
                messages = teacher_messages(
                    episodes[row].messages,
                    episodes[source],
                    verified=is_verified,
                    observation_chars=limits.observation_chars,
                    budget_tokens=limits.tokens,
                    count=lambda text: len(chat.ids(text)),
                )
            by_source[key] = _prompt(chat, episodes[row], messages)
        _add_if_fits(prompts, row, by_source[key], episodes[row], limits)
    return prompts


def gold_prompts(
    chat: Chat, limits: ReferenceLimits, episodes: Sequence[Episode], solution: Solution
) -> dict[int, TokenIds]:
    """Each row's prompt with its task's solution in the system message; too long ones left out."""
    by_task: dict[str, TokenIds | None] = {}
    prompts: dict[int, TokenIds] = {}
    for row, episode in enumerate(episodes):
        task = episode.task
        if task.id not in by_task:
            messages = gold_messages(
                episode.messages,
                solution(task),
                budget_tokens=limits.tokens,
                count=lambda text: len(chat.ids(text)),
            )
            by_task[task.id] = _prompt(chat, episode, messages)
        _add_if_fits(prompts, row, by_task[task.id], episode, limits)
    return prompts


def load_teacher(
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> PreTrainedModel:
    """The model `name`, which scores the student's own tokens and never has a gradient.

    Raises ValueError for one that does not exist, or whose tokenizer gives ids another meaning.
    """
    model, teacher_tokenizer = load_model(resolve_model(name), dtype=dtype)

    # The teacher reads the student's ids as they are; another vocabulary would score noise.
    student_vocab = tokenizer.get_vocab()
    teacher_vocab = teacher_tokenizer.get_vocab()
    if student_vocab != teacher_vocab:
        differ = 0
        for token, token_id in student_vocab.items():
            differ += teacher_vocab.get(token) != token_id
        raise ValueError(
            f"teacher={name} has another tokenizer: {differ} of the model's "
            f"{len(student_vocab)} tokens are missing there or have another id. It scores the "
            "student's own token ids, so choose a teacher of the model's family"
        )

    model.to(device).requires_grad_(False)
    choose_path(model)
    return model


def solution_of(env: TextEnv) -> Solution:
    """The environment's oracle. Raises ValueError if it has none."""
    if type(env).oracle is TextEnv.oracle:
        raise ValueError(
            f"{env.name} does not define oracle(), whose turns the teacher reads; "
            "choose another algo or environment"
        )
    return env.oracle


def _prompt(
    chat: Chat, episode: Episode, messages: list[Message] | None
) -> TokenIds | None:
    if messages is None:
        return None
    _, ids = chat.prompt(messages, episode.tools)
    return tuple(ids)


def _add_if_fits(
    prompts: dict[int, TokenIds],
    row: int,
    prompt: TokenIds | None,
    episode: Episode,
    limits: ReferenceLimits,
) -> None:
    """Sets the row's prompt if there is one, and it and the episode are not too long."""
    if prompt is None:
        return
    completion, _ = ids_to_read(episode)
    if len(prompt) + len(completion) <= limits.input_tokens:
        prompts[row] = prompt
