"""Curves of the rows that are points of one, as an SVG file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert

from benchmarks import Row

__all__ = ["curves"]

COLOUR = "#3b82f6"


def curves(rows: Sequence[Row]) -> str:
    """One panel for each curve, with 95 % intervals, from 0 on; empty without any point."""
    points: dict[str, list[dict[str, Any]]] = {}
    units: dict[str, str] = {}
    for row in rows:
        if row.place is not None:
            curve, x = row.place
            low, high = row.ours_interval or (row.ours, row.ours)
            point = {"x": x, "value": row.ours, "low": low, "high": high}
            points.setdefault(curve, []).append(point)
            units[curve] = row.unit
    if not points:
        return ""
    panels = [_panel(curve, points[curve], units[curve]) for curve in points]
    chart = (
        alt.hconcat(*panels)
        .configure(background="white", font="Arial, sans-serif")
        .configure_view(stroke=None)
    )
    return vl_convert.vegalite_to_svg(chart.to_dict())


def _panel(curve: str, points: Sequence[dict[str, Any]], unit: str) -> Any:
    values = sorted(point["x"] for point in points)
    base = alt.Chart(alt.Data(values=list(points)), width=180, height=150).encode(
        x=alt.X(
            "x:Q",
            title=curve,
            scale=alt.Scale(type="log", base=2),
            axis=alt.Axis(values=values, format="d"),
        )
    )
    y = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=True))
    line = base.mark_line(color=COLOUR, point=alt.OverlayMarkDef(color=COLOUR))
    span = base.mark_rule(color=COLOUR, opacity=0.6)
    return alt.layer(
        line.encode(y=y), span.encode(y=alt.Y("low:Q", title=unit), y2="high:Q")
    )
