"""Learning curves of a trial as an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import vl_convert

from evals.trials.data import TrialRow
from evals.trials.plan import TrialPlan

__all__ = ["figure"]

WINDOW = 5
"""Steps whose mean is one point of a curve."""


def figure(plan: TrialPlan, rows: Sequence[TrialRow]) -> str:
    """A panel for each cell, a line for each method: its mean over seeds; empty without rows."""
    panels = [
        _panel(cell, points)
        for cell in plan.cells
        if (points := _points(cell, plan, rows))
    ]
    if not panels:
        return ""
    chart = (
        alt.hconcat(*panels)
        .configure(background="white", font="Arial, sans-serif")
        .configure_view(stroke=None)
    )
    return vl_convert.vegalite_to_svg(chart.to_dict())


def _points(
    cell: str, plan: TrialPlan, rows: Sequence[TrialRow]
) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    for method in plan.methods:
        curves = [
            [np.nan if value is None else value for value in row.curve]
            for row in rows
            if (row.cell, row.method, row.stage) == (cell, method, "trial")
        ]
        if not curves:
            continue
        steps = min(map(len, curves))
        for start in range(0, steps, WINDOW):
            window = np.array([curve[start : start + WINDOW] for curve in curves])
            # Steps of errored episodes alone have no success.
            if np.isfinite(window).any():
                success = 100 * float(np.nanmean(window))
                points.append({"step": start + 1, "success": success, "method": method})
    return points


def _panel(cell: str, points: Sequence[dict[str, Any]]) -> Any:
    return (
        alt.Chart(alt.Data(values=list(points)), width=260, height=200, title=cell)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("success:Q", title="success of training episodes, %"),
            color=alt.Color("method:N", title="method"),
        )
    )
