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
    code_of,
    drawn,
    expression_of,
    family_of,
    inputs,
    needed,
    others,
    outcome,
    told,
)
from envs.supply import TaskSource, split_of
from envs.types import Task

__all__ = [
    "DOMAIN",
    "calls_of",
    "problem_of",
    "reference",
    "submitted",
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
    """The tasks of a split at a level, in the order in which they are drawn."""
    if split == DOMAIN:
        return [_problem_task(problem, level) for problem in problems().values()]

    def draw(rng: Random, task_id: str) -> Task:
        return _drawn(rng, task_id, split, level)

    return TaskSource("code_fn", split, level, draw)


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


def submitted(task: Task, option: int) -> str:
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
    stages, was = [*spec["stages"]], spec["stages"][spec["place"]]
    stages[spec["place"]] = spec["others"][0]
    changed = {**spec, "stages": stages, "others": [was, *spec["others"][1:]]}
    if spec["options"]:
        changed["answer"] = spec["options"].index(spec["others"][0]) + 1
    return _task(task.id, task.split, task.level, changed, task.family)


def _drawn(rng: Random, task_id: str, split: str, level: int) -> Task:
    count = (_LONGER if split == "ood/composition" else _COUNTS)[level]
    while True:
        stages = drawn(rng, count, level == 0 or rng.random() < 0.5)
        if split_of(family_of(stages), _OWNERS) != split:
            continue
        lists = inputs(task_id, VISIBLE + HIDDEN)
        place = rng.randrange(count)
        wrong = others(rng, stages, place, lists) if needed(stages, lists) else []
        if len(wrong) == ALTERNATIVES:
            break
    spec = _spec(rng, split, level, stages, place, wrong)
    return _task(task_id, split, level, {**spec, "key": task_id}, family_of(stages))


def _spec(
    rng: Random,
    split: str,
    level: int,
    stages: list[Stage],
    place: int,
    wrong: list[Stage],
) -> dict[str, Any]:
    again = split == "ood/surface"
    options = rng.sample([stages[place], *wrong], len(wrong) + 1) if level == 0 else []
    return {
        "stages": stages,
        "place": place,
        "others": wrong,
        "options": options,
        "answer": options.index(stages[place]) + 1 if options else 0,
        "name": rng.choice(_NAMES) if again else "solve",
        "xs": rng.choice(_LISTS) if again else "xs",
        "again": again,
    }


def _task(
    task_id: str, split: str, level: int, spec: dict[str, Any], family: str
) -> Task:
    words = told(spec["stages"], again=spec["again"])
    name, xs = spec["name"], spec["xs"]
    example = f"{name}({inputs(spec['key'], 1)[0]})"
    value = repr(outcome(spec["stages"], inputs(spec["key"], 1)[0]))
    if level == 0:
        code = code_of(spec["stages"], name, xs, blank=spec["place"])
        options = [expression_of(stage, xs) for stage in spec["options"]]
        prompt = f"{code}It should {words}.\n{_listed(options)}"
    else:
        prompt = f"Write {name}({xs}): {words}.\n{example} is {value}"
    return Task(task_id, split, level, family, prompt, spec)


def _problem_task(problem: Problem, level: int) -> Task:
    spec: dict[str, Any] = {"problem": problem.name, "options": [], "answer": 0}
    prompt = f"Complete {problem.entry}:\n{problem.prompt}"
    if level == 0:
        rng = Random(f"code_fn {problem.name}")
        wrong = sorted(
            (one for one in problems().values() if one.name != problem.name),
            key=lambda one: (abs(len(one.body) - len(problem.body)), one.name),
        )[:ALTERNATIVES]
        options = rng.sample([problem, *wrong], ALTERNATIVES + 1)
        spec["options"] = [one.name for one in options]
        spec["answer"] = options.index(problem) + 1
        prompt += "\n" + _listed([f"\n{one.body.rstrip()}" for one in options])
    return Task(
        f"{DOMAIN}/{level}/{problem.name}", DOMAIN, level, problem.name, prompt, spec
    )


def _listed(options: Sequence[str]) -> str:
    return "\n".join(
        f"{number}) {option}" for number, option in enumerate(options, start=1)
    )
