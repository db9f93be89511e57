"""A reference episode, as the teacher reads it: text in the system prompt, and nothing else.

The teacher sees the student's messages with the reference appended to the system message; problem,
later tokens and everything after them stay the same (STATED by arXiv:2606.18810). How an episode of
several turns becomes text is our decision (CHOSEN).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envs.types import Episode, Message

__all__ = [
    "GOLD_GUIDE",
    "NEUTRAL_GUIDE",
    "VERIFIED_GUIDE",
    "gold_messages",
    "guide_messages",
    "turn_texts",
    "teacher_messages",
]

VERIFIED_GUIDE = (
    "Below is an earlier attempt at the task that the user is about to give. "
    "It was verified to be correct. Use it as guidance."
)
NEUTRAL_GUIDE = (
    "Below is an earlier attempt at the task that the user is about to give."
)
GOLD_GUIDE = "Below is the solution of the task that the user is about to give. Use it as guidance."


def teacher_messages(
    messages: Sequence[Message],
    reference: Episode,
    *,
    verified: bool,
    observation_chars: int,
    budget_tokens: int,
    count: Callable[[str], int],
) -> list[Message] | None:
    """`messages` with a guide sentence and the reference at the end of the system message.

    A chat without a system message gets one. `verified` chooses the guide: False is neutral and
    claims no success, for n = 0 groups. The negative reference of a contrast is introduced with the
    same guide as the verified one, so that only the attempt differs.

    `count` returns the tokens of a text; what is added may take `budget_tokens`. Turns are dropped
    whole, the oldest first, because the last ones hold what decided the outcome. None (overflow)
    if not even the last turn fits, or the reference has no turn.
    """
    guide = VERIFIED_GUIDE if verified else NEUTRAL_GUIDE
    turns = turn_texts(reference, observation_chars)
    return _fit(messages, guide, "attempt", turns, budget_tokens, count)


def gold_messages(
    messages: Sequence[Message],
    turns: Sequence[str],
    *,
    budget_tokens: int,
    count: Callable[[str], int],
) -> list[Message] | None:
    """`messages` with the turns that solve the task at the end of the system message.

    Fitted as in `teacher_messages`; None if not even the last turn fits, or there is none.
    """
    texts = [f"Action {number}:\n{turn}" for number, turn in enumerate(turns, start=1)]
    return _fit(messages, GOLD_GUIDE, "solution", texts, budget_tokens, count)


def guide_messages(
    messages: Sequence[Message], *, verified: bool = True
) -> list[Message]:
    """`messages` with the guide of a reference alone, as `verified` chooses it: a control."""
    return _with_system(messages, VERIFIED_GUIDE if verified else NEUTRAL_GUIDE)


def turn_texts(episode: Episode, observation_chars: int) -> list[str]:
    """One text for each turn of the policy: what it wrote and the reply, without the prompt.

    A reply is cut to its first `observation_chars` characters, and says so.
    """
    turns: list[str] = []
    for segment in episode.segments:
        if segment.source == "policy":
            turns.append(f"Action {len(turns) + 1}:\n{segment.text}")
        elif segment.source == "env" and turns:
            turns[-1] += f"\nObservation:\n{_truncate(segment.text, observation_chars)}"
    return turns


def _fit(
    messages: Sequence[Message],
    guide: str,
    tag: str,
    turns: Sequence[str],
    budget_tokens: int,
    count: Callable[[str], int],
) -> list[Message] | None:
    """`messages` with guide and as many of the last turns as the budget allows; None for none."""
    for dropped in range(len(turns)):
        parts = list(turns[dropped:])
        if dropped:
            parts.insert(0, f"[{dropped} earlier turns left out]")
        added = "\n\n".join([guide, f"<{tag}>", *parts, f"</{tag}>"])
        if count(added) <= budget_tokens:
            return _with_system(messages, added)
    return None


def _truncate(text: str, chars: int) -> str:
    if len(text) <= chars:
        return text
    return f"{text[:chars]}\n[{len(text) - chars} characters cut]"


def _with_system(messages: Sequence[Message], added: str) -> list[Message]:
    """`messages` with `added` at the end of the first system message, or as one."""
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": added}, *messages]
    content = f"{messages[0]['content']}\n\n{added}"
    return [{"role": "system", "content": content}, *messages[1:]]
