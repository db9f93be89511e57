"""The parser of tool calls, schemas from signatures, and dispatch."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envs.toolspec import Call, Malformed, call, parse_call, render_call
from envs.toolspec.calls import MAX_CHARS

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


def look(path: str) -> str:
    """Looks."""
    return path


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
