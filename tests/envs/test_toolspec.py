"""The parser of tool calls, schemas from signatures, and dispatch."""

from __future__ import annotations

import json
import time
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envs.toolspec import (
    MAX_CHARS,
    Call,
    Malformed,
    call,
    parse_call,
    render_call,
    schema_of,
)

CALL = '{"name": "apply", "arguments": {"candidate": 2}}'
WANTED = Call("apply", {"candidate": 2})


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"  \n{CALL}\n ",
        f"<tool_call>{CALL}</tool_call>",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>{CALL}",
        f"I think that two is right.\n<tool_call>{CALL}</tool_call> Done.",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```\nThat is my call.",
        f"First a thought.\n{CALL}",
    ],
)
def test_every_documented_form_is_the_same_call(text):
    assert parse_call(text) == WANTED


def test_arguments_may_be_left_out():
    assert parse_call('{"name": "ls"}') == Call("ls", {})


def test_marks_inside_a_string_are_text():
    text = "</tool_call> ``` <tool_call> {"
    assert parse_call(render_call("edit", new=text)) == Call("edit", {"new": text})
    tagged = f"<tool_call>{render_call('edit', new=text)}</tool_call>"
    assert parse_call(tagged) == Call("edit", {"new": text})


def test_a_plain_newline_inside_a_string_is_accepted():
    assert parse_call('{"name": "edit", "arguments": {"new": "a\nb"}}') == Call(
        "edit", {"new": "a\nb"}
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "f", "parameters": {"x": "a"}}',
        '{"type": "function", "name": "f", "parameters": {"x": "a"}}',
        '{"name": "f", "arguments": "{\\"x\\": \\"a\\"}"}',
        '<tool_call>{"name": "f", "parameters": {"x": "a"}}</tool_call>',
    ],
)
def test_the_json_of_other_models_is_read(text):
    assert parse_call(text) == Call("f", {"x": "a"})


def test_the_call_behind_a_thought_is_the_call():
    draft = '{"name": "f", "arguments": {"x": "draft"}}'
    for text in (
        f"<think>\n{draft}\n</think>\n\n{CALL}",
        f"<think>{draft}</think><tool_call>{CALL}</tool_call>",
        f"{draft}? No.\n</think>\n{CALL}",
    ):
        assert parse_call(text) == parse_call(CALL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no tool call"),
        ("the answer is 3", "no tool call"),
        (f"inline {CALL}", "no tool call"),
        (CALL[:-1], "not valid JSON"),
        (f"{CALL} and more", "text after the call"),
        (f"{CALL}\n{CALL}", "text after the call"),
        (
            f"<tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call>",
            "more than one",
        ),
        (f"```json\n{CALL}\n```\n```json\n{CALL}\n```", "more than one"),
        ("<tool_call>[1]</tool_call>", "got array"),
        ("<tool_call>3</tool_call>", "got integer"),
        ('{"arguments": {}}', '"name" must be'),
        ('{"name": 3}', '"name" must be'),
        ('{"name": ""}', '"name" must be'),
        ('{"name": "ls", "arguments": [1]}', "got array"),
        ('{"name": "ls", "arguments": null}', "got null"),
        ('{"name": "ls", "params": {}}', 'unknown key "params"'),
        (
            '{"name": "ls", "arguments": {}, "parameters": {}}',
            'unknown key "parameters"',
        ),
        ('{"name": "ls", "arguments": "{\\"a\\": 1"}', "not valid JSON"),
        ('{"name": "ls", "arguments": "[1]"}', "got array"),
        ('{"name": "ls", "arguments": "{} and more"}', "more text behind it"),
        ('{"name": "ls", "arguments": "{\\"a\\": NaN}"}', "NaN is not JSON"),
        ('{"name": "ls", "arguments": ""}', "not valid JSON"),
        ('{"type": "object", "name": "ls"}', 'unknown key "type"'),
        (f"<think>Perhaps {CALL}</think> No.", "no tool call"),
        (f"<think>Perhaps\n{CALL}", "no tool call"),
        ('{"name": "ls", "name": "rm"}', "twice"),
        ('{"name": "ls", "arguments": {"a": 1, "a": 2}}', "twice"),
        ('{"name": "ls", "arguments": {"a": NaN}}', "NaN is not JSON"),
        ('{"name": "ls", "arguments": {"a": -Infinity}}', "-Infinity is not JSON"),
        ('{"name": "ls", "arguments": {"a": 1e999}}', "out of range"),
        ('{"name": "ls", "arguments": {"a": ' + "9" * 19 + "}}", "18 digits"),
        ('{"name": "ls", "arguments": {"a": ' + "9" * 5000 + "}}", "18 digits"),
        ('{"name": "ls", "arguments": {"a": "\\ud800"}}', "surrogate"),
        ('{"name": "ls", "arguments": {"\ud800": 1}}', "surrogate"),
        (
            '{"name": "ls", "arguments": {"a": ' + "[" * 40 + "]" * 40 + "}}",
            "deeper than 32",
        ),
        ('{"name": "ls", "arguments": {"a": ' + "[" * 100_000, "deeper than 32"),
        ('{"a":' * 100_000, "deeper than 32"),
        ("{" + " " * MAX_CHARS, "at most 1000000"),
    ],
)
def test_what_is_refused_says_why(text, reason):
    parsed = parse_call(text)
    assert isinstance(parsed, Malformed)
    assert reason in parsed.reason
    assert len(parsed.sentence) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
