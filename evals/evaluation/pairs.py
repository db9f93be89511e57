"""Minimal pairs: a task and its twin, which differs by one edit that changes the answer.

What solves a task fails on its twin, so a policy that goes by what the task looks like fails one of
the two. Pair consistency is the share of pairs that are solved on both sides, rollout by rollout.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from envs.base import TextEnv
from envs.types import Episode, Task
from evals.evaluation.plan import Evaluation
from evals.evaluation.provenance import rollout_digest
from evals.evaluation.suites import Suite, open_envs
from evals.report.scores import outcome_table
from evals.report.tables import FEW_FAMILIES, Table, TableReport, gain, rate
from evals.statistics import Estimate, success_difference, success_rate
from evals.twin_envs import twin_of, twin_task

__all__ = ["Consistency", "add_twins", "consistency", "pairs_report"]

HEADER = ("suite", "model", "task", "twin", "both", "twin less task")

logger = logging.getLogger("evals.twins")


@dataclass(frozen=True)
class Consistency:
    """What one model did on the pairs of a suite. Shares are means over pairs.

    | field | meaning |
    |---|---|
    | task, twin | success on either |
    | both | rollouts in which both were solved; a pair with an errored episode does not count |
    | gap | success on the twin less that on the task, paired |
    """

    suite: Suite
    model: str
    task: Estimate
    twin: Estimate
    both: Estimate
    gap: Estimate


def consistency(
    suite: Suite,
    model: str,
    episodes: Sequence[Sequence[Episode]],
    twins: Sequence[Sequence[Episode]],
    families: Sequence[str],
    rollouts: int,
) -> Consistency:
    """Pair i is `episodes[i]`, up to `rollouts` of a task, and `twins[i]`, as many of its twin."""
    tasks, twin = outcome_table(episodes, rollouts), outcome_table(twins, rollouts)
    return Consistency(
        suite,
        model,
        task=success_rate(tasks, families),
        twin=success_rate(twin, families),
        # An errored one is NaN, and so is its pair.
        both=success_rate(tasks * twin, families),
        gap=success_difference(tasks, twin, families),
    )


def add_twins(
    planned: Evaluation, envs: Mapping[str, TextEnv]
) -> tuple[Evaluation, dict[Suite, Suite]]:
    """The evaluation of tasks and twins, and suite -> suite of its twins.

    Tasks without a twin are left out. Raises ValueError if no task has one.
    """
    tasks: dict[Suite, Sequence[Task]] = {}
    pairs: dict[Suite, Suite] = {}
    for suite, selected in planned.tasks.items():
        both = []
        for task in selected:
            twin = twin_task(envs[suite.env], task)
            if twin is not None:
                both.append((task, twin))
        # Another level of the same environment may have twins.
        if not both:
            logger.info("%s has no twins", suite)
            continue
        pairs[suite] = replace(suite, env=twin_of(suite.env))
        tasks[suite] = [task for task, _ in both]
        tasks[pairs[suite]] = [twin for _, twin in both]

    if not pairs:
        raise ValueError(
            f"no task of {', '.join(map(str, planned.tasks))} has a twin; choose other --levels, "
            "or an environment that defines `twin`"
        )

    # The twins' environments are played too, so their code is part of the evaluation.
    twin_envs = open_envs([suite.env for suite in pairs.values()])
    code = dict(planned.code)
    for name, env in twin_envs.items():
        code[name] = rollout_digest(env)
    return replace(planned, tasks=tasks, code=code), pairs


def pairs_report(
    rows: Sequence[Consistency], evaluation: Evaluation, origin: Mapping[str, Any]
) -> TableReport:
    """The report of pairs; `origin` is its provenance, with what `stopped` it early."""
    counts = [
        f"{suite}: {len(tasks)} x {evaluation.rollouts} episodes"
        for suite, tasks in evaluation.tasks.items()
    ]
    legend = [
        "Success with 95 % intervals; tasks of one family are one observation of it.",
        "both: a task and its twin, which differs by one edit that changes the answer, solved in "
        "the same rollout. A policy that remembers answers solves one of the two.",
        "Pairs with an episode without a verdict, because it broke or its prompt was too long, "
        "are left out of `both`.",
        *counts,
    ]
    if any(row.both.clustered_by == "task" for row in rows):
        legend.append(FEW_FAMILIES)
    if origin["stopped"]:
        legend.append(f"Incomplete: {origin['stopped']}. The same command goes on.")

    title = f"Minimal pairs of task and twin, {evaluation.sampling}"
    table = Table(HEADER, [_line(row) for row in rows])
    data = {"provenance": origin, "rows": [asdict(row) for row in rows]}
    return TableReport(title, [table], legend, data)


def _line(row: Consistency) -> list[str]:
    return [
        str(row.suite),
        row.model,
        str(rate(row.task)),
        str(rate(row.twin)),
        str(rate(row.both)),
        str(gain(row.gap)),
    ]
