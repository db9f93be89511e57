"""The tasks of `code_fn`: functions of a table of operations, and HumanEval's problems."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from envs.code.fn.human_eval import Problem, problems
from envs.code.fn.specs import (
    ALTERNATIVES,
    HIDDEN,
    VISIBLE,
    Stage,
    alternatives,
    code_of,
    description,
    expression_of,
    family_of,
    inputs,
    outcome,
    random_stages,
    stages_matter,
)
from envs.supply import TaskSource, split_of
from envs.types import Task

__all__ = [
    "DOMAIN",
    "calls_of",
    "code_with_option",
    "problem_of",
    "reference",
    "tasks_of",
    "twin_of",
]

DOMAIN = "ood/domain"
# By level: how many operations.
_COUNTS, _LONGER = (2, 1, 2, 3, 4), (3, 3, 4, 5, 6)
_OWNERS = ("train",) * 6 + ("id",) * 2 + ("ood/surface", "ood/composition")
_NAMES, _LISTS = ("transform", "process", "convert"), ("values", "numbers", "items")


@cache
def tasks_of(split: str, level: int) -> Sequence[Task]:
    """The tasks of a split at a level, in the order in which they are drawn.

    Raises ImportError if HumanEval cannot be had.
    """
    if split == DOMAIN:
        return [_problem_task(problem, level) for problem in problems().values()]

    def sample(rng: Random, task_id: str) -> Task:
        """A random task of the split and level."""
        return _sample(rng, task_id, split, level)

    return TaskSource("code_fn", split, level, sample)


def problem_of(task: Task) -> Problem | None:
    """HumanEval's problem that the task is of; None for one of ours."""
    name = task.payload.get("problem")
    return None if name is None else problems()[name]


def reference(task: Task) -> str:
    """Code that solves the task."""
    problem = problem_of(task)
    if problem is not None:
        return problem.prompt + problem.body
    spec = task.payload
    return code_of(spec["stages"], spec["name"], spec["xs"])


def code_with_option(task: Task, option: int) -> str:
    """The code of a level-0 task with the option, from 1, in its blank."""
    spec = task.payload
    chosen = spec["options"][option - 1]
    problem = problem_of(task)
    if problem is not None:
        body = problems()[chosen].body
        return problem.prompt + body
    stages = list(spec["stages"])
    place = spec["place"]
    stages[place] = chosen
    return code_of(stages, spec["name"], spec["xs"])


def calls_of(task: Task, *, hidden: bool) -> dict[str, str]:
    """Calls of the function, and the `repr` of what each should give."""
    problem = problem_of(task)
    if problem is not None:
        return {} if hidden else problem.examples()

    spec = task.payload
    name = spec["name"]
    lists = inputs(spec["key"], VISIBLE + HIDDEN)
    chosen = lists[VISIBLE:] if hidden else lists[:VISIBLE]
    values: dict[str, str] = {}
    for xs in chosen:
        value = outcome(spec["stages"], xs)
        values[f"{name}({xs})"] = repr(value)
    return values


def twin_of(task: Task) -> Task:
    """The same task with another operation in one place. Raises ValueError for HumanEval's."""
    spec = task.payload
    if "problem" in spec:
        raise ValueError(f"{task.id} has no twin: HumanEval's problems stand alone")

    place = spec["place"]
    stages = list(spec["stages"])
    others = list(spec["others"])
    # The two change places, so that the twin's twin is the task.
    stages[place], others[0] = others[0], stages[place]
    twin = {**spec, "stages": stages, "others": others}
    if spec["options"]:
        twin["answer"] = spec["options"].index(stages[place]) + 1
    return _task(
        task_id=task.id,
        split=task.split,
        level=task.level,
        spec=twin,
        family=task.family,
    )