marks = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "```",
        "```json\n",
        "{",
        "}",
        '"name"',
        ":",
        '"a"',
        "\n",
        "NaN",
    ]
)
anything = st.one_of(
    st.text(st.characters(), max_size=200),
    st.lists(marks | st.text(max_size=3), max_size=30).map("".join),
    json_values.map(json.dumps),
    st.fixed_dictionaries(
        {"name": json_values}, optional={"arguments": json_values}
    ).map(json.dumps),
)


@given(anything)
@example("\ud800")
@example('{"name": "\\udc00"}')
@example("{" * 1000)
def test_no_input_raises(text):
    parsed = parse_call(text)
    assert isinstance(parsed, Call | Malformed)
    if isinstance(parsed, Call):
        json.dumps(dict(parsed.arguments), allow_nan=False).encode()
    assert isinstance(call({"look": look}, text), str | Malformed)


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "[",
        "<tool_call>",
        "```",
        "```json {",
        "\n{",
        " ",
        '"',
        '{"a":',
        "\\",
        "\n \t",
    ],
)
def test_a_megabyte_of_anything_is_refused_in_a_second(piece):
    text = (piece * MAX_CHARS)[:MAX_CHARS]
    for opening in ("", "{", "<tool_call>", "```json\n{"):
        started = time.perf_counter()
        assert isinstance(parse_call((opening + text)[:MAX_CHARS]), Malformed)
        assert time.perf_counter() - started < 1.0


arguments = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(10**17), 10**17),
)


@given(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), arguments)
def test_a_rendered_call_parses_back(name, arguments):
    assert parse_call(render_call(name, **arguments)) == Call(name, arguments)


def test_a_rendered_call_is_a_bare_object_without_empty_arguments():
    assert render_call("apply", candidate=2) == CALL
    assert render_call("ls") == '{"name": "ls"}'


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


DESCRIBED = [
    "Args:\n    x (int): number of things,\n        continued.\n    y: more",
    "Args:\n  x: number of things,\n    continued.\n  y (str, optional): more",
    "Arguments:\n    x: number of things,\n          continued.\n    y: more\n\nReturns:\n    it",
    ":param x: number of things,\n    continued.\n:param str y: more\n:return: it",
    "Parameters\n----------\nx : int\n    number of things,\n    continued.\ny\n    more",
]


def described(doc: str):
    def f(x: int, y: str = "") -> str:
        return f"{x}{y}"

    f.__doc__ = f"Does it.\n\n{doc}\n"
    return f


@pytest.mark.parametrize("doc", DESCRIBED)
def test_descriptions_are_read_in_every_usual_style(doc):
    function = schema_of(described(doc))["function"]
    properties = function["parameters"]["properties"]
    assert properties["x"]["description"] == "number of things, continued."
    assert properties["y"]["description"] == "more"
    assert function["description"] == "Does it."


@pytest.mark.parametrize(
    ("doc", "message"),
    [
        ("Args:\n    x: a\n    b", r"cannot read the line 'b' of its docstring"),
        ("Args:\n    x the number", r"cannot read the line 'x the number'"),
        ("Args:\n    x: a\n    z: b", r"describes 'z', which is no parameter; .* x, y"),
        (":param number: a", r"describes 'number', which is no parameter"),
    ],
)
def test_a_description_that_would_be_lost_is_an_error(doc, message):
    with pytest.raises(ValueError, match=message):
        schema_of(described(doc))
