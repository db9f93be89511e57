"""Desk tasks: drawn from a seed by level, and split by items and by the apps of their jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
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
    "MAX_TURNS",
    "Case",
    "as_task",
    "flip",
    "goal",
    "plan",
    "tasks",
    "writes",
]

Case = Mapping[str, Any]
"""A task's payload: `level`, `state` at the start, `jobs` in order, `offered` tools."""

COMPOSITION = "ood/composition"
MAX_TURNS = 15


@cache
def tasks(split: str, level: int) -> TaskSource:
    """The tasks in the order in which they are drawn; no problem comes twice."""

    def draw_task(rng: Random, task_id: str) -> Task | None:
        """A task; None when it belongs to another split, is unfair or has no twin."""
        case = draw(rng, level, unseen=split == COMPOSITION)
        task = as_task(task_id, split, case)
        if not in_split(task.family, split, ""):
            return None
        if not _is_fair(case) or flip(case) is None:
            return None
        return task

    return TaskSource(
        "tool_files",
        split,
        level,
        draw_task,
        same=attrgetter("content_hash"),
    )


def as_task(task_id: str, split: str, case: Case) -> Task:
    """The task of a case; its family is the ids of the items that are there at the start."""
    keys = []
    for items in case["state"].values():
        keys += sorted(items)
    return Task(
        id=task_id,
        split=split,
        level=case["level"],
        family=" ".join(keys),
        prompt=_prompt(case),
        payload=case,
    )


def plan(case: Case) -> list[Step]:
    """The calls that do every job, in order; none of them fails."""
    steps, _ = _simulate(case, case["jobs"])
    if case["level"] > 0:
        return [*_read_once(steps), ("finish", {})]
    # The prompt shows what the apps hold, and the first change ends the episode.
    return [(name, arguments) for name, arguments in steps if name not in READS]


def goal(case: Case) -> State:
    """The state in which an episode must end."""
    _, state = _simulate(case, case["jobs"])
    return state


def flip(case: Case) -> Case | None:
    """The case with two values of one field exchanged, so that other calls are right.

    None when no exchange does that and leaves a fair case.
    """
    before = _change_set(case)
    for app, first, second, field in _swaps(case["state"]):
        edited = _exchange(case, app, first, second, field)
        try:
            after = _change_set(edited)
        except KeyError:
            continue
        if after != before and _is_fair(edited):
            return edited
    return None


def _exchange(case: Case, app: str, first: str, second: str, field: str) -> Case:
    """A copy of the case in which two items of an app have each other's value of a field."""
    state = case["state"]
    items = dict(state[app])
    old_first = items[first]
    old_second = items[second]
    items[first] = {**old_first, field: old_second[field]}
    items[second] = {**old_second, field: old_first[field]}
    return {**case, "state": {**state, app: items}}


def _change_set(case: Case) -> list[str]:
    """The changing calls of the plan, sorted: in another order they lead to the same end."""
    return sorted(repr(step) for step in writes(case))


def _read_once(steps: Sequence[Step]) -> Iterator[Step]:
    """The calls without those that read again what was read before."""
    reads: list[Step] = []
    for step in steps:
        if step in reads:
            continue
        if step[0] in READS:
            reads.append(step)
        yield step


def _simulate(case: Case, jobs: Sequence[Job]) -> tuple[list[Step], State]:
    """The calls that do the jobs one after the other, and the state that they leave."""
    desk = Desk(case["state"])
    steps = []
    for job in jobs:
        kind = JOBS[job["kind"]]
        # All calls of a job are decided before its first one changes the state.
        for name, arguments in list(kind.steps(job, desk.state)):
            desk.apply(name, arguments)
            steps.append((name, arguments))
    return steps, desk.state


def writes(case: Case) -> list[Step]:
    """The calls of the plan that change something."""
    return [step for step in plan(case) if step[0] not in (*READS, "finish")]


def _is_fair(case: Case) -> bool:
    """Whether the turns suffice, every change counts, and the order of the jobs does not."""
    jobs = case["jobs"]
    try:
        changes = [writes({**case, "jobs": [job]}) for job in jobs]
        end = canonical(goal(case))
        _, reverse_state = _simulate(case, jobs[::-1])
    except KeyError:
        # One job removes the item of another.
        return False

    if not all(changes) or len(plan(case)) >= MAX_TURNS:
        return False
    if canonical(reverse_state) != end:
        return False
    return all(canonical(state) != end for state in _without_one(case))


def _without_one(case: Case) -> Iterator[State]:
    """The end states of the plan when one of its changes is left out."""
    steps = writes(case)
    for skipped in range(len(steps)):
        desk = Desk(case["state"])
        for number, (name, arguments) in enumerate(steps):
            if number != skipped:
                desk.apply(name, arguments)
        yield desk.state


def _swaps(state: State) -> Iterator[tuple[str, str, str, str]]:
    """App, two items and a field in which they differ, for all such pairs."""
    for app, items in state.items():
        for first, second in combinations(items, 2):
            for field, value in items[first].items():
                if items[second][field] != value:
                    yield app, first, second, field


def _prompt(case: Case) -> str:
    """The requests; at level 0 after a description of what the apps hold."""
    sentences = []
    for job in case["jobs"]:
        kind = JOBS[job["kind"]]
        sentences.append(kind.ask(job))
    requests = " ".join(sentences)
    if case["level"] > 0:
        return requests

    lines = []
    for app, items in case["state"].items():
        # Mail shows no code and no event here: level 0 asks for neither.
        describe = text if app in ("files", "notes") else line
        parts = [describe(app, key, item) for key, item in items.items()]
        listed = "; ".join(parts)
        lines.append(f"{app.capitalize()}: {listed}.")
    lines.append(requests)
    return "\n".join(lines)
