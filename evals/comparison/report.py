"""A comparison as tables."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict

from evals.comparison.results import Result
from evals.comparison.verdicts import ALPHA, Comparison, GainRatio
from evals.report.tables import FEW_FAMILIES, Table, TableReport, gain, number

__all__ = ["comparison_report", "differences_table", "file_name"]

MAX_NAME = 150
"""Letters of a file's name that tell what it is about."""
DIFFERENCES = (
    "suite",
    "model",
    "compared with",
    "tasks",
    "difference",
    "95 % interval",
    "p (Holm)",
    "verdict",
    "detectable",
)
RATIOS = ("shift", "model", "compared with", "OOD gain / ID gain", "95 % interval")


def comparison_report(
    results: Sequence[Result],
    comparisons: Sequence[Comparison],
    ratios: Sequence[GainRatio],
    notes: Sequence[str],
) -> TableReport:
    """The differences and, if there are any shifts, the OOD-to-ID gain ratios."""
    tables = [differences_table(comparisons)]
    if ratios:
        lines = [_ratio_line(ratio) for ratio in ratios]
        tables.append(Table(RATIOS, lines, title="OOD-to-ID gain ratio"))
    data = {
        "results": [
            {"label": r.label, "name": r.name, "report": str(r.report)} for r in results
        ],
        "comparisons": [
            {**asdict(comparison), "detectable": comparison.test.detectable}
            for comparison in comparisons
        ],
        "ood_gain_ratios": [asdict(ratio) for ratio in ratios],
        "notes": list(notes),
    }
    legend = [*_legend(comparisons, ratios), *notes]
    sources = [file for result in results for file in result.files]
    return TableReport("Comparison", tables, legend, data, sources)


def differences_table(comparisons: Sequence[Comparison]) -> Table:
    """A line for each comparison, with its verdict."""
    return Table(DIFFERENCES, [_line(comparison) for comparison in comparisons])


def file_name(results: Sequence[Result]) -> str:
    """A file's name that says which results are compared; other results have another one."""
    labels = [result.label for result in results]
    # File systems refuse long names, and letters of which some have two forms.
    words = [re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-") for label in labels]
    digest = hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:8]
    return f"{'-vs-'.join(words)[:MAX_NAME]}-{digest}"


def _line(comparison: Comparison) -> list[str]:
    test = comparison.test
    difference = gain(test.estimate)
    return [
        str(comparison.suite),
        comparison.after,
        comparison.before,
        str(test.estimate.tasks),
        difference.value,
        difference.interval,
        f"{_p_value(test.p_value)} ({_p_value(comparison.adjusted)})",
        comparison.verdict,
        number(100 * test.detectable),
    ]


def _ratio_line(ratio: GainRatio) -> list[str]:
    models = [str(ratio.shift), ratio.after, ratio.before]
    if math.isnan(ratio.value):
        return [*models, "not shown", "unbounded"]
    return [*models, f"{ratio.value:.2f}", f"{ratio.low:.2f} to {ratio.high:.2f}"]


def _legend(
    comparisons: Sequence[Comparison], ratios: Sequence[GainRatio]
) -> list[str]:
    counted = sum(not math.isnan(comparison.adjusted) for comparison in comparisons)
    lines = [
        "Differences are points of success, paired by task; tasks of one family are one cluster.",
        f"p in brackets is adjusted for {counted} comparisons (Holm). Better or worse is said only "
        f"if the interval leaves 0 out and the adjusted p is under {ALPHA}.",
        "Detectable: the smallest true difference, in points, that this comparison alone would "
        "show four times in five (power 80 %), by the scatter that it saw.",
    ]
    estimates = [comparison.test.estimate for comparison in comparisons]
    if any(estimate.clustered_by == "task" for estimate in estimates):
        lines.append(FEW_FAMILIES)

    left_out = sum(comparison.left_out for comparison in comparisons)
    if left_out:
        lines.append(
            f"{left_out} tasks that only one of two results holds are left out."
        )
    if ratios:
        lines.append(
            "The OOD-to-ID gain ratio, OOD gain / ID gain, is 1 if all of the gain arrives on the "
            "shift (Fieller's interval); it is not shown if the interval of the ID gain holds 0."
        )
    return lines


def _p_value(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"
