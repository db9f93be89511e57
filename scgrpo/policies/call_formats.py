"""How models write tool calls: one entry for each format, read by transformers' response parser.

Which of them a model's template teaches is found by trial: the template prints a call, and the
format that reads the same call back is the one. `PLAIN` is the form that environments read
themselves (`envs.toolspec.parse_call`): JSON with a name and arguments, bare or in `<tool_call>`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers.utils.chat_parsing import parse_response

from envs.parsing import parse
from envs.toolspec import Call, parse_call

__all__ = [
    "FORMATS",
    "HARMONY",
    "PLAIN",
    "CallFormat",
    "format_of",
    "read_any",
    "shipped_formats",
]

_JSON_NAMES = {"true": True, "false": False, "null": None}
_RAW = {"name": "text", "args": {"strip": False}}
"""Values that carry no quotes; transformers casts them by the tool's schema."""


@dataclass(frozen=True)
class CallFormat:
    """One way to write a call.

    | field | meaning |
    |---|---|
    | name | of the format, for readers |
    | opening | what a turn with a call holds; empty for the plain form |
    | closings | what calls may end with; none if only the end of the turn ends them |
    | template | transformers' response template; None for the plain form, and with a reader |
    | reader | reads what stands between opening and closing, where no response template can |
    """

    name: str
    opening: str = ""
    closings: tuple[str, ...] = ()
    template: Mapping[str, Any] | None = None
    reader: Callable[[str], list[Call]] | None = None

    @property
    def closing(self) -> str:
        """What a call ends with; empty if only the end of the turn does."""
        return self.closings[0] if self.closings else ""

    def read(
        self, text: str, tools: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[Call]] | None:
        """What a turn says besides its calls, and the calls.

        None if it holds no complete call, or one that cannot be read: then its text says it all.
        """
        if self.is_plain or self.opening not in text:
            return None
        last = text.rindex(self.opening)
        if self.closings and not any(c in text[last:] for c in self.closings):
            return None
        try:
            spoken, calls = self._parse(text, tools)
        except (ValueError, KeyError, TypeError, SyntaxError, RecursionError):
            return None
        return (spoken, calls) if calls else None

    @property
    def is_plain(self) -> bool:
        """Whether environments read the form themselves."""
        return self.template is None and self.reader is None

    def _parse(
        self, text: str, tools: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[Call]]:
        if self.reader is not None:
            spoken, _, rest = text.partition(self.opening)
            return spoken, self.reader(rest.rpartition(self.closing)[0])
        schemas: list[Any] = [dict(tool) for tool in tools]
        template = dict(self.template or {})
        message = parse_response(text, template, prefix="", tools=schemas)
        calls = list(_calls(message.get("tool_calls") or []))
        return message.get("content") or "", calls


def format_of(
    printed: str,
    call: Call,
    tools: Sequence[Mapping[str, Any]],
    shipped: Sequence[CallFormat] = (),
) -> CallFormat | None:
    """The format that reads `call` from what a template printed for it; `shipped` ones first."""
    for candidate in (*shipped, *FORMATS):
        # A format may have several endings, of which a template uses one.
        closings = tuple(c for c in candidate.closings if c in printed)
        trial = replace(candidate, closings=closings)
        if trial.is_plain:
            calls = [parse_call(printed)]
        else:
            _, calls = trial.read(printed, tools) or ("", [])
        if calls == [call]:
            return trial
    return None


def read_any(
    text: str, tools: Sequence[Mapping[str, Any]]
) -> tuple[str, list[Call]] | None:
    """What a turn says and the calls in it, by whichever format reads any; None for none."""
    for candidate in FORMATS:
        turn = candidate.read(text, tools)
        if turn is not None:
            return turn
    return None


def shipped_formats(tokenizer: Any) -> tuple[CallFormat, ...]:
    """The format that a tokenizer brings along as its response template, if it brings one."""
    template = getattr(tokenizer, "response_template", None)
    if not isinstance(template, Mapping):
        return ()
    return (CallFormat("the model's response template", template=template),)


