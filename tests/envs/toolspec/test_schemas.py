"""Schemas from signatures and docstrings, and dispatch."""

from __future__ import annotations

from typing import Any, List, Literal, Optional  # noqa: UP035 - tools may use them

import pytest

from envs.toolspec import Malformed, call, render_call, schema_of


def look(
    path: str,
    lines: list[int],
    mode: Literal["fast", "slow"] = "fast",
    limit: int | None = None,
    ratio: float = 0.5,
    every: bool = False,
    more: dict[str, Any] | None = None,
    step: Literal[1, 2] = 1,
) -> str:
    """Looks at a file
    and says so.

    Longer words for programmers.

    Args:
        path: where it is,
            from the root
        limit: most characters

    Returns:
        nothing: of interest
    """
    return f"{path} {lines} {mode} {limit} {ratio} {every} {more} {step}"


def test_a_schema_comes_from_signature_and_docstring():
    assert schema_of(look) == {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Looks at a file and says so.",
            "parameters": {
                "type": "object",
                "properties": {
                    "path": {
                        "type": "string",
                        "description": "where it is, from the root",
                    },
                    "lines": {"type": "array", "items": {"type": "integer"}},
                    "mode": {"type": "string", "enum": ["fast", "slow"]},
                    "limit": {"type": "integer", "description": "most characters"},
                    "ratio": {"type": "number"},
                    "every": {"type": "boolean"},
                    "more": {"type": "object"},
                    "step": {"type": "integer", "enum": [1, 2]},
                },
                "required": ["path", "lines"],
            },
        },
    }


def test_a_changed_schema_changes_no_other():
    schema_of(look)["function"]["parameters"]["properties"].clear()
    assert "path" in schema_of(look)["function"]["parameters"]["properties"]


def untyped(path) -> str:
    return path


def with_set(paths: set[str]) -> str:
    return str(paths)


def with_rest(*paths: str) -> str:
    return str(paths)


def with_either(path: int | str) -> str:
    return str(path)


@pytest.mark.parametrize("function", [untyped, with_set, with_rest, with_either])
def test_a_parameter_without_a_schema_is_an_error_that_names_it(function):
    with pytest.raises(ValueError, match=f"{function.__name__}.*path"):
        schema_of(function)


def test_a_call_runs_the_function():
    text = render_call("look", path="a", lines=[1, 2], ratio=1, limit=3)
    assert call({"look": look}, text) == "a [1, 2] fast 3 1 False None 1"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"lines": []}, "argument 'path' is missing"),
        (
            {"path": "a", "lines": [], "extra": 1},
            'unknown argument "extra"; arguments: path, ',
        ),
        (
            {"path": 3, "lines": []},
            "argument 'path' must be of type string, got 3 (integer)",
        ),
        (
            {"path": "a", "lines": ["1"]},
            "argument 'lines' has an item that must be of type int",
        ),
        ({"path": "a", "lines": {}}, "argument 'lines' must be of type array"),
        ({"path": "a", "lines": [True]}, "got true (boolean)"),
        (
            {"path": "a", "lines": [], "limit": 2.0},
            "must be of type integer, got 2.0 (number)",
        ),
        ({"path": "a", "lines": [], "ratio": None}, "got null (null)"),
        ({"path": None, "lines": []}, "must be of type string, got null (null)"),
        ({"path": "a", "lines": [None]}, "has an item that must be of type integer"),
        ({"path": "a", "lines": [], "mode": None}, "must be one of"),
        (
            {"path": "a", "lines": [], "mode": "x"},
            "must be one of ['fast', 'slow'], got \"x\"",
        ),
        ({"path": "a", "lines": [], "step": True}, "must be one of [1, 2], got true"),
        ({"path": "a", "lines": [], "every": 1}, "must be of type boolean"),
        ({"path": {"a": "x" * 999}, "lines": []}, "..."),
    ],
)
def test_wrong_arguments_are_named(arguments, reason):
    answer = call({"look": look}, render_call("look", **arguments))
    assert isinstance(answer, Malformed)
    assert reason in answer.reason
    assert len(answer.reason) < 200


