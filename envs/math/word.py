"""Word problems from templates, with a scratchpad that computes what is noted in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from keyword import iskeyword
from random import Random
from typing import Any

import numpy as np

from envs.math.answers import NO_VALUE, one_of_several, random_operation, read_value
from envs.math.calc import CalcError, evaluate
from envs.math.narrative import (
    KINDS,
    Part,
    edits,
    first_step,
    numbers,
    outcome,
    random_asides,
    random_part,
    sentences,
)
from envs.math.stories import HELD_OUT, NAMES, SEEN
from envs.supply import TaskSource, in_split
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict

__all__ = ["MathWord"]

CHOICES = 4
NOTE_OPERATIONS = 2
# By level: how many steps in one story, and in each of two chained ones.
_STEPS = (1, 1, 2, 4, 6)
_CHAINED = (1, 1, 1, 2, 3)
_CHANCE = (1 / CHOICES, 0.17, 0.01, 0.01, 0.01)

_NAME = re.compile(r"[a-z][a-z_]{0,19}")


class MathWord(ToolEnv):
    """Solve a word problem and give the number; the first number given is final.

    | | |
    |---|---|
    | prompt | `Ann has 12 apples. Ann eats 5 of them. How many apples does Ann have now?`; |
    | | at level 0 with four values to choose from |
    | turn | a value alone (`24`), or any text whose last line is `Answer: 24` |
    | tool | `note(line)` above level 0: `bought = 3 * 4` computes, exactly and with at most two |
    | | operations, and keeps the result for later lines by its name |
    | reply | the noted value; what is wrong, for a turn that is neither |
    | verifier | equality of fractions |
    | limits | 3 turns of any kind; none left without a value is a failure |
    | level 0 | one step, an addition or a subtraction; listed are the outcomes of four stories |
    | levels 1 to 4 | 1, 2, 4 and 6 steps: more, fewer, times, an equal share, packs of a number |
    | `train`, `id` | 12 templates, with different numbers, drawn alike |
    | `ood/domain` | 6 held-out templates: tank, bus, game, hike, battery, fish |
    | `ood/noise` | the templates of `train` and one to three sentences with idle numbers |
    | `ood/composition` | two templates of `train`: the second begins with what the first leaves; |
    | | as many steps as the level has, and at least one in each |
    | size | 2,000 tasks of `train` and 300 of every other split, at each level |
    | family | templates and the set of numbers that matter; every split has its own |
    | oracle | the first step as a note, and the value |
    | twin | one number differs, and so does the value; at level 0 it is another listed one |
    | chance | level 0: a uniform listed value, 1/4; above: one operation on two numbers of the |
    | | prompt as a note, then its result, measured on 2,000 episodes of `train` |
    | source, licence | generated here; Apache-2.0 |
    """

    name = "math_word"
    splits = ("train", "id", "ood/domain", "ood/noise", "ood/composition")
    levels = (0, 1, 2, 3, 4)
    max_turns = 3
    instructions = "Reply with the number alone, such as 7. Your first number is final."

    def __init__(self) -> None:
        super().__init__()
        self._notes: dict[str, Fraction] = {}

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level, in the order in which they are drawn."""
        return _tasks(split, level)

    def begin(self, task: Task) -> None:
        """Nothing is noted yet."""
        self._notes = {}

    def tool_names(self) -> Sequence[str]:
        """The scratchpad, above level 0."""
        return () if self.task.level == 0 else ("note",)

    def reply(self, text: str) -> str | Verdict:
        """Judges a value, else runs the tool that the turn calls."""
        value = read_value(text)
        if value is not None:
            return self._verdict(value)
        # Only a brace can begin a call: other prose gets the hint about values.
        if "{" in text:
            return super().reply(text)
        self.malformed += 1
        return NO_VALUE

    def _verdict(self, value: Fraction) -> Verdict:
        right = str(value) == self.task.payload["answer"]
        detail = "right" if right else f"{value} is wrong"
        return Verdict(right, float(right), detail)

    @tool
    def note(self, line: str) -> str:
        """Note a result by a name, such as total = 3 * 4."""
        name, _, expression = line.lower().partition("=")
        name = name.strip()
        if not _NAME.fullmatch(name) or iskeyword(name):
            return (
                "note: write a name of letters, =, and numbers, such as total = 3 * 4"
            )
        try:
            value = evaluate(
                expression, names=self._notes, max_operations=NOTE_OPERATIONS
            )
        except CalcError as error:
            return f"note: {error}"
        # A name that is noted again moves to the end: a random turn reads the last note.
        self._notes.pop(name, None)
        self._notes[name] = value
        return f"{name} = {value}"

    def oracle(self, task: Task) -> list[str]:
        """The first step as a note above level 0, and the value."""
        turns = []
        if task.level > 0:
            step = first_step(task.payload["parts"])
            turns.append(render_call("note", line=f"x = {step}"))
        turns.append(task.payload["answer"])
        return turns

    def critical(self, task: Task) -> list[str]:
        """The value, in the last turn."""
        return [task.payload["answer"]]

    def twin(self, task: Task) -> Task:
        """The same story with one number changed, so that the value differs."""
        twin = _twin(task)
        if twin is None:
            raise ValueError(f"no single number changes the value of {task.id}")
        return twin

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def random_turn(self, rng: np.random.Generator) -> str:
        """A listed value; above level 0 a note, and then its result."""
        payload = self.task.payload
        if self.task.level == 0:
            return str(rng.choice(payload["choices"]))
        if self._notes:
            last = list(self._notes.values())[-1]
            return str(last)
        operation = random_operation(rng, numbers(payload["parts"]))
        return render_call("note", line=f"x = {operation}")

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot and the notes."""
        notes = {name: str(value) for name, value in self._notes.items()}
        return {**super().get_state(), "notes": notes}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with its notes."""
        super().set_state(state)
        notes = state["notes"].items()
        self._notes = {name: Fraction(value) for name, value in notes}