def _calls(values: Any) -> Iterator[Call]:
    """The calls in what the parser returned; arguments may be a JSON text."""
    for value in values:
        if isinstance(value, list):
            yield from _calls(value)
            continue
        function = value["function"]
        arguments = function["arguments"]
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        if not isinstance(function["name"], str) or not isinstance(arguments, dict):
            raise TypeError("a call has a name and arguments")
        yield Call(function["name"], arguments)


def _python_calls(text: str) -> list[Call]:
    """The calls in a list such as `[f(x='a', n=1)]`; names of JSON are values too."""
    try:
        tree = parse(text.strip(), "eval")
    except SyntaxError:
        # Some models leave line breaks in strings as they are.
        tree = parse(text.strip().replace("\n", "\\n"), "eval")
    calls: list[Call] = []
    for node in tree.body.elts:
        arguments = {word.arg: _value(word.value) for word in node.keywords}
        if node.args or None in arguments:
            raise ValueError("arguments are passed by name")
        calls.append(Call(ast.unparse(node.func), arguments))
    return calls


def _value(node: ast.expr) -> Any:
    """A literal, in which `true`, `false` and `null` may stand as JSON writes them."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id in _JSON_NAMES:
            # In place: a constant has a value where a name has an id.
            inner.__class__ = ast.Constant  # pyright: ignore[reportAttributeAccessIssue]
            inner.value = _JSON_NAMES[inner.id]  # pyright: ignore[reportAttributeAccessIssue]
    return ast.literal_eval(node)


def _format(
    name: str,
    opening: str,
    *closings: str,
    opens: str,
    closes: str,
    name_key: str = "{name}",
    arguments_key: str = "{content}",
    each: bool = False,
    **content: Any,
) -> CallFormat:
    """A format whose calls lie between the patterns `opens` and `closes`."""
    function = {"name": name_key, "arguments": arguments_key}
    calls = {
        "open_pattern": opens,
        "close_pattern": closes,
        "repeats": True,
        "transform": {"type": "function", "function": function},
        "transform_each": each,
        **content,
    }
    template = {
        "start_anchor_pattern": r"\Z",
        "fields": {"tool_calls": calls, "content": {"content": "text"}},
    }
    return CallFormat(name, opening, closings, template)


def _tags(pattern: str, value_parser: Mapping[str, Any]) -> dict[str, Any]:
    """Content whose arguments are marked one by one, with groups `key` and `value`."""
    arguments = {"tag_pattern": pattern, "value_parser": value_parser}
    return {"content": "xml-inline", "content_args": arguments}


PLAIN = CallFormat("JSON", closings=("</tool_call>",))

HARMONY = CallFormat(
    "harmony",
    opening="to=functions.",
    closings=("<|call|>",),
    template={
        "start_anchor_pattern": r"\Z",
        "fields": {
            "tool_calls": {
                # The recipient stands before the channel or behind it.
                "open_pattern": (
                    r"(?:<\|start\|>assistant)?\s*(?:"
                    r"to=functions\.(?P<name>[\w.-]+)\s*<\|channel\|>\w+"
                    r"|<\|channel\|>\w+\s+to=functions\.(?P<name>[\w.-]+)"
                    r")\s*(?:<\|constrain\|>)?\s*\w*<\|message\|>"
                ),
                "close_pattern": r"<\|call\|>|\Z",
                "repeats": True,
                "content": "json",
                "transform": {"function": {"name": "{name}", "arguments": "{content}"}},
            },
            "content": {
                "open_pattern": r"<\|channel\|>final[^<]*<\|message\|>",
                "close_pattern": r"<\|(?:return|end)\|>|\Z",
                "content": "text",
            },
        },
    },
)

_JSON: dict[str, Any] = {"content": "json"}
_PYTHON_VALUE = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{[^}]*\}|[^,()]*"""

