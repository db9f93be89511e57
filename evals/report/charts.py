"""The charts of the HTML report, as SVG that takes its ink from the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

__all__ = ["curve", "intervals"]

INK = "currentColor"
PADDING = {"left": 24, "right": 8, "top": 5, "bottom": 5}
# Distinct on white and on black, and for most people with a colour vision deficiency.
COLOURS = ["#3b82f6", "#e08a00", "#0fa37f", "#d0559b", "#8b6fe8"]


def curve(
    name: str, rows_of: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Markup | None:
    """A metric over the steps, one line for each run; None if no run has it."""
    points, ends = [], []
    for run, rows in rows_of.items():
        line = [
            {"run": run, "step": row["step"], "value": row[name]}
            for row in rows
            if isinstance(row.get(name), int | float)
        ]
        if line:
            first, last = line[0]["value"], line[-1]["value"]
            ends.append(f"{run} from {first:.3g} to {last:.3g}")
        points += line
    if not points:
        return None

    y = alt.Y(
        "value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4)
    )
    chart = (
        alt.Chart(alt.Data(values=points), width=280, height=110)
        .mark_line(point=alt.OverlayMarkDef(size=14))
        .encode(
            x=alt.X("step:Q", axis=alt.Axis(tickMinStep=1, tickCount=5)),
            y=y,
            color=_colour("run", list(rows_of)),
        )
    )
    return _svg(chart, f"{name} by step: {'; '.join(ends)}")


def intervals(
    points: Sequence[Mapping[str, Any]], *, of: str, title: str, zero: bool = False
) -> Markup | None:
    """Values with 95 % intervals, a row for each suite; None without any value.

    Points have `suite`, `value`, `low`, `high` and, under the name `of`, what colours them.
    `zero` draws the line that an interval must leave out to show anything.
    """
    points = [point for point in points if point["value"] is not None]
    if not points:
        return None

    names = list(dict.fromkeys(point[of] for point in points))
    base = alt.Chart(alt.Data(values=list(points))).encode(
        y=alt.Y("suite:N", title=None, sort=None, axis=alt.Axis(labelLimit=260)),
        yOffset=alt.YOffset(f"{of}:N", sort=None),
        color=_colour(of, names),
    )
    span = base.mark_rule(strokeWidth=2)
    layers: list[Any] = [
        span.encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_point(filled=True, size=45, opacity=1).encode(x="value:Q"),
    ]
    if zero:
        origin = alt.Chart(alt.Data(values=[{"x": 0}]))
        line = origin.mark_rule(strokeDash=[4, 3], color=INK)
        layers.append(line.encode(x="x:Q"))

    # A step for each suite: the chart grows with them instead of squeezing them.
    chart = alt.layer(*layers).properties(width=460, height=alt.Step(14))
    return _svg(chart, f"{title}; the table beside it holds the same numbers")


def _colour(of: str, names: Sequence[str]) -> alt.Color:
    many = len(names) > 1
    legend = alt.Legend(title=None, orient="bottom", labelLimit=240) if many else None
    scale = alt.Scale(domain=list(names), range=COLOURS)
    return alt.Color(f"{of}:N", legend=legend, scale=scale, sort=None)


def _svg(chart: Any, label: str) -> Markup:
    """The chart as one image with a name for those who cannot see it."""
    styled = (
        # Room for a reader's font that is wider than the one that was measured here.
        chart.configure(
            background="transparent", font="Arial, sans-serif", padding=PADDING
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            titleFontWeight="normal",
            domainColor=INK,
            tickColor=INK,
            gridColor=INK,
            gridOpacity=0.15,
            domainOpacity=0.5,
            tickOpacity=0.5,
        )
        .configure_legend(labelColor=INK, columnPadding=28)
    )
    svg = vl_convert.vegalite_to_svg(styled.to_dict())

    # The library escapes the chart's own text; the label is escaped here.
    opening = Markup('<div class="chart" role="img" aria-label="{}">').format(label)
    return opening + Markup(svg) + Markup("</div>")
