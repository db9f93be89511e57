"""Arithmetic and algebra of reasoning-gym, judged by our own extraction and exact comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from random import Random

from envs.math.answers import one_of_several
from envs.math.chain import CHOICE_TURNS, CHOICES, MathChain
from envs.math.gym.families import HELD_OUT, SEEN, asked, edits, solved, whole_only
from envs.supply import TaskSource, in_split
from envs.types import Task

__all__ = ["MathGym"]

INDICES = 2**31
QUESTIONS_DRAWN = 400
_CHANCE = (CHOICE_TURNS / CHOICES, 0.08, 0.05, 0.04, 0.04)


class MathGym(MathChain):
    """Solve a problem of reasoning-gym exactly; a wrong value is told, and another may follow.

    | | |
    |---|---|
    | prompt | a question as reasoning-gym words it; at level 0 with eight values to choose from |
    | turn, tool, reply, limits | as in `math_chain` |
    | verifier | equality of fractions with the answer, which reasoning-gym and our own arithmetic |
    | | on the question's text agree on; reasoning-gym's scorers are not used |
    | levels | the families' own parameters: two numbers of one digit -> six of three digits |
    | level 0 | lists the answers of eight questions of the family, one of which is asked |
    | `train`, `id` | `basic_arithmetic`, `chain_sum`, `count_bits`, `decimal_chain_sum`, `gcd`, |
    | | `leg_counting`, `products`, `simple_equations`; different numbers, drawn alike |
    | `ood/difficulty` | the same families, six terms more, or more or larger numbers |
    | `ood/domain` | `lcm`, `count_primes`, and `dice` above level 0 |
    | size | 2,000 tasks of `train` and 300 of every other split, at each level |
    | family | reasoning-gym's family and the set of numbers; every split has its own |
    | oracle | the value |
    | twin | one number differs, and so does the value; at level 0 it is another listed one |
    | chance | level 0: an untried listed value every turn, 2/8; above: one operation on two |
    | | numbers of the prompt in `calc`, then its result, measured on 2,000 episodes of `train` |
    | source, licence | reasoning-gym 0.1.25, read from its wheel (fetched at first use, pinned by |
    | | hash); Apache-2.0 |
    """

    name = "math_gym"
    splits = ("train", "id", "ood/difficulty", "ood/domain")

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level, in the order in which they are drawn."""
        return _tasks(split, level)

    def oracle(self, task: Task) -> list[str]:
        """The value."""
        return [task.payload["answer"]]

    def twin(self, task: Task) -> Task:
        """The same question with one number changed, so that its answer differs."""
        found = _twin(task)
        if found is None:
            raise ValueError(f"no single number changes the answer of {task.id}")
        return found

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def numbers(self) -> Sequence[str]:
        """The prompt's, for random turns."""
        return _numbers(self.task.payload["question"])


@cache
def _tasks(split: str, level: int) -> TaskSource:
    def draw(rng: Random, task_id: str) -> Task:
        names = HELD_OUT if split == "ood/domain" else SEEN
        if level == 0:
            return _closed(rng, task_id, split, rng.choice(whole_only(names)))
        while True:
            source = rng.choice(names)
            found = _drawn(rng, split, level, source)
            if found is not None:
                return _task(task_id, split, level, source, *found, [])

    return TaskSource(MathGym.name, split, level, draw)


def _closed(rng: Random, task_id: str, split: str, source: str) -> Task:
    """A task of level 0: answers of several of the family's questions, one of which is asked."""
    answers = _closed_questions(split, source)
    items = list(answers.items())
    rank = rng.randrange(CHOICES)
    while True:
        question, listed = one_of_several(rng, lambda: rng.choice(items), CHOICES, rank)
        answer = Fraction(answers[question])
        task = _task(task_id, split, 0, source, question, answer, listed)
        if _twin(task) is not None:
            return task


@cache
def _closed_questions(split: str, source: str) -> Mapping[str, int]:
    """Questions of a family and their answers, whole and not negative, of which enough differ."""
    rng = Random(f"{MathGym.name} {split} {source}")
    found: dict[str, int] = {}
    draws = 0
    while draws < QUESTIONS_DRAWN or len({*found.values()}) < CHOICES:
        draws += 1
        item = _drawn(rng, split, 0, source)
        if item is not None and item[1].denominator == 1 and item[1] >= 0:
            found[item[0]] = int(item[1])
    return found


def _drawn(
    rng: Random, split: str, level: int, source: str
) -> tuple[str, Fraction] | None:
    """A question of a family and its answer; None where another split's or none of ours."""
    item = asked(source, level, split == "ood/difficulty", rng.randrange(INDICES))
    if item is None or not in_split(_family(source, item[0]), split, "ood/difficulty"):
        return None
    return item if solved(source, item[0]) == item[1] else None


def _twin(task: Task) -> Task | None:
    """The question with one number changed, and another answer, which is listed where any are."""
    listed, payload = task.payload["choices"], task.payload
    for question in edits(payload["question"]):
        found = solved(payload["source"], question)
        if found is None or str(found) == payload["answer"]:
            continue
        if not listed or str(found) in listed:
            cell = task.id, task.split, task.level
            return _task(*cell, payload["source"], question, found, listed)
    return None


def _task(
    task_id: str,
    split: str,
    level: int,
    source: str,
    question: str,
    answer: Fraction,
    listed: Sequence[str],
) -> Task:
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=_family(source, question),
        prompt="\n".join(
            [question, *([f"Choose: {' '.join(listed)}"] if listed else [])]
        ),
        payload={
            "source": source,
            "question": question,
            "answer": str(answer),
            "choices": list(listed),
        },
    )


def _family(source: str, question: str) -> str:
    """Reasoning-gym's family and the numbers, sorted."""
    return f"{source} {' '.join(sorted(_numbers(question)))}"


def _numbers(question: str) -> list[str]:
    return re.findall(r"[0-9]+(?:\.[0-9]+)?", question)
