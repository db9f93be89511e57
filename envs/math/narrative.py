"""Word problems as JSON: steps drawn at random, followed exactly, told in sentences.

A part is `{"story": "apples", "who": "Ann", "start": 12, "steps": [["add", 3], ["packs", 2, 6]]}`.
A problem is a list of parts; each one after the first begins with what the one before came to, so
that its `start` is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from envs.math.stories import ASIDES, STORIES, Story

__all__ = [
    "KINDS",
    "Part",
    "drawn_part",
    "edits",
    "first_step",
    "interrupted",
    "numbers",
    "outcome",
    "told",
]

Part = dict[str, Any]
Step = list[Any]

MOST = 2000
KINDS = ("add", "take", "times", "share", "packs")


def drawn_part(
    rng: Random,
    story: Story,
    who: str,
    start: int | None,
    count: int,
    kinds: Sequence[str],
) -> tuple[Part, int]:
    """A part of so many steps, and what it comes to.

    `start` is what the part before came to; None draws a number for the first part.
    """
    first = start is None
    quantity = opening = rng.randint(3, 40) if start is None else start
    steps: list[Step] = []
    while len(steps) < count:
        step = _drawn_step(rng, rng.choice(kinds), quantity)
        after = _after(quantity, step)
        if after is not None and after <= MOST:
            quantity = after
            steps.append(step)
    part = {
        "story": story.name,
        "who": who,
        "start": opening if first else None,
        "steps": steps,
    }
    return part, quantity


def outcome(parts: Sequence[Part]) -> int | None:
    """What the last part comes to; None where a quantity cannot be counted on the way."""
    quantity = 0
    for part in parts:
        quantity = quantity if part["start"] is None else part["start"]
        for step in part["steps"]:
            after = _after(quantity, step)
            if after is None:
                return None
            quantity = after
    return quantity


def told(parts: Sequence[Part]) -> list[str]:
    """The sentences, the question last."""
    found: list[str] = []
    for place, part in enumerate(parts):
        story, who, tail = STORIES[part["story"]], part["who"], ""
        if place > 0:
            before = parts[place - 1]
            tail = f" as {before['who']} now has {STORIES[before['story']].unit}"
        amount = "as many" if part["start"] is None else part["start"]
        found.append(story.start.format(who=who, n=amount, tail=tail))
        found += [_sentence(story, who, step) for step in part["steps"]]
    last = parts[-1]
    return [*found, STORIES[last["story"]].question.format(who=last["who"])]


def interrupted(rng: Random, who: str, count: int, length: int) -> list[Step]:
    """Places before the end, and sentences that do not matter: `[[2, "It is 9 degrees ..."]]`."""
    asides = rng.sample(ASIDES, count)
    return [
        [rng.randrange(1, length), aside.format(who=who, n=rng.randint(2, 60))]
        for aside in asides
    ]


def numbers(parts: Sequence[Part]) -> list[int]:
    """The numbers that matter, in order."""
    starts = [part["start"] for part in parts if part["start"] is not None]
    return starts + [
        number for part in parts for step in part["steps"] for number in step[1:]
    ]


def first_step(parts: Sequence[Part]) -> str:
    """The first step as an expression."""
    (kind, *values), start = parts[0]["steps"][0], parts[0]["start"]
    if kind == "packs":
        return f"{start} + {values[0]} * {values[1]}"
    sign = {"add": "+", "take": "-", "times": "*", "share": "/"}[kind]
    return f"{start} {sign} {values[0]}"


def edits(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The problem with one number changed, smaller changes first."""
    for change in range(1, 100):
        for sign in (1, -1):
            yield from _changed(parts, sign * change)


def _changed(parts: Sequence[Part], change: int) -> Iterator[list[Part]]:
    head, *rest = parts
    if head["start"] + change > 0:
        yield [{**head, "start": head["start"] + change}, *rest]
    for place, part in enumerate(parts):
        for index, (kind, *values) in enumerate(part["steps"]):
            if values[0] + change < 2:
                continue
            steps = [*part["steps"]]
            steps[index] = [kind, values[0] + change, *values[1:]]
            yield [*parts[:place], {**part, "steps": steps}, *parts[place + 1 :]]


def _drawn_step(rng: Random, kind: str, quantity: int) -> Step:
    """A step of that kind; it may leave what cannot be counted."""
    if kind == "add":
        return [kind, rng.randint(2, 20)]
    if kind == "take":
        return [kind, rng.randint(2, max(2, min(40, quantity - 1)))]
    if kind == "times":
        return [kind, rng.randint(2, 5)]
    if kind == "packs":
        return [kind, rng.randint(2, 6), rng.randint(2, 12)]
    return [kind, rng.choice([n for n in range(2, 7) if quantity % n == 0] or [2])]


def _after(quantity: int, step: Step) -> int | None:
    """What a step leaves; None where that is no whole number of 1 or more."""
    kind, n, *more = step
    if kind == "share":
        return quantity // n if quantity % n == 0 else None
    if kind == "times":
        return quantity * n
    if kind == "take":
        return quantity - n if quantity > n else None
    return quantity + (n * more[0] if kind == "packs" else n)


def _sentence(story: Story, who: str, step: Step) -> str:
    kind, *values = step
    named = (
        {"n": values[0]} if len(values) == 1 else dict(zip("ab", values, strict=True))
    )
    return getattr(story, kind).format(who=who, **named)