def _sample(rng: Random, task_id: str, split: str, level: int) -> Task:
    """A random task of the split: rejects chains of other splits and those without a point."""
    counts = _LONGER if split == "ood/composition" else _COUNTS
    count = counts[level]
    while True:
        ends = level == 0 or rng.random() < 0.5
        stages = random_stages(rng, count, ends)
        family = family_of(stages)
        if split_of(family, _OWNERS) != split:
            continue
        lists = inputs(task_id, VISIBLE + HIDDEN)
        place = rng.randrange(count)
        if not stages_matter(stages, lists):
            continue
        # The twin is another operation in this place, so there must be one that shows.
        others = alternatives(rng, stages, place, lists)
        if len(others) == ALTERNATIVES:
            break

    spec = _spec(rng, split, level, stages, place, others)
    spec["key"] = task_id
    return _task(task_id, split, level, spec, family)


def _spec(
    rng: Random,
    split: str,
    level: int,
    stages: list[Stage],
    place: int,
    others: list[Stage],
) -> dict[str, Any]:
    """The payload but for its key. `place`: of the stage that `others` would replace."""
    again = split == "ood/surface"
    options: list[Stage] = []
    answer = 0
    if level == 0:
        choices = [stages[place], *others]
        options = rng.sample(choices, len(choices))
        answer = options.index(stages[place]) + 1
    return {
        "stages": stages,
        "place": place,
        "others": others,
        "options": options,
        "answer": answer,
        "name": rng.choice(_NAMES) if again else "solve",
        "xs": rng.choice(_LISTS) if again else "xs",
        "again": again,
    }


def _task(
    task_id: str,
    split: str,
    level: int,
    spec: dict[str, Any],
    family: str,
) -> Task:
    """The task that shows a payload."""
    prompt = _choice_prompt(spec) if level == 0 else _writing_prompt(spec)
    return Task(
        id=task_id,
        split=split,
        level=level,
        family=family,
        prompt=prompt,
        payload=spec,
    )


def _choice_prompt(spec: dict[str, Any]) -> str:
    """The code with a blank, what it should do, and options for the blank."""
    stages = spec["stages"]
    xs = spec["xs"]
    code = code_of(
        stages,
        spec["name"],
        xs,
        blank=spec["place"],
    )
    words = description(stages, other_words=spec["again"])
    options = [expression_of(stage, xs) for stage in spec["options"]]
    listed = _number_options(options)
    return f"{code}It should {words}.\n{listed}"


def _writing_prompt(spec: dict[str, Any]) -> str:
    """What the function should do, and an example."""
    stages = spec["stages"]
    name = spec["name"]
    xs = spec["xs"]
    words = description(stages, other_words=spec["again"])
    (example,) = inputs(spec["key"], 1)
    value = outcome(stages, example)
    request = f"Write {name}({xs}): {words}."
    return f"{request}\n{name}({example}) is {value!r}"


def _problem_task(problem: Problem, level: int) -> Task:
    spec: dict[str, Any] = {
        "problem": problem.name,
        "options": [],
        "answer": 0,
    }
    prompt = f"Complete {problem.entry}:\n{problem.prompt}"
    if level == 0:
        options = _bodies_to_choose(problem)
        spec["options"] = [option.name for option in options]
        spec["answer"] = options.index(problem) + 1
        bodies = [f"\n{option.body.rstrip()}" for option in options]
        listed = _number_options(bodies)
        prompt = f"{prompt}\n{listed}"
    return Task(
        id=f"{DOMAIN}/{level}/{problem.name}",
        split=DOMAIN,
        level=level,
        family=problem.name,
        prompt=prompt,
        payload=spec,
    )


def _bodies_to_choose(problem: Problem) -> list[Problem]:
    """The problem among those whose bodies are about as long, so that length says nothing."""
    length = len(problem.body)

    def distance(other: Problem) -> tuple[int, str]:
        """Difference in length; ties go by name."""
        difference = len(other.body) - length
        return abs(difference), other.name

    others = dict(problems())
    del others[problem.name]
    by_distance = sorted(others.values(), key=distance)
    choices = [problem, *by_distance[:ALTERNATIVES]]
    rng = Random(f"code_fn {problem.name}")
    return rng.sample(choices, len(choices))


def _number_options(options: Sequence[str]) -> str:
    lines: list[str] = []
    for number, option in enumerate(options, start=1):
        lines.append(f"{number}) {option}")
    return "\n".join(lines)
