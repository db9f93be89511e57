"""math_gym: arithmetic and algebra of reasoning-gym, with our own reading and exact comparison."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from random import Random

from envs.math.answers import one_of_several
from envs.math.chain import CHOICE_TURNS, CHOICES, MathChain
from envs.math.gym.families import HELD_OUT, SEEN, edits, question_at, solve, whole_only
from envs.supply import TaskSource, in_split
from envs.types import Task

__all__ = ["MathGym"]

INDICES = 2**31
MIN_DRAWS = 400
_CHANCE = (CHOICE_TURNS / CHOICES, 0.08, 0.05, 0.04, 0.04)


class MathGym(MathChain):
    """Solve a problem of reasoning-gym exactly; a wrong value is reported, and another may follow.

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
        twin = _twin(task)
        if twin is None:
            raise ValueError(f"no single number changes the answer of {task.id}")
        return twin

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def numbers(self) -> Sequence[str]:
        """The numbers of the prompt, for random turns."""
        return _numbers(self.task.payload["question"])


@cache
def _tasks(split: str, level: int) -> TaskSource:
    names = HELD_OUT if split == "ood/domain" else SEEN

    def draw(rng: Random, task_id: str) -> Task:
        """The next task of the split at the level."""
        if level == 0:
            source = rng.choice(whole_only(names))
            return _choice_task(rng, task_id, split, source)
        while True:
            source = rng.choice(names)
            item = _draw_question(rng, split, level, source)
            if item is not None:
                question, answer = item
                return _task(task_id, split, level, source, question, answer, [])

    return TaskSource(MathGym.name, split, level, draw)


def _choice_task(rng: Random, task_id: str, split: str, source: str) -> Task:
    """A task of level 0: answers of several of the family's questions, and one of them to solve."""
    answers = _choice_questions(split, source)
    items = list(answers.items())
    rank = rng.randrange(CHOICES)
    while True:
        question, choices = one_of_several(
            rng,
            lambda: rng.choice(items),
            CHOICES,
            rank,
        )
        answer = Fraction(answers[question])
        task = _task(task_id, split, 0, source, question, answer, choices)
        if _twin(task) is not None:
            return task


@cache
def _choice_questions(split: str, source: str) -> Mapping[str, int]:
    """Questions of a family and their answers: whole, not negative, and enough different ones."""
    rng = Random(f"{MathGym.name} {split} {source}")
    answers: dict[str, int] = {}
    draws = 0
    while draws < MIN_DRAWS or len(set(answers.values())) < CHOICES:
        draws += 1
        item = _draw_question(rng, split, 0, source)
        if item is None:
            continue
        question, answer = item
        if answer.denominator == 1 and answer >= 0:
            answers[question] = int(answer)
    return answers


def _draw_question(
    rng: Random,
    split: str,
    level: int,
    source: str,
) -> tuple[str, Fraction] | None:
    """A question of a family and its answer.

    None when it belongs to another split, or when our own arithmetic does not agree.
    """
    hard = split == "ood/difficulty"
    item = question_at(source, level, hard, rng.randrange(INDICES))
    if item is None:
        return None
    question, answer = item
    if not in_split(_family(source, question), split, "ood/difficulty"):
        return None
    return item if solve(source, question) == answer else None


def _twin(task: Task) -> Task | None:
    """The task with one number changed, so that another answer is right: a listed one, if any are.

    None when no single number does that.
    """
    payload = task.payload
    source = payload["source"]
    choices = payload["choices"]
    for question in edits(payload["question"]):
        answer = solve(source, question)
        if answer is None or str(answer) == payload["answer"]:
            continue
        if choices and str(answer) not in choices:
            continue
        return _task(
            task.id,
            task.split,
            task.level,
            source,
            question,
            answer,
            choices,
        )
    return None


def _task(
    task_id: str,
    split: str,
    level: int,
    source: str,
    question: str,
    answer: Fraction,
    choices: Sequence[str],
) -> Task:
    prompt = question
    if choices:
        prompt += f"\nChoose: {' '.join(choices)}"
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=_family(source, question),
        prompt=prompt,
        payload={
            "source": source,
            "question": question,
            "answer": str(answer),
            "choices": list(choices),
        },
    )


def _family(source: str, question: str) -> str:
    """Reasoning-gym's family and the numbers, sorted."""
    numbers = sorted(_numbers(question))
    return f"{source} {' '.join(numbers)}"


def _numbers(question: str) -> list[str]:
    return re.findall(r"[0-9]+(?:\.[0-9]+)?", question)