FORMATS = (
    PLAIN,
    HARMONY,
    _format(
        "XML functions",
        "<function=",
        "</tool_call>",
        "</function>",
        opens=r"(?:<tool_call>\s*)?<function=(?P<name>[^>\n]+)>",
        closes=r"</function>\s*(?:</tool_call>)?",
        **_tags(
            r"<parameter=(?P<key>[^>\n]+)>\n?(?P<value>.*?)\n?</parameter>",
            _RAW,
        ),
    ),
    _format(
        "argument keys and values",
        "<tool_call>",
        "</tool_call>",
        opens=r"<tool_call>\s*(?P<name>[^\s<{]+)",
        closes=r"</tool_call>",
        **_tags(
            r"<arg_key>(?P<key>[^<]+)</arg_key>\s*<arg_value>(?P<value>.*?)</arg_value>",
            _RAW,
        ),
    ),
    _format(
        "XML invocations",
        "invoke name=",
        "</atem:function_calls>",
        "</minimax:tool_call>",
        "</function_calls>",
        "</invoke>",
        opens=r"(?:<(?:\w+:)?\w*calls?>\s*)?<(?:\w+:)?invoke name=\"(?P<name>[^\"]+)\">",
        closes=r"</(?:\w+:)?invoke>\s*(?:</(?:\w+:)?\w*calls?>)?",
        **_tags(
            r"<(?:\w+:)?parameter name=\"(?P<key>[^\"]+)\"[^>]*>\n?"
            r"(?P<value>.*?)\n?</(?:\w+:)?parameter>",
            _RAW,
        ),
    ),
    _format(
        "Gemma's",
        "<|tool_call>call:",
        "<tool_call|>",
        opens=r"<\|tool_call>call:(?P<name>[\w.-]+)",
        closes=r"<tool_call\|>",
        content="json",
        content_args={"string_delims": [['<|"|>', '<|"|>']], "unquoted_keys": True},
    ),
    CallFormat(
        "Python calls",
        opening="<|tool_call_start|>",
        closings=("<|tool_call_end|>",),
        reader=_python_calls,
    ),
    _format(
        "Python calls without escapes",
        "<|tool_call_start|>[",
        "<|tool_call_end|>",
        opens=r"(?:<\|tool_call_start\|>\[|(?<=\)),\s*)(?P<name>[\w.]+)\(",
        closes=r"\)(?:\s*\]\s*<\|tool_call_end\|>)?",
        **_tags(
            rf"(?P<key>\w+)\s*=\s*(?P<value>{_PYTHON_VALUE})",
            {
                "name": "json",
                "args": {"string_delims": [["'", "'"]], "allow_non_json": True},
            },
        ),
    ),
    _format(
        "a list behind [TOOL_CALLS]",
        "[TOOL_CALLS]",
        opens=r"\[TOOL_CALLS\]\s*(?=\[)",
        closes=r"\Z",
        arguments_key="{arguments}",
        each=True,
        **_JSON,
    ),
    _format(
        "[TOOL_CALLS] with [ARGS]",
        "[TOOL_CALLS]",
        opens=r"\[TOOL_CALLS\]\s*(?P<name>[\w.-]+)(?:\[CALL_ID\]\w+)?\[ARGS\]",
        closes=r"(?=\[TOOL_CALLS\])|\Z",
        **_JSON,
    ),
    _format(
        "a list of actions",
        "<|START_ACTION|>",
        "<|END_ACTION|>",
        opens=r"<\|START_ACTION\|>",
        closes=r"<\|END_ACTION\|>",
        name_key="{tool_name}",
        arguments_key="{parameters}",
        each=True,
        **_JSON,
    ),
    _format(
        "DeepSeek's",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁calls▁end｜>",
        opens=(
            r"(?:<｜tool▁calls▁begin｜>)?\s*<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?"
            r"(?P<name>[\w.-]+)(?:<｜tool▁sep｜>|\s*```json\s*)"
        ),
        closes=r"\s*(?:```)?\s*<｜tool▁call▁end｜>\s*(?:<｜tool▁calls▁end｜>)?",
        **_JSON,
    ),
    _format(
        "Kimi's",
        "<|tool_call_begin|>",
        "<|tool_calls_section_end|>",
        opens=(
            r"(?:<\|tool_calls_section_begin\|>)?\s*<\|tool_call_begin\|>\s*"
            r"(?:functions\.)?(?P<name>[\w-]+)(?::\d+)?\s*<\|tool_call_argument_begin\|>"
        ),
        closes=r"<\|tool_call_end\|>\s*(?:<\|tool_calls_section_end\|>)?",
        **_JSON,
    ),
)
"""Every format that is tried, in this order."""
