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
    "rendered_turns",
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
    claims no success, for n = 0 groups. The wrong reference of a contrast is introduced with the
    same guide as the right one, so that only the attempt differs.

    `count` returns the tokens of a text; what is added may take `budget_tokens`. Turns are dropped
    whole, the oldest first, because the last ones hold what decided the outcome. None (overflow)
    where not even the last turn fits, or the reference has no turn.
    """
    guide = VERIFIED_GUIDE if verified else NEUTRAL_GUIDE
    turns = rendered_turns(reference, observation_chars)
    return _fitted(messages, guide, "attempt", turns, budget_tokens, count)


def gold_messages(
    messages: Sequence[Message],
    turns: Sequence[str],
    *,
    budget_tokens: int,
    count: Callable[[str], int],
) -> list[Message] | None:
    """`messages` with the turns that solve the task at the end of the system message.

    Fitted as in `teacher_messages`; None where not even the last turn fits, or there is none.
    """
    told = [f"Action {number}:\n{turn}" for number, turn in enumerate(turns, start=1)]
    return _fitted(messages, GOLD_GUIDE, "solution", told, budget_tokens, count)


def rendered_turns(episode: Episode, observation_chars: int) -> list[str]:
    """One text for each turn of the policy: what it wrote and the reply, without the prompt.

    A reply is cut to its first `observation_chars` characters, and says so.
    """
    turns: list[str] = []
    for segment in episode.segments:
        if segment.source == "policy":
            turns.append(f"Action {len(turns) + 1}:\n{segment.text}")
        elif segment.source == "env" and turns:
            turns[-1] += f"\nObservation:\n{_cut(segment.text, observation_chars)}"
    return turns


def _fitted(
    messages: Sequence[Message],
    guide: str,
    tag: str,
    turns: Sequence[str],
    budget_tokens: int,
    count: Callable[[str], int],
) -> list[Message] | None:
    """`messages` with guide and as many of the last turns as the budget allows; None for none."""
    for dropped in range(len(turns)):
        kept = turns[dropped:]
        if dropped:
            kept = [f"[{dropped} earlier turns left out]", *kept]
        added = "\n\n".join([guide, f"<{tag}>", *kept, f"</{tag}>"])
        if count(added) <= budget_tokens:
            return _with_system(messages, added)
    return None


def _cut(text: str, chars: int) -> str:
    return (
        text
        if len(text) <= chars
        else f"{text[:chars]}\n[{len(text) - chars} characters cut]"
    )


def _with_system(messages: Sequence[Message], added: str) -> list[Message]:
    """`messages` with `added` at the end of the first system message, or as one."""
    if messages and messages[0]["role"] == "system":
        base, rest = f"{messages[0]['content']}\n\n{added}", messages[1:]
    else:
        base, rest = added, messages
    return [{"role": "system", "content": base}, *rest]