def test_an_unknown_tool_is_answered_with_those_there_are():
    answer = call({"look": look, "stop": look}, render_call("peek"))
    assert answer == Malformed('there is no tool "peek"; tools: look, stop')


def test_an_error_inside_a_tool_is_not_a_malformed_call():
    def broken() -> str:
        raise KeyError("x")

    with pytest.raises(KeyError):
        call({"broken": broken}, render_call("broken"))


def nullable(
    q: str | None,
    some: list[int | None],
    y: str | None = None,
    mode: Literal["a", None] = None,
    z: str = "",
) -> str:
    """Says what it got."""
    return f"{q!r} {some!r} {y!r} {mode!r} {z!r}"


def test_null_is_none_where_the_annotation_admits_it():
    text = render_call("nullable", q=None, some=[1, None], y=None, mode=None)
    assert call({"nullable": nullable}, text) == "None [1, None] None None ''"
    text = render_call("nullable", q="a", some=[], y="b", mode="a", z="c")
    assert call({"nullable": nullable}, text) == "'a' [] 'b' 'a' 'c'"
    for arguments in ({"q": None, "some": [], "z": None}, {"q": 3, "some": []}):
        answer = call({"nullable": nullable}, render_call("nullable", **arguments))
        assert isinstance(answer, Malformed)


def test_a_schema_says_where_null_is_needed():
    parameters = schema_of(nullable)["function"]["parameters"]
    assert parameters["required"] == ["q", "some"]
    assert parameters["properties"] == {
        "q": {"type": ["string", "null"]},
        "some": {"type": "array", "items": {"type": ["integer", "null"]}},
        # These may be left out instead.
        "y": {"type": "string"},
        "mode": {"type": "string", "enum": ["a"]},
        "z": {"type": "string"},
    }


def spelled(
    bare: list | None = None,
    either: Optional[Literal[1, None]] = 1,  # noqa: UP045 - the spelling is the point
    deep: list[list[int] | None] | None = None,
    words: str = None,  # pyright: ignore[reportArgumentType]
) -> str:
    """Says what it got."""
    return f"{bare!r} {either!r} {deep!r} {words!r}"


def test_null_is_none_in_every_spelling_of_the_annotation():
    text = render_call("spelled", bare=[None, 1], either=None, deep=[None])
    assert call({"spelled": spelled}, text) == "[None, 1] None [None] None"
    for wrong in ({"either": True}, {"either": 2}, {"deep": [[None]]}, {"words": None}):
        answer = call({"spelled": spelled}, render_call("spelled", **wrong))
        assert isinstance(answer, Malformed)


def test_a_bare_list_may_hold_anything():
    def f(items: List) -> str:  # noqa: UP006 - the spelling is the point
        return f"{items}"

    f.__annotations__["items"] = List  # noqa: UP006
    assert call({"f": f}, render_call("f", items=[1, "a"])) == "[1, 'a']"


def test_a_whole_number_is_a_float_and_no_float_is_an_int():
    def f(x: int, y: float) -> str:
        return f"{x} {y}"

    assert call({"f": f}, render_call("f", x=3, y=3)) == "3 3"
    answer = call({"f": f}, render_call("f", x=3.0, y=3))
    assert answer == Malformed(
        "f: argument 'x' must be of type integer, got 3.0 (number)"
    )


def documented(doc: str):
    def f(x: int, y: str = "") -> str:
        return f"{x}{y}"

    f.__doc__ = doc
    return f


def test_a_docstring_is_the_description_and_those_of_parameters():
    function = schema_of(
        documented("Does it,\nsoon.\n\nMore.\n\nArgs:\n    x: number")
    )["function"]
    assert function["description"] == "Does it, soon."
    assert function["parameters"]["properties"] == {
        "x": {"type": "integer", "description": "number"},
        "y": {"type": "string"},
    }


def test_a_description_that_would_be_lost_names_its_tool():
    with pytest.raises(
        ValueError, match=r"tool f: in its docstring cannot read the line 'b'"
    ):
        schema_of(documented("Does it.\n\nArgs:\n    x: a\n    b"))
