"""The supply of desk tasks: seeded, levelled, and split by the items and by the apps asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from random import Random
from typing import Any

from envs.supply import TaskSource, in_split
from envs.tools.files.draw import draw
from envs.tools.files.jobs import JOBS, Job, Step
from envs.tools.files.world import READS, Desk, State, canonical, line, text
from envs.types import Task

__all__ = [
    "COMPOSITION",
    "MOST_TURNS",
    "Case",
    "as_task",
    "flipped",
    "goal",
    "plan",
    "tasks",
    "writes",
]

Case = Mapping[str, Any]
"""A task's payload: `level`, `state` at the start, `jobs` in order, `offered` tools."""

COMPOSITION = "ood/composition"
MOST_TURNS = 15


@cache
def tasks(split: str, level: int) -> TaskSource:
    """The tasks in the order in which they are drawn; no problem comes twice."""

    def drawn(rng: Random, task_id: str) -> Task | None:
        case = draw(rng, level, unseen=split == COMPOSITION)
        task = as_task(task_id, split, case)
        ours = (
            in_split(task.family, split, "")
            and _fair(case)
            and flipped(case) is not None
        )
        return task if ours else None

    return TaskSource(
        "tool_files", split, level, drawn, same=attrgetter("content_hash")
    )


def as_task(task_id: str, split: str, case: Case) -> Task:
    """The task of a case; its family is the ids of the items that are there at the start."""
    return Task(
        id=task_id,
        split=split,
        level=case["level"],
        family=" ".join(
            key for items in case["state"].values() for key in sorted(items)
        ),
        prompt=_prompt(case),
        payload=case,
    )


def plan(case: Case) -> list[Step]:
    """The calls that do every job, in order; none of them fails."""
    steps, _ = _played(case, case["jobs"])
    if case["level"] == 0:
        return [step for step in steps if step[0] not in READS]
    return [*_read_once(steps), ("finish", {})]


def goal(case: Case) -> State:
    """The state in which an episode must end."""
    return _played(case, case["jobs"])[1]


def flipped(case: Case) -> Case | None:
    """The case with two values of one field exchanged, so that other calls are right."""
    before = sorted(map(repr, writes(case)))
    for app, key, other, field in _swaps(case["state"]):
        items = case["state"][app]
        one, two = items[key], items[other]
        exchanged = {key: {**one, field: two[field]}, other: {**two, field: one[field]}}
        edited = {**case, "state": {**case["state"], app: {**items, **exchanged}}}
        try:
            # In another order the same calls lead to the same end.
            differs = sorted(map(repr, writes(edited))) != before
        except KeyError:
            continue
        if differs and _fair(edited):
            return edited
    return None


def _read_once(steps: Sequence[Step]) -> Iterator[Step]:
    """The calls without a look at what was looked at before."""
    seen: list[Step] = []
    for step in steps:
        if step not in seen:
            yield step
        if step[0] in READS:
            seen.append(step)


def _played(case: Case, jobs: Sequence[Job]) -> tuple[list[Step], State]:
    """The calls that do the jobs one after the other, and the state that they leave."""
    desk, steps = Desk(case["state"]), []
    for job in jobs:
        for name, arguments in list(JOBS[job["kind"]].steps(job, desk.state)):
            desk.apply(name, arguments)
            steps.append((name, arguments))
    return steps, desk.state


def writes(case: Case) -> list[Step]:
    """The calls of the plan that change something."""
    return [step for step in plan(case) if step[0] not in (*READS, "finish")]


def _fair(case: Case) -> bool:
    """Whether the turns suffice, every change counts, and the order of the jobs does not."""
    try:
        alone = [writes({**case, "jobs": [job]}) for job in case["jobs"]]
        wanted = canonical(goal(case))
        backwards = _played(case, case["jobs"][::-1])[1]
    except KeyError:
        # One job removes what another is about.
        return False
    return (
        all(alone)
        and len(plan(case)) < MOST_TURNS
        and canonical(backwards) == wanted
        and all(canonical(end) != wanted for end in _without_one(case))
    )


def _without_one(case: Case) -> Iterator[State]:
    """The states that are reached where one change is left out."""
    steps = writes(case)
    for left_out in range(len(steps)):
        desk = Desk(case["state"])
        for name, arguments in steps[:left_out] + steps[left_out + 1 :]:
            desk.apply(name, arguments)
        yield desk.state


def _swaps(state: State) -> Iterator[tuple[str, str, str, str]]:
    """App, two items and a field in which they differ, for all such pairs."""
    for app, items in state.items():
        keys = list(items)
        for place, key in enumerate(keys):
            for other in keys[place + 1 :]:
                for field in items[key]:
                    if items[key][field] != items[other][field]:
                        yield app, key, other, field


def _prompt(case: Case) -> str:
    """The requests; at level 0 what the apps hold before them."""
    asked = " ".join(JOBS[job["kind"]].ask(job) for job in case["jobs"])
    if case["level"]:
        return asked
    shown = []
    for app, items in case["state"].items():
        whole = text if app in ("files", "notes") else line
        listed = "; ".join(whole(app, key, item) for key, item in items.items())
        shown.append(f"{app.capitalize()}: {listed}.")
    return "\n".join([*shown, asked])
