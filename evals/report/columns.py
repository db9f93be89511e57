"""The numbers that a report shows of each model on each suite, success apart.

A new one is one `Column` here: the terminal, the Markdown page and the HTML page read these lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evals.report.scores import Row, Score
from evals.report.tables import Table, direction, gain, number, rate

__all__ = ["COLUMNS", "Column", "columns_of", "wide_table"]


@dataclass(frozen=True)
class Column:
    """A number of every model on every suite.

    | field | meaning |
    |---|---|
    | header | its name in every report |
    | value | reads it from a score; NaN if it is not known |
    | format | writes it |
    """

    header: str
    value: Callable[[Score], float]
    format: Callable[[float], str]

    def text(self, score: Score) -> str:
        """The number as every report shows it."""
        return self.format(self.value(score))


def _count(value: float) -> str:
    return number(value, 0)


def _percent(value: float) -> str:
    text = number(100 * value, 0)
    return text if text == "-" else f"{text} %"


COLUMNS: Sequence[Column] = (
    Column("episodes", lambda score: score.episodes, _count),
    Column("errors", lambda score: score.errors, _count),
    Column("malformed turns", lambda score: score.malformed, _percent),
    Column("mean turns", lambda score: score.turns, number),
    Column("mean tool calls", lambda score: score.tool_calls, number),
    Column("mean tokens", lambda score: score.tokens, _count),
    Column("turns cut at the limit", lambda score: score.truncated, _percent),
    Column("mean seconds", lambda score: score.seconds, number),
)

UNUSUAL_COLUMNS: Sequence[Column] = (
    Column("prompts too long", lambda score: score.prompts_too_long, _count),
)
"""Columns that stand in a report only if one of their numbers is above 0."""


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """The columns of a report of these rows."""
    scores = [score for row in rows for score in row.scores.values()]
    unusual: list[Column] = []
    for column in UNUSUAL_COLUMNS:
        if any(column.value(score) > 0 for score in scores):
            unusual.append(column)
    return [*COLUMNS, *unusual]


def wide_table(rows: Sequence[Row]) -> Table:
    """A line for each suite: success of each model, differences, and every column."""
    first = rows[0]
    pairs = [f"{d.after} - {d.before}" for d in first.differences]
    header = ["suite", *first.scores, *pairs, "tasks x rollouts"]
    columns = columns_of(rows)
    header += [column.header for column in columns]

    lines = []
    for row in rows:
        scores = list(row.scores.values())
        line = [str(row.suite)]
        for score in scores:
            success = rate(score.success)
            line.append(str(success))
        for difference in row.differences:
            shown = gain(difference.estimate)
            word = direction(difference.estimate)
            line.append(f"{shown.value}{word} ({shown.interval})")

        # One column for all models: a table as wide as models times numbers fits no page.
        line.append(f"{row.tasks} x {row.rollouts}")
        for column in columns:
            texts = [column.text(score) for score in scores]
            line.append(_join(texts))
        lines.append(line)
    return Table(header, lines)


def _join(values: Sequence[str]) -> str:
    """One value if all models have the same, else all of them."""
    if len(set(values)) == 1:
        return values[0]
    return "/".join(values)
