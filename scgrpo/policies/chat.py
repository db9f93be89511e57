"""A model's own chat template, rendered append-only: here text becomes token ids, once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from envs.thoughts import CLOSING_OF, split_thought
from envs.toolspec import Call, parse_call
from envs.types import Message
from scgrpo.policies.call_formats import HARMONY, PLAIN, shipped_formats
from scgrpo.policies.chat_options import ChatOptions
from scgrpo.policies.conventions import gap_parts, learn, render_call
from scgrpo.policies.encoding import Encoder, Part
from scgrpo.policies.template import Rendered, Template, TemplateProblem

__all__ = ["TOOL_CALL", "TOOL_CALL_END", "Chat", "Turn", "canonical", "with_tools"]

TOOL_CALL, TOOL_CALL_END = "<tool_call>", "</tool_call>"
"""What a call in the form that environments read stands between."""

END_TOKENS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>")
"""Tokens that end a turn wherever a tokenizer has them."""
HARMONY_ENDS = ("<|return|>", "<|call|>")
"""Those of harmony, where `<|end|>` ends a thought as well."""


class Turn(NamedTuple):
    """A turn as it is read.

    | field | meaning |
    |---|---|
    | text | what an environment reads: no thought; calls as JSON in `<tool_call>` |
    | thought | what stands before, with its marks; it stays in the history as sampled |
    | call | the name of the called tool; empty for none or several |
    | ended | the model sampled the token with which the template ends the turn |
    """

    text: str
    thought: str = ""
    call: str = ""
    ended: bool = False


class Chat:
    """Renders prompts and replies for one tokenizer, and reads turns.

    The text between a turn and the next is read from the template once, so history is never
    rendered again: it is append-only, thoughts included. A call is answered by a message of the
    role `tool`, any other turn by one of the user. What a template lacks is told as text: tools
    at the end of the system message, and a system message at the head of the user's first. So
    are tools whose calls, as the template writes them, nothing here could read back.

    Raises ValueError for a tokenizer without a chat template, or with one that renders no chat of
    a user's message, a turn and another message.

    | attribute | meaning |
    |---|---|
    | end_ids | every id that ends a turn |
    | end_id | the one with which the template ends a plain turn |
    | has_native_tools | tools, calls and answers go through the template |
    | opens_thought | the template opens the model's thought, at the end of a prompt |
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, options: ChatOptions | None = None
    ) -> None:
        if not tokenizer.chat_template:
            raise ValueError(
                "the tokenizer has no chat template; expected an instruction-tuned model, "
                "or set tokenizer.chat_template"
            )
        self.tokenizer = tokenizer
        self._encoder = Encoder(tokenizer)
        self._template = Template(tokenizer, self._encoder, options or ChatOptions())
        self._conventions = learn(
            self._template, self._encoder, shipped_formats(tokenizer)
        )
        self._after_call = self._conventions.after_call
        self._format = self._conventions.call_format or PLAIN
        self.has_native_tools = self._after_call is not None
        self.opens_thought = self._conventions.opens_thought

        self.end_id = self._end_id()
        self._printed_ends = self._ends_that_are_printed()
        self.end_ids = self._all_ends()
        self._meaningless = self._meaningless_ids()

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[int]]:
        """The prompt up to where the policy's first turn begins: its text and its ids."""
        if tools and not self.has_native_tools:
            messages, tools = with_tools(messages, tools), ()
        if not self._conventions.has_system_role:
            messages = _without_system(messages)
        rendered, contents = self._template.render(messages, tools)
        parts = rendered.fill(contents)
        text = "".join(part.text for part in parts)
        return text, self._encoder.ids(parts)

    def reply(self, content: str, *, ended: bool, call: str = "") -> list[int]:
        """Ids from the end of a turn to where the next begins.

        `ended` says that the policy sampled the template's end-of-turn token itself, `call` is
        the name of the tool that it called.
        """
        gap = self._conventions.after_turn
        if call and self._after_call is not None:
            gap = self._after_call
        parts = gap.fill([content, call])
        if ended:
            parts[0] = Part(self._without_end(parts[0].text), is_content=False)
        return self._encoder.ids(parts)

    def replies(
        self,
        messages: Sequence[Message],
        *,
        ended: bool,
        calls: Sequence[str] = (),
    ) -> list[int]:
        """As `reply`, for the messages of a user and of tools that stand between two turns.

        `calls` are the names of the tools that the turn called. Several messages are rendered
        together; if the template refuses their order, as one that wants user and assistant in turn
        does, they are one user message of several paragraphs.
        """
        if len(messages) == 1:
            (message,) = messages
            is_answer = message["role"] == "tool" and len(calls) == 1
            call = calls[0] if is_answer else ""
            return self.reply(message["content"], ended=ended, call=call)
        names = list(calls) if self.has_native_tools else []
        try:
            parts = gap_parts(self._template, self._conventions, names, messages)
        except TemplateProblem:
            text = "\n\n".join(message["content"] for message in messages)
            return self.reply(text, ended=ended)
        if ended:
            parts[0] = Part(self._without_end(parts[0].text), is_content=False)
        return self._encoder.ids(parts)

    def ids(self, content: str) -> list[int]:
        """Ids of content; none is a control token."""
        return self._encoder.ids([Part(content, is_content=True)])

    def turn_ids(self, text: str) -> list[int]:
        """Ids of a turn that a script wrote, as the model would have written and ended it."""
        call = parse_call(text) if self.has_native_tools else None
        if not isinstance(call, Call):
            opening = Part(self._conventions.turn_opening, is_content=False)
            parts = [opening, Part(text, is_content=True)]
            return [*self._encoder.ids(parts), self._sampled_end_id()]

        ids = self._encoder.ids(self._call_parts(call))
        # What closes a call may end the turn as well.
        return ids if ids[-1] in self.end_ids else [*ids, self._call_end_id()]

    def text(self, token_ids: Sequence[int]) -> str:
        """What an environment sees of a turn."""
        return self.read(token_ids).text

    def read(
        self, token_ids: Sequence[int], tools: Sequence[Mapping[str, Any]] = ()
    ) -> Turn:
        """A sampled turn. `tools` are the schemas by which its arguments are typed."""
        ended = bool(token_ids) and token_ids[-1] in self._printed_ends
        raw = self._raw(token_ids)
        thought, action, is_closed = split_thought(raw, is_open=self.opens_thought)
        if not is_closed:
            return Turn("", thought, "", ended)

        spoken, calls = self._format.read(action, tools) or ("", [])
        if calls:
            name = calls[0].name if len(calls) == 1 else ""
            return Turn(canonical(spoken, calls), thought, name, ended)
        text = self._without_opening(action.lstrip() if thought else action)
        call = parse_call(text) if self.has_native_tools else None
        name = call.name if isinstance(call, Call) else ""
        return Turn(text, thought, name, ended)

    def closes_call(self, token_ids: Sequence[int]) -> bool:
        """Whether the turn just closed a tool call: what follows is the environment's to write.

        A call inside a thought is none.
        """
        closing = self._format.closing
        if not closing:
            return False
        # Enough of the last tokens, since one is at least one character.
        if closing not in self._raw(token_ids[-len(closing) :]):
            return False
        raw = self._raw(token_ids)
        turn = split_thought(raw, is_open=self.opens_thought)
        return turn.is_closed and closing in turn.action

    @property
    def stop_text(self) -> str:
        """The text behind which an engine may stop; empty for none.

        A model that thinks may write it in a thought, so there the turn is cut afterwards.
        """
        return "" if self.thinks else self._format.closing

    def call_length(self, token_ids: Sequence[int]) -> int:
        """How many of a turn's ids there are up to the end of its first call; all without one."""
        closing = self._format.closing
        if not closing or closing not in self._raw(token_ids):
            return len(token_ids)
        for length in range(1, len(token_ids) + 1):
            if self.closes_call(token_ids[:length]):
                return length
        return len(token_ids)

    def describe(self) -> dict[str, Any]:
        """What the template can do, as plain values for a reader."""
        thinking = "may think" if self.thinks else "does not think"
        if self.opens_thought:
            thinking = "thinks: the template opens the thought"
        ends = [str(self.tokenizer.decode([i])) for i in sorted(self.end_ids)]
        return {
            "call_format": self._format.name if self.has_native_tools else "as text",
            "thinking": thinking,
            "system_role": self._conventions.has_system_role,
            "end_tokens": ends,
        }

    @property
    def thinks(self) -> bool:
        """Whether the model may write a thought before it answers."""
        template = str(self.tokenizer.chat_template)
        return any(opening in template for opening in CLOSING_OF)

    def _call_parts(self, call: Call) -> list[Part]:
        """The call as the model's turn would have it, up to its end."""
        rendered, contents = render_call(self._template, call)
        # Between the slot of the user's message and that of the answer.
        pieces, slots = rendered.pieces[1:-1], rendered.slots[1:-1]
        parts = Rendered(pieces, slots).fill(contents)
        head = self._conventions.behind_prompt(parts[0].text)
        parts[0] = Part(head, is_content=False)

        closing = self._format.closing
        before, _, _ = parts[-1].text.partition(closing or self._conventions.end_text)
        parts[-1] = Part(before + closing, is_content=False)
        return parts

    def _without_end(self, text: str) -> str:
        """The text behind the token that ends a turn, if it begins with one."""
        stripped = text.lstrip()
        token = self._encoder.leading_control(stripped)
        if token and self._encoder.control[token] in self._printed_ends:
            return stripped[len(token) :]
        return text

    def _without_opening(self, text: str) -> str:
        """The text behind what the template prints at the head of a plain turn."""
        opening = self._conventions.turn_opening
        if opening and text.startswith(opening):
            return text[len(opening) :]
        mark = self._encoder.last_control(opening)
        if not mark or mark in CLOSING_OF.values():
            return text
        return text.rpartition(mark)[2]

    def _raw(self, token_ids: Sequence[int]) -> str:
        """A decoded turn with the marks of thoughts and calls, without other special tokens."""
        ids = [i for i in token_ids if i not in self._meaningless]
        return str(self.tokenizer.decode(ids, skip_special_tokens=False))

    def _meaningless_ids(self) -> frozenset[int]:
        """Special tokens that say nothing in a turn: those that end it, and most others.

        The formats that are written with control tokens need all of them.
        """
        closing = self._format.closing
        ends = {i for i in self.end_ids if self.tokenizer.decode([i]) != closing}
        if not self._format.is_plain:
            return frozenset(ends)
        marks = {TOOL_CALL, TOOL_CALL_END, *CLOSING_OF, *CLOSING_OF.values()}
        special = self._encoder.special_ids
        return frozenset(
            ends | {i for i in special if self.tokenizer.decode([i]) not in marks}
        )

    def _end_id(self) -> int:
        end_text = self._conventions.end_text
        if end_text:
            return self._encoder.control[end_text]
        if isinstance(self.tokenizer.eos_token_id, int):
            return self.tokenizer.eos_token_id
        raise ValueError(
            f"the chat template ends a turn with {self._conventions.after_turn.pieces[0][:20]!r}, "
            "which begins with no token of its own, and the tokenizer has no eos_token; set it"
        )

    def _sampled_end_id(self) -> int:
        """The id with which the model ends a plain turn; in history, harmony has another."""
        if self._format.name == HARMONY.name:
            return self._encoder.control.get("<|return|>", self.end_id)
        return self.end_id

    def _call_end_id(self) -> int:
        """The id with which the template ends a turn that calls a tool."""
        assert self._after_call is not None
        token = self._encoder.leading_control(self._after_call.pieces[0].lstrip())
        return self._encoder.control[token] if token else self.end_id

    def _ends_that_are_printed(self) -> frozenset[int]:
        """Ends that stand in the history as sampled, so that a reply must not repeat them."""
        ends = {self.end_id}
        if self._format.name == HARMONY.name:
            ends |= self._encoder.ids_of(HARMONY_ENDS)
        elif self._after_call is not None:
            ends.add(self._call_end_id())
        return frozenset(ends)

    def _all_ends(self) -> frozenset[int]:
        """Every id that ends a turn: the template's, the tokenizer's and the usual ones."""
        ends = set(self._printed_ends)
        if isinstance(self.tokenizer.eos_token_id, int):
            ends.add(self.tokenizer.eos_token_id)
        if self._format.name == HARMONY.name:
            return frozenset(ends - self._encoder.ids_of(END_TOKENS))
        return frozenset(ends | self._encoder.ids_of(END_TOKENS))