@cache
def _tasks(split: str, level: int) -> TaskSource:
    def draw(rng: Random, task_id: str) -> Task:
        """The next task of the split at the level."""
        if level == 0:
            return _choice_task(rng, task_id, split)
        parts, _ = _draw_parts(rng, split, level)
        asides = _asides(rng, split, parts)
        return _task(task_id, split, level, parts, asides, [])

    return TaskSource(MathWord.name, split, level, draw)


def _choice_task(rng: Random, task_id: str, split: str) -> Task:
    """A task of level 0: the outcomes of several stories, and one of the stories to follow."""
    rank = rng.randrange(CHOICES)
    while True:
        parts, choices = one_of_several(
            rng,
            lambda: _draw_parts(rng, split, 0),
            CHOICES,
            rank,
        )
        asides = _asides(rng, split, parts)
        task = _task(task_id, split, 0, parts, asides, choices)
        if _twin(task) is not None:
            return task


def _twin(task: Task) -> Task | None:
    """The task with one number changed, so that another value is right: a listed one, if any are.

    None when no single number does that.
    """
    payload = task.payload
    choices = payload["choices"]
    for parts in edits(payload["parts"]):
        answer = outcome(parts)
        if answer is None or str(answer) == payload["answer"]:
            continue
        if choices and str(answer) not in choices:
            continue
        return _task(
            task.id,
            task.split,
            task.level,
            parts,
            payload["asides"],
            choices,
        )
    return None


def _draw_parts(rng: Random, split: str, level: int) -> tuple[list[Part], int]:
    """One story, or two if they are chained, and the answer."""
    chained = split == "ood/composition"
    count = (_CHAINED if chained else _STEPS)[level]
    templates = HELD_OUT if split == "ood/domain" else SEEN
    kinds = KINDS[:2] if level == 0 else KINDS

    while True:
        # Two of each are drawn for a single story too: a seed fixes the tasks by its draws.
        story, next_story = rng.sample(templates, 2)
        who, next_who = rng.sample(NAMES, 2)
        part, quantity = random_part(rng, story, who, None, count, kinds)
        if chained:
            second, answer = random_part(
                rng,
                next_story,
                next_who,
                quantity,
                count,
                kinds,
            )
            return [part, second], answer
        if in_split(_family([part]), split, "ood/noise"):
            return [part], quantity


def _asides(rng: Random, split: str, parts: Sequence[Part]) -> list[list[Any]]:
    if split != "ood/noise":
        return []
    count = rng.randint(1, 3)
    return random_asides(rng, parts[0]["who"], count, len(sentences(parts)))


def _task(
    task_id: str,
    split: str,
    level: int,
    parts: Sequence[Part],
    asides: Sequence[Sequence[Any]],
    choices: Sequence[str],
) -> Task:
    prompt = _story_text(parts, asides)
    if choices:
        prompt += f"\nChoose: {' '.join(choices)}"
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=_family(parts),
        prompt=prompt,
        payload={
            "parts": list(parts),
            "asides": [list(aside) for aside in asides],
            "answer": str(outcome(parts)),
            "choices": list(choices),
        },
    )


def _story_text(parts: Sequence[Part], asides: Sequence[Sequence[Any]]) -> str:
    texts = sentences(parts)
    # From the back, so that an insertion moves none of the places still to come.
    for place, aside in sorted(asides, key=lambda item: item[0], reverse=True):
        texts.insert(place, aside)
    return " ".join(texts)


def _family(parts: Sequence[Part]) -> str:
    """The templates, and the numbers that matter, sorted."""
    words = [part["story"] for part in parts]
    words += [str(number) for number in sorted(numbers(parts))]
    return " ".join(words)
