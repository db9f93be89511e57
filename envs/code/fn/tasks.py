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
    problem, spec = problem_of(task), task.payload
    chosen = spec["options"][option - 1]
    if problem is not None:
        return problem.prompt + problems()[chosen].body
    stages = [*spec["stages"]]
    stages[spec["place"]] = chosen
    return code_of(stages, spec["name"], spec["xs"])


def calls_of(task: Task, *, hidden: bool) -> dict[str, str]:
    """Calls of the function, and the `repr` of what each should give."""
    problem, spec = problem_of(task), task.payload
    if problem is not None:
        return {} if hidden else problem.examples()
    lists = inputs(spec["key"], VISIBLE + HIDDEN)
    chosen = lists[VISIBLE:] if hidden else lists[:VISIBLE]
    return {f"{spec['name']}({xs})": repr(outcome(spec["stages"], xs)) for xs in chosen}


def twin_of(task: Task) -> Task:
    """The same task with another operation in one place. Raises ValueError for HumanEval's."""
    spec = task.payload
    if "problem" in spec:
        raise ValueError(f"{task.id} has no twin: HumanEval's problems stand alone")

    place = spec["place"]
    original = spec["stages"][place]
    replacement, *others = spec["others"]
    stages = [*spec["stages"]]
    stages[place] = replacement
    twin = {**spec, "stages": stages, "others": [original, *others]}
    if spec["options"]:
        twin["answer"] = spec["options"].index(replacement) + 1
    return _task(task.id, task.split, task.level, twin, task.family)


def _sample(rng: Random, task_id: str, split: str, level: int) -> Task:
    """A random task of the split: rejects chains of other splits and those without a point."""
    count = (_LONGER if split == "ood/composition" else _COUNTS)[level]
    while True:
        ends = level == 0 or rng.random() < 0.5
        stages = random_stages(rng, count, ends)
        if split_of(family_of(stages), _OWNERS) != split:
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
    return _task(task_id, split, level, {**spec, "key": task_id}, family_of(stages))


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
        options = rng.sample([stages[place], *others], len(others) + 1)
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
    task_id: str, split: str, level: int, spec: dict[str, Any], family: str
) -> Task:
    """The task that shows a payload."""
    stages, name, xs = spec["stages"], spec["name"], spec["xs"]
    words = description(stages, other_words=spec["again"])
    if level == 0:
        code = code_of(stages, name, xs, blank=spec["place"])
        options = [expression_of(stage, xs) for stage in spec["options"]]
        prompt = f"{code}It should {words}.\n{_number_options(options)}"
    else:
        (example,) = inputs(spec["key"], 1)
        value = outcome(stages, example)
        prompt = f"Write {name}({xs}): {words}.\n{name}({example}) is {value!r}"
    return Task(task_id, split, level, family, prompt, spec)


def _problem_task(problem: Problem, level: int) -> Task:
    spec: dict[str, Any] = {"problem": problem.name, "options": [], "answer": 0}
    prompt = f"Complete {problem.entry}:\n{problem.prompt}"
    if level == 0:
        options = _bodies_to_choose(problem)
        spec["options"] = [option.name for option in options]
        spec["answer"] = options.index(problem) + 1
        bodies = [f"\n{option.body.rstrip()}" for option in options]
        prompt += "\n" + _number_options(bodies)
    task_id = f"{DOMAIN}/{level}/{problem.name}"
    return Task(task_id, DOMAIN, level, problem.name, prompt, spec)


def _bodies_to_choose(problem: Problem) -> list[Problem]:
    """The problem among those whose bodies are about as long, so that length says nothing."""

    def distance(other: Problem) -> tuple[int, str]:
        """Difference in length; ties go by name."""
        return abs(len(other.body) - len(problem.body)), other.name

    others = [other for other in problems().values() if other.name != problem.name]
    nearest = sorted(others, key=distance)[:ALTERNATIVES]
    rng = Random(f"code_fn {problem.name}")
    return rng.sample([problem, *nearest], ALTERNATIVES + 1)


def _number_options(options: Sequence[str]) -> str:
    return "\n".join(
        f"{number}) {option}" for number, option in enumerate(options, start=1)
    )
