"""A number of the report is one column, which every form of the report reads."""

from __future__ import annotations

from dataclasses import replace

from evals.report import columns
from evals.report.columns import Column
from evals.report.html import page
from evals.report.report import load, markdown, write
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


def test_prompts_that_are_too_long_show_in_every_report_and_only_if_there_are_any(
    tmp_path,
):
    words = "task id/0/7: the prompt has 900 tokens"
    (row,) = report().rows
    scores = dict(row.scores)
    scores["trained"] = replace(
        scores["trained"], prompts_too_long=4, long_prompt=words
    )
    changed = replace(report(), rows=[replace(row, scores=scores)])

    assert "prompts too long 0 0 4" in shown(changed)
    assert "| 1.5 | 0/0/4 |" in markdown(changed)
    write(changed, tmp_path / "evals", "x")
    text = page([tmp_path])
    assert '<th scope="col">prompts too long</th>' in text
    assert "<td>0/0/4</td>" in text
    for form in (" ".join(shown(changed)), markdown(changed), text):
        assert words in form
        assert "4 episodes, which no other number counts" in form

    assert "too long" not in markdown(report())
    read = load(tmp_path / "evals" / "x.json").rows[0].scores["trained"]
    assert (read.prompts_too_long, read.long_prompt) == (4, words)