def canonical(spoken: str, calls: Sequence[Call]) -> str:
    """A turn in the form that environments read: what it says, and each call on a line."""
    lines = [spoken.strip()] if spoken.strip() else []
    for call in calls:
        value = {"name": call.name, "arguments": dict(call.arguments)}
        text = json.dumps(value, ensure_ascii=False)
        lines.append(f"{TOOL_CALL}{text}{TOOL_CALL_END}")
    return "\n".join(lines)


def with_tools(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
) -> list[Message]:
    """The messages with one line per tool at the end of the system message."""
    lines = "\n".join(_signature(tool["function"]) for tool in tools)
    has_system = bool(messages) and messages[0]["role"] == "system"
    first = messages[0]["content"] if has_system else ""
    rest = messages[1:] if first else messages
    system: Message = {"role": "system", "content": f"{first}\n{lines}".strip()}
    return [system, *rest]


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The messages with the text of the system message at the head of the first user message."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, *rest = messages
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": system["content"]}, *rest]
    content = f"{system['content']}\n\n{rest[0]['content']}"
    return [{"role": "user", "content": content}, *rest[1:]]


def _signature(function: Mapping[str, Any]) -> str:
    """`name(argument: type): what it does`, the shortest form that a model can follow."""
    parameters = function.get("parameters", {}).get("properties", {})
    arguments: list[str] = []
    for name, spec in parameters.items():
        kind = spec.get("type", "any")
        arguments.append(f"{name}: {kind}")

    call = f"{function['name']}({', '.join(arguments)})"
    description = function.get("description", "")
    return f"{call}: {description}".rstrip(": ")
