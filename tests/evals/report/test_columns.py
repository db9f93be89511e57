"""A number of the report is one column, which every form of the report reads."""

from __future__ import annotations

from evals.report import columns
from evals.report.columns import Column
from evals.report.html import page
from evals.report.report import markdown, write
from evals.report.tables import number
from tests.evals.report.test_report import report, shown


def test_a_new_column_shows_on_the_terminal_in_markdown_and_on_the_page(
    tmp_path, monkeypatch
):
    thinking = Column("mean letters", lambda score: 3 * score.turns, number)
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, thinking))
    assert "mean letters 13.3 13.3 13.3" in shown(report())
    assert "| 1.5 | 13.3 |" in markdown(report())
    write(report(), tmp_path / "evals", "x")
    text = page([tmp_path])
    assert '<th scope="col">mean letters</th>' in text
    assert "<td>1.5</td><td>13.3</td>" in text
