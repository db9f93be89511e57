"""Who teaches, and what a teacher reads before an episode's turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from envs.base import TextEnv
from envs.types import Episode, Message, Task
from scgrpo.credit.options import ReferenceLimits
from scgrpo.credit.references import Case, References
from scgrpo.models.attention import use_packed
from scgrpo.models.load import load_model, resolve_model
from scgrpo.models.packing import TokenIds, completion_ids
from scgrpo.policies.chat import Chat
from scgrpo.teachers.prompts import gold_messages, teacher_messages

__all__ = [
    "Solution",
    "gold_openings",
    "load_teacher",
    "reference_openings",
    "solution_of",
]

Solution = Callable[[Task], Sequence[str]]
"""The turns that solve a task."""


def reference_openings(
    chat: Chat,
    limits: ReferenceLimits,
    episodes: Sequence[Episode],
    group: Sequence[int],
    references: References,
    reference: Tensor,
) -> dict[int, TokenIds]:
    """Each row's opening with the row `reference` (B,) of it in the system message.

    Rows without one, and those whose input would be too long, are left out.
    """
    openings: dict[int, TokenIds] = {}
    made: dict[tuple[int, int], TokenIds | None] = {}
    for row, source in enumerate(reference.tolist()):
        if source < 0:
            continue
        key = (group[row], source)
        if key not in made:
            messages = teacher_messages(
                episodes[row].messages,
                episodes[source],
                verified=int(references.case[row]) != Case.DIVERSITY,
                observation_chars=limits.observation_chars,
                budget_tokens=limits.tokens,
                count=lambda text: len(chat.ids(text)),
            )
            made[key] = _opening(chat, episodes[row], messages)
        _keep(openings, row, made[key], episodes[row], limits)
    return openings


def gold_openings(
    chat: Chat, limits: ReferenceLimits, episodes: Sequence[Episode], solution: Solution
) -> dict[int, TokenIds]:
    """Each row's opening with its task's solution in the system message; too long ones left out."""
    openings: dict[int, TokenIds] = {}
    made: dict[str, TokenIds | None] = {}
    for row, episode in enumerate(episodes):
        if episode.task.id not in made:
            messages = gold_messages(
                episode.messages,
                solution(episode.task),
                budget_tokens=limits.tokens,
                count=lambda text: len(chat.ids(text)),
            )
            made[episode.task.id] = _opening(chat, episode, messages)
        _keep(openings, row, made[episode.task.id], episode, limits)
    return openings


def load_teacher(
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> PreTrainedModel:
    """The model `name`, which scores the student's own tokens and never has a gradient.

    Raises ValueError for one that cannot be found, or whose tokenizer gives ids another meaning.
    """
    model, own = load_model(resolve_model(name), dtype=dtype)
    mine, theirs = tokenizer.get_vocab(), own.get_vocab()
    if mine != theirs:
        differ = sum(theirs.get(token) != i for token, i in mine.items())
        raise ValueError(
            f"teacher={name} has another tokenizer: {differ} of the model's {len(mine)} tokens "
            "are missing there or have another id. It scores the student's own token ids, so "
            "choose a teacher of the model's family"
        )
    model.to(device).requires_grad_(False)
    use_packed(model)
    return model


def solution_of(env: TextEnv) -> Solution:
    """The environment's oracle. Raises ValueError where it has none."""
    if type(env).oracle is TextEnv.oracle:
        raise ValueError(
            f"{env.name} defines no oracle(), whose turns a teacher with the gold solution reads; "
            "choose another algo or environment"
        )
    return env.oracle


def _opening(
    chat: Chat, episode: Episode, messages: list[Message] | None
) -> TokenIds | None:
    return None if messages is None else tuple(chat.prompt(messages, episode.tools)[1])


def _keep(
    openings: dict[int, TokenIds],
    row: int,
    opening: TokenIds | None,
    episode: Episode,
    limits: ReferenceLimits,
) -> None:
    """Puts the row's opening down where it and the episode are not too long."""
    if (
        opening is not None
        and len(opening) + len(completion_ids(episode)[0]) <= limits.input_tokens
    ):
        openings[row] = opening
