"""Which program a turn holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.published.coding.programs import last_program


@pytest.mark.parametrize(
    ("turn", "program"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("First:\n```py\nx = 1\n```\nNo:\n```python3\nx = 2\n```\nDone.", "x = 2\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```python \r\nx = 1\r\n```\r\n", "x = 1\r\n"),
        ("```python\nx = 1\ny = 2", "x = 1\ny = 2"),
        ("```python\nx = '```'\n```", "x = '```'\n"),
        ("```json\n{}\n```", None),
        ("x = 1", None),
        ("", None),
        ("```python\n\n```", None),
        ("```python\nx = 1\n```\n```python\n```", None),
        (f"```python\n{'#' * 100_000}\n```", None),
    ],
)
def test_the_last_fence_holds_the_program(turn, program):
    assert last_program(turn) == program


@given(st.text(alphabet="`python \nx=1", max_size=80))
def test_no_turn_raises(text):
    program = last_program(text)
    assert program is None or program in text
