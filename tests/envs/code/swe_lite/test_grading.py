"""Grading: honest work always gets a verdict, and only a box that breaks twice leaves none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from envs.code.swe_lite.corpus import source
from envs.code.swe_lite.grading import grade, run_visible
from envs.code.swe_lite.table import Row, rows
from sandboxes import ExecResult, SandboxConfig, SandboxError, SandboxPool, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends.fake import FakePool
from tests.envs.code.swe_lite.fake_runs import answer

MANY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    if reason := local.available():
        pytest.skip(f"local: {reason}")
    with open_pool(SandboxConfig(backend="local", size=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def row() -> Row:
    return next(row for row in rows() if row.source == "intervals")


def breaking(times: int, passes: bool = True) -> tuple[FakePool, list[int]]:
    """Boxes of which the first ones break, and a list that grows with each one that ran."""
    runs: list[int] = []

    def handler(
        argv: Sequence[str], files: dict[str, bytes], stdin: bytes
    ) -> ExecResult:
        runs.append(len(runs))
        if len(runs) <= times:
            raise SandboxError("the box is lost")
        return answer(stdin, passes)

    return FakePool(handler), runs


@pytest.mark.parametrize("times", [0, 1])
def test_a_box_that_breaks_is_replaced_once(row: Row, times: int):
    boxes, runs = breaking(times)
    package = source(row.source)
    assert grade(boxes, package, package.text, row.failing).passed
    assert (
        len(runs) == 3 + times
    )  # the right module's witness, the submission's, its tests
    boxes, runs = breaking(times)
    assert run_visible(boxes, package, package.text).failures(package.visible_ids) == []
    assert len(runs) == 1 + times


def test_two_broken_boxes_are_no_verdict(row: Row):
    boxes, runs = breaking(5)
    package = source(row.source)
    with pytest.raises(SandboxError):
        grade(boxes, package, package.text, row.failing)
    assert len(runs) == 2


def test_a_wrong_answer_is_not_tried_again(row: Row):
    boxes, runs = breaking(0, passes=False)
    package = source(row.source)
    assert not grade(boxes, package, package.text, row.failing).passed
    assert len(runs) == 3


def windows(text: str) -> str:
    return text.replace("\n", "\r\n")


def old_mac(text: str) -> str:
    return text.replace("\n", "\r")


def cut(text: str) -> str:
    """Without a newline at the end."""
    return text.rstrip("\n")


def marked(text: str) -> str:
    return "\ufeff" + text


def coding(text: str) -> str:
    return "# -*- coding: utf-8 -*-\n" + text


def spread(text: str) -> str:
    return text.replace("\n\n", "\n\n   \n\f\n")


CHANGES = st.lists(
    st.sampled_from([cut, spread, windows, old_mac, coding]), max_size=3, unique=True
)
WORDS = st.text(st.characters(exclude_characters="\r\n\0\f"), max_size=30)


@MANY
@given(CHANGES, WORDS, st.booleans())
@example([windows, cut], "é \u2028 \ud83d\ude00 🙂", True)
@example([], "\ud800", False)
def test_right_code_passes_however_it_is_written(
    pool: SandboxPool,
    row: Row,
    changes: list[Callable[[str], str]],
    words: str,
    mark: bool,
):
    package = source(row.source)
    text = f"{package.text}\n# a note: {words}\n"
    for change in changes:
        text = change(text)
    verdict = grade(pool, package, marked(text) if mark else text, row.failing)
    assert verdict.passed or is_no_python(text, verdict.detail), verdict


def is_no_python(text: str, detail: str) -> bool:
    """Half a surrogate pair is no UTF-8, and the interpreter may say so."""
    return "text that is no Python" in detail and any(
        "\ud800" <= one <= "\udfff" for one in text
    )


@MANY
@given(st.text(st.characters(), max_size=200), st.integers(0, 100))
@example("\ud800", 0)
@example("\0", 3)
@example("'''", 5)
@example("\\\n", 7)
def test_whatever_is_written_gets_a_verdict(
    pool: SandboxPool, row: Row, words: str, line: int
):
    lines = row.broken.split("\n")
    lines.insert(line, words)
    text = "\n".join(lines)
    assert grade(pool, source(row.source), text, row.failing).score in (0.0, 1.0)
    run_visible(pool, source(row.source), text)
