"""Names are shown letter by letter, wherever a command prints them."""

from __future__ import annotations

import io
import time

import pytest
from rich.progress import Progress
from rich.table import Table

from sandboxes.terminal import terminal, text_column, visible

NAMES = [
    "base[lr1e-3]",
    "[/x]",
    "a|b é",
    "[bold]x[/bold]",
    ":smile:",
    r"a\[b]",
    "[link=x]",
    "<b>&amp;</b>",
    "日本",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_in_sentences_cells_headings_and_titles(name):
    out = io.StringIO()
    console = terminal(out)
    console.print(f"run {name}")
    table = Table(name, title=name)
    table.add_row(name)
    console.print(table)
    assert out.getvalue().count(name) == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_by_a_progress_bar(name):
    out = io.StringIO()
    columns = (text_column("{task.description}"), text_column("{task.fields[text]}"))
    with Progress(*columns, console=terminal(out), get_time=time.monotonic) as bar:
        bar.add_task(name, total=1, text=name)
    assert name in out.getvalue()


def test_a_name_cannot_steer_the_terminal():
    out = io.StringIO()
    terminal(out).print("a\x1b[2Jb\rc")
    assert out.getvalue() == "a\\x1b[2Jb\\x0dc\n"
    assert visible("a\tb\nc") == "a\tb\nc"
