"""Descriptions of parameters in every usual style, and none that is lost."""

from __future__ import annotations

import pytest

from envs.toolspec.docstrings import Docstring, read_docstring

BOTH = [
    "Args:\n    x (int): number of things,\n        continued.\n    y: more",
    "Args:\n  x: number of things,\n    continued.\n  y (str, optional): more",
    "Args:\n    x: number of things,\n     continued.\n    y: more",
    "Args:\n    x (dict[str, int]):\n        number of things,\n\n        continued.\n    y: more",
    "Arguments:\n x : number of things,\n          continued.\n y : more\n\nReturns:\n it",
    "Params:\n    x: number of things,\n        continued.\n    `y`: more\n\nRaises:\n    E: if",
    "args:\n    *x: number of things,\n        continued.\n    **y: more",
    "**Args**:\n    - x: number of things,\n      continued.\n    - y: more",
    "Args:\n    x: number of things,\n        continued.\n\nKeyword Args:\n    y: more",
    "Args:\n    x: number of things,\n        continued.\n\n:param y: more",
    ":param x: number of things,\n    continued.\n:param str y: more\n:return: it",
    ":arg int x: number of things,\ncontinued.\n:type y: str\n:key y: more\n\nThe end.",
    "  :parameter x: number of things,\n      continued.\n  :keyword y: more",
    "@param x: number of things,\n    continued.\n@param y: more\n@return: it",
    "Parameters\n----------\nx : int\n    number of things,\n    continued.\ny\n    more",
    "Parameters\n----------\nx: int\n  number of things,\n  continued.\n\n"
    "Other Parameters\n----------------\ny : str, optional\n  more\n\nReturns\n-------\nstr",
]


@pytest.mark.parametrize("gap", ["\n\n", "\n\nLonger words:\nfor people.\n\n", "\n"])
@pytest.mark.parametrize("section", BOTH)
def test_every_usual_style_is_read(section, gap):
    doc = read_docstring(f"Does it.{gap}{section}", ["x", "y"])
    assert doc == Docstring(
        "Does it.", {"x": "number of things, continued.", "y": "more"}
    )


@pytest.mark.parametrize(
    ("section", "descriptions"),
    [
        ("Args:\n    x, y: numbers", {"x": "numbers", "y": "numbers"}),
        ("Parameters\n---\nx, y : int\n    numbers", {"x": "numbers", "y": "numbers"}),
        ("Parameters\n---\nx : number of things", {"x": "number of things"}),
        ("Args:\n    x: see (a): b\n        c: d", {"x": "see (a): b c: d"}),
        (
            "Args:\n    x: of `:param:`\n        :py:func:`f`",
            {"x": "of `:param:` :py:func:`f`"},
        ),
        ("Args:\n    x:\n    y: more", {"y": "more"}),
        ("Args:", {}),
        ("Args:\n\nReturns:\n    x: it", {}),
        ("Note:\n    x: is a number", {}),
        ("It takes Args: none, and :param is a word.", {}),
    ],
)
def test_unusual_sections_are_read(section, descriptions):
    doc = read_docstring(f"Does it.\n\n{section}", ["x", "y"])
    assert doc.descriptions == descriptions


def test_the_summary_is_the_first_paragraph():
    assert (
        read_docstring("Does\n:class:`X` it.\n\nMore.", []).summary
        == "Does :class:`X` it."
    )
    assert read_docstring("", []) == Docstring("", {})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("Args:\n    x: a\n    b", "cannot read the line 'b' of its section"),
        ("Args:\n    x: a\n  y: b", "cannot read the line 'y: b'"),
        ("Args:\n    x - number", "cannot read the line 'x - number'"),
        ("Args:\n    x (int)\n", r"cannot read the line 'x \(int\)'"),
        ("Args:\nx: number", "cannot read the line 'x: number'"),
        ("**Args**\n\n- x: number", "cannot read the line '- x: number'"),
        ("Args: x: number", "cannot read the line 'Args: x: number'"),
        (":param x number", "cannot read the line ':param x number'"),
        (":param x: a\n:param y b", "cannot read the line ':param y b'"),
        (
            "Parameters\n---\nx : int\n  a\n\nThe end.",
            "cannot read the line 'The end.'",
        ),
        (
            "Args:\n    x: a\n    z: b",
            r"the line 'z: b' describes 'z', .* parameters: x, y",
        ),
        (":param number: a", "the line ':param number: a' describes 'number'"),
        (
            "Args:\n    x: a\n\n:param x: b",
            "the line ':param x: b' describes 'x' again",
        ),
    ],
)
def test_a_description_that_would_be_lost_is_an_error_with_its_line(section, message):
    with pytest.raises(ValueError, match=message):
        read_docstring(f"Does it.\n\n{section}", ["x", "y"])
