"""The report of `scgrpo gap`: success with and without references, and D."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from envs.base import TextEnv
from envs.identity import identity
from evals.evaluation.plan import Evaluation
from evals.evaluation.suites import Suite
from evals.gaps.conditions import CONTROLS, OWN, PLAIN
from evals.gaps.play import ModelGap
from evals.report.scores import outcome_table
from evals.report.tables import FEW_FAMILIES, Table, TableReport, gain, number, rate
from evals.statistics import Estimate, success_difference, success_rate
from scgrpo.runs.gaps import SavedGap, gap_data

__all__ = ["GapRow", "gap_report", "gap_rows", "measured_gaps"]

HEADER = ("suite", "model", "reference", "success", "less none", "errored", "too long")
QUANTILES = ("d_p25", "d_p50", "d_p75", "d_p90", "d_p99", "d_noise")
D_HEADER = ("suite", "model", "tokens", *QUANTILES, "above noise")


@dataclass(frozen=True)
class GapRow:
    """A model's success on a suite under one condition.

    | field | meaning |
    |---|---|
    | success | over the tasks that can be played under it |
    | gap | success under it less success without a reference, paired by task; None for `none` |
    | tasks | tasks that can be played under it |
    | errored, too_long | episodes without a verdict, which are in no rate |
    | missing | episodes that have yet to be played |
    """

    suite: Suite
    model: str
    reference: str
    success: Estimate
    gap: Estimate | None
    tasks: int
    errored: int
    too_long: int
    missing: int


def gap_rows(
    measured: ModelGap, rollouts: int, families: Sequence[str]
) -> list[GapRow]:
    """A row for each condition; `families` are those of the suite's tasks."""
    plain = outcome_table(measured.episodes[PLAIN], rollouts)
    rows: list[GapRow] = []
    for name, groups in measured.episodes.items():
        outcomes = outcome_table(groups, rollouts)
        gap = None
        if name != PLAIN:
            gap = success_difference(plain, outcomes, families)
        episodes = [episode for group in groups for episode in group]
        ended = [episode for episode in episodes if not episode.errored]
        row = GapRow(
            measured.suite,
            measured.model.label,
            name,
            success_rate(outcomes, families),
            gap,
            tasks=measured.planned[name] // rollouts,
            errored=len(episodes) - len(ended),
            too_long=sum(episode.prompt_too_long for episode in ended),
            missing=measured.planned[name] - len(ended),
        )
        rows.append(row)
    return rows


def measured_gaps(
    measured: Sequence[ModelGap],
    rows: Sequence[GapRow],
    evaluation: Evaluation,
    envs: Mapping[str, TextEnv],
    date: str,
) -> list[SavedGap]:
    """The gaps for `scgrpo train` to find: those of `own` with all of their episodes."""
    gaps: list[SavedGap] = []
    for of_model in measured:
        suite, label = of_model.suite, of_model.model.label
        of_cell = [r for r in rows if (r.suite, r.model) == (suite, label)]
        complete = all(r.missing == 0 for r in of_cell if r.reference in (PLAIN, OWN))
        own = next(row for row in of_cell if row.reference == OWN)
        if own.gap is None or not complete or math.isnan(own.gap.value):
            continue
        env = identity(envs[suite.env])
        gap = SavedGap(
            of_model.model.name,
            evaluation.digests[label],
            env.env,
            env.source,
            suite.level,
            suite.split,
            own.gap.tasks,
            own.gap.value,
            own.gap.low,
            own.gap.high,
            date,
        )
        gaps.append(gap)
    return gaps


def gap_report(
    rows: Sequence[GapRow],
    measured: Sequence[ModelGap],
    gaps: Sequence[SavedGap],
    origin: Mapping[str, Any],
) -> TableReport:
    """The report; `origin` is its provenance, with what `stopped` it early."""
    names = {row.reference for row in rows}
    controls = [f"{name}: {CONTROLS[name]}." for name in CONTROLS if name in names]
    legend = [
        "Success with 95 % intervals. less none: success in points with the reference in the "
        "system message, less success without, paired by task and sampling seed.",
        "own: a verified episode of the task itself.",
        *controls,
        "Errored episodes and prompts that are too long are in no rate.",
        "D: nats a token by which the own reference moves the model along its episodes without "
        "one. d_noise: 99th percentile of D between two equal passes that are packed otherwise; "
        "above noise: share of the tokens whose D is larger.",
        *_left_out(measured),
    ]
    if any(row.success.clustered_by == "task" for row in rows):
        legend.append(FEW_FAMILIES)
    if origin["stopped"]:
        legend.append(f"Incomplete: {origin['stopped']}. The same command goes on.")

    tables = [
        Table(HEADER, [_line(row) for row in rows]),
        Table(D_HEADER, [_divergence_line(m) for m in measured], title="D"),
    ]
    data = {
        "provenance": origin,
        "gaps": [gap_data(gap) for gap in gaps],
        "rows": [asdict(row) for row in rows],
        "divergence": [
            {"suite": asdict(m.suite), "model": m.model.label, **m.divergence}
            for m in measured
        ],
    }
    return TableReport("Gap with and without a reference", tables, legend, data)


def _left_out(measured: Sequence[ModelGap]) -> list[str]:
    """A sentence for each condition under which tasks have nothing to be shown."""
    sentences: list[str] = []
    for m in measured:
        for name, count in m.planned.items():
            if left := m.planned[PLAIN] - count:
                sentences.append(
                    f"{m.model.label} on {m.suite}: {left} episodes of tasks without a reference "
                    f"of the kind `{name}`, or with one that is too long, are left out."
                )
    return sentences


def _line(row: GapRow) -> list[str]:
    return [
        str(row.suite),
        row.model,
        row.reference,
        str(rate(row.success)),
        "" if row.gap is None else str(gain(row.gap)),
        str(row.errored),
        str(row.too_long),
    ]


def _divergence_line(measured: ModelGap) -> list[str]:
    numbers = measured.divergence
    cells = [str(measured.suite), measured.model.label]
    cells.append(f"{numbers.get('tokens', 0):.0f}")
    for name in QUANTILES:
        value = numbers.get(f"credit/{name}")
        cells.append("-" if value is None else f"{value:.2g}")
    share = numbers.get("credit/d_above_noise", math.nan)
    cells.append(f"{number(100 * share)} %")
    return cells
