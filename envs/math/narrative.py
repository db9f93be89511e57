"""Word problems as JSON: random steps, followed exactly and written as sentences.

A part is `{"story": "apples", "who": "Ann", "start": 12, "steps": [["add", 3], ["packs", 2, 6]]}`.
A problem is a list of parts. Each one after the first begins with the outcome of the one before, so
its `start` is null.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from envs.math.stories import ASIDES, STORIES, Story

__all__ = [
    "KINDS",
    "Part",
    "edits",
    "first_step",
    "numbers",
    "outcome",
    "random_asides",
    "random_part",
    "sentences",
]

Part = dict[str, Any]
Step = list[Any]

MAX_QUANTITY = 2000
KINDS = ("add", "take", "times", "share", "packs")
_SIGNS = {"add": "+", "take": "-", "times": "*", "share": "/"}


def random_part(
    rng: Random,
    story: Story,
    who: str,
    start: int | None,
    count: int,
    kinds: Sequence[str],
) -> tuple[Part, int]:
    """A part of `count` steps, and its outcome.

    `start` is the outcome of the part before; None draws a number for the first part.
    """
    opening = rng.randint(3, 40) if start is None else start
    quantity = opening
    steps: list[Step] = []
    while len(steps) < count:
        step = _random_step(rng, rng.choice(kinds), quantity)
        after = _after(quantity, step)
        if after is not None and after <= MAX_QUANTITY:
            quantity = after
            steps.append(step)

    part = {
        "story": story.name,
        "who": who,
        "start": opening if start is None else None,
        "steps": steps,
    }
    return part, quantity


def outcome(parts: Sequence[Part]) -> int | None:
    """The quantity after the last part; None when one on the way cannot be counted."""
    quantity = 0
    for part in parts:
        if part["start"] is not None:
            quantity = part["start"]
        for step in part["steps"]:
            after = _after(quantity, step)
            if after is None:
                return None
            quantity = after
    return quantity


def sentences(parts: Sequence[Part]) -> list[str]:
    """The problem in sentences, the question last."""
    texts: list[str] = []
    previous = None
    for part in parts:
        story = STORIES[part["story"]]
        texts.append(_opening(part, previous))
        for step in part["steps"]:
            texts.append(_sentence(story, part["who"], step))
        previous = part

    last = parts[-1]
    question = STORIES[last["story"]].question
    texts.append(question.format(who=last["who"]))
    return texts


def _opening(part: Part, previous: Part | None) -> str:
    """The first sentence of a part, which compares with the part before, if any."""
    tail = ""
    if previous is not None:
        unit = STORIES[previous["story"]].unit
        tail = f" as {previous['who']} now has {unit}"
    amount = "as many" if part["start"] is None else part["start"]
    template = STORIES[part["story"]].start
    return template.format(who=part["who"], n=amount, tail=tail)


def random_asides(rng: Random, who: str, count: int, length: int) -> list[Step]:
    """Sentences that do not matter, each with its place: `[[2, "It is 9 degrees ..."]]`.

    `length` is the number of sentences that matter; all places are before the last of them.
    """
    asides = []
    for template in rng.sample(ASIDES, count):
        place = rng.randrange(1, length)
        text = template.format(who=who, n=rng.randint(2, 60))
        asides.append([place, text])
    return asides


def numbers(parts: Sequence[Part]) -> list[int]:
    """The numbers that matter: the starts, then those of the steps."""
    values = [part["start"] for part in parts if part["start"] is not None]
    for part in parts:
        for _, *step_values in part["steps"]:
            values += step_values
    return values


def first_step(parts: Sequence[Part]) -> str:
    """The first step as an expression."""
    start = parts[0]["start"]
    kind, *values = parts[0]["steps"][0]
    if kind == "packs":
        packs, size = values
        return f"{start} + {packs} * {size}"
    sign = _SIGNS[kind]
    return f"{start} {sign} {values[0]}"


def edits(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """The problem with one number changed, smaller changes first."""
    for change in range(1, 100):
        for sign in (1, -1):
            yield from _edits_by(parts, sign * change)


def _edits_by(parts: Sequence[Part], change: int) -> Iterator[list[Part]]:
    """The problem with one of its numbers larger by `change`."""
    first, *rest = parts
    start = first["start"] + change
    if start > 0:
        yield [{**first, "start": start}, *rest]

    for place, part in enumerate(parts):
        for steps in _step_edits(part["steps"], change):
            edited = {**part, "steps": steps}
            yield [*parts[:place], edited, *parts[place + 1 :]]


def _step_edits(steps: Sequence[Step], change: int) -> Iterator[list[Step]]:
    for index, (kind, number, *rest) in enumerate(steps):
        # No template reads well with fewer than two.
        if number + change >= 2:
            edited = list(steps)
            edited[index] = [kind, number + change, *rest]
            yield edited


def _random_step(rng: Random, kind: str, quantity: int) -> Step:
    """A step of that kind; it may leave a quantity that cannot be counted."""
    if kind == "add":
        return [kind, rng.randint(2, 20)]
    if kind == "take":
        most = min(40, quantity - 1)
        return [kind, rng.randint(2, max(2, most))]
    if kind == "times":
        return [kind, rng.randint(2, 5)]
    if kind == "packs":
        return [kind, rng.randint(2, 6), rng.randint(2, 12)]
    divisors = [n for n in range(2, 7) if quantity % n == 0]
    return [kind, rng.choice(divisors or [2])]


def _after(quantity: int, step: Step) -> int | None:
    """The quantity after a step; None when that is no whole number of 1 or more."""
    kind, n, *rest = step
    if kind == "share":
        return quantity // n if quantity % n == 0 else None
    if kind == "times":
        return quantity * n
    if kind == "take":
        return quantity - n if quantity > n else None
    if kind == "packs":
        return quantity + n * rest[0]
    return quantity + n


def _sentence(story: Story, who: str, step: Step) -> str:
    kind, *values = step
    template = getattr(story, kind)
    if len(values) == 1:
        return template.format(who=who, n=values[0])
    packs, size = values
    return template.format(who=who, a=packs, b=size)
