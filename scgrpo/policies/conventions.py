"""What a chat template does, learned once from a few trial chats that it renders."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from envs.thoughts import CLOSING_OF, split_thought
from envs.toolspec import Call
from envs.types import Message
from scgrpo.policies.call_formats import CallFormat, format_of
from scgrpo.policies.encoding import Encoder, Part
from scgrpo.policies.template import Rendered, Template, TemplateProblem

__all__ = ["Conventions", "gap_parts", "learn", "render_call"]

USER = {"role": "user", "content": "?"}
SYSTEM = {"role": "system", "content": "!"}
TURN = {"role": "assistant", "content": "."}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks it up.",
        "parameters": {
            "type": "object",
            "properties": {
                "key": {"type": "string", "description": "What to look up."},
                "count": {"type": "integer", "description": "How many."},
            },
            "required": ["key", "count"],
        },
    },
}
CALL = Call("look_up", {"key": 'the "blue"\n  whale', "count": 3})
"""Of formats that differ in what they escape, the right one alone reads it back."""
CALL_ID = "call00001"
"""Nine letters and digits: what Mistral's templates ask for."""


@dataclass(frozen=True)
class Conventions:
    """How a template frames messages, turns and calls.

    | field | meaning |
    |---|---|
    | has_system_role | it prints system messages |
    | prompt_end | its text behind the last message of a prompt |
    | turn_opening | what it prints at the head of a plain turn, behind `prompt_end` |
    | after_turn | from a plain turn to the next: one slot, the user's message |
    | end_text | the control token with which it ends a plain turn; empty for none |
    | call_format | how it writes calls; None if it does not, or in a way that nothing here reads |
    | after_call | from a call to the next turn: slots for the answer (0) and the tool's name (1) |
    """

    has_system_role: bool
    prompt_end: str
    turn_opening: str
    after_turn: Rendered
    end_text: str
    call_format: CallFormat | None = None
    after_call: Rendered | None = None

    @property
    def opens_thought(self) -> bool:
        """Whether a prompt ends inside the model's thought."""
        return not split_thought(self.prompt_end).is_closed

    def behind_prompt(self, text: str) -> str:
        """What a turn adds to the end of a prompt, of the text between two messages."""
        common = os.path.commonprefix([text, self.prompt_end])
        return text[len(common) :]


def learn(
    template: Template, encoder: Encoder, shipped: Sequence[CallFormat] = ()
) -> Conventions:
    """The conventions of a template; `shipped` formats are tried before the known ones.

    Raises ValueError for a template that renders no chat of a user's message, a turn and another
    message.
    """
    plain = _learn_turns(template, encoder)
    try:
        prompt, _ = template.render([USER], [TOOL])
        rendered, _ = render_call(template, CALL)
    except TemplateProblem:
        return plain
    prints_tools = CALL.name in "".join(prompt.pieces)
    if not prints_tools or rendered.numbers != [0, 1]:
        return plain

    printed = plain.behind_prompt(rendered.pieces[1])
    alone = printed
    if plain.end_text:
        alone = printed.partition(plain.end_text)[0]
    call_format = format_of(alone, CALL, [TOOL], shipped)
    if call_format is None:
        return plain

    after = printed[len(alone) :]
    if call_format.closing:
        after = printed.partition(call_format.closing)[2]
    answer = replace(rendered.slots[1], number=0)
    gap = Rendered((after, rendered.pieces[2]), (answer,))
    return replace(
        plain,
        call_format=call_format,
        after_call=gap.with_slots_for(CALL.name, number=1),
    )


def render_call(template: Template, call: Call) -> tuple[Rendered, list[str]]:
    """A user's message, the call and its answer, and their contents. Raises TemplateProblem.

    The answer is the content `?`; texts of the call that spell a control token have slots.
    """
    # Some templates want the arguments as a JSON text.
    text = json.dumps(call.arguments, ensure_ascii=False)
    problems: list[TemplateProblem] = []
    for arguments in (dict(call.arguments), text):
        try:
            return template.render(_chat_with(call.name, arguments), [TOOL])
        except TemplateProblem as problem:
            problems.append(problem)
    raise problems[0]


def gap_parts(
    template: Template,
    conventions: Conventions,
    calls: Sequence[str],
    messages: Sequence[Message],
) -> list[Part]:
    """What a template prints from the end of a turn to where the next begins.

    `calls` are the names of the tools that the turn called, `messages` what stands between. Raises
    TemplateProblem if the template refuses their order, or leaves one of them out.
    """
    turn: dict[str, Any] = dict(TURN)
    if calls:
        turn = _turn_with({f"call0000{i}": name for i, name in enumerate(calls)})
    answers = iter(enumerate(calls))
    chat: list[dict[str, Any]] = [dict(USER), turn]
    for message in messages:
        copy: dict[str, Any] = dict(message)
        if message["role"] == "tool":
            number, name = next(answers, (0, ""))
            if not calls:
                copy["role"] = "user"
            else:
                copy |= {"name": name, "tool_call_id": f"call0000{number}"}
        chat.append(copy)

    rendered, contents = template.render(chat, [TOOL] if calls else [])
    skipped = len(contents) - sum(bool(message["content"]) for message in messages)
    if rendered.numbers != list(range(len(contents))) or skipped < 1:
        raise TemplateProblem("the messages are not printed once each, in order")
    first = rendered.pieces[skipped]
    if calls:
        first = _behind_calls(conventions, first)
    pieces = (first, *rendered.pieces[skipped + 1 :])
    return Rendered(pieces, rendered.slots[skipped:]).fill(contents)


def _behind_calls(conventions: Conventions, text: str) -> str:
    """What follows the last call, of the text between two messages."""
    printed = conventions.behind_prompt(text)
    closing = conventions.call_format.closing if conventions.call_format else ""
    if closing:
        return printed.rpartition(closing)[2]
    before, mark, after = printed.partition(conventions.end_text)
    return f"{mark}{after}" if conventions.end_text else before


def _turn_with(names: Mapping[str, str]) -> dict[str, Any]:
    """A turn that calls tools, whose names are given by the id of the call."""
    entries = [
        {"id": key, "type": "function", "function": {"name": name, "arguments": {}}}
        for key, name in names.items()
    ]
    return {"role": "assistant", "content": "", "tool_calls": entries}


def _chat_with(name: str, arguments: Any) -> list[Mapping[str, Any]]:
    function = {"name": name, "arguments": arguments}
    entry = {"id": CALL_ID, "type": "function", "function": function}
    turn = {"role": "assistant", "content": "", "tool_calls": [entry]}
    answer = {"role": "tool", "name": name, "tool_call_id": CALL_ID, "content": "?"}
    return [USER, turn, answer]


def _learn_turns(template: Template, encoder: Encoder) -> Conventions:
    """What can be learned without tools."""
    try:
        prompt, _ = template.render([USER])
        rendered, _ = template.render([USER, TURN, USER])
    except TemplateProblem as problem:
        raise ValueError(
            f"the chat template renders no chat of several turns ({problem}); "
            "set tokenizer.chat_template to one that does"
        ) from problem
    if rendered.numbers != [0, 1, 2]:
        raise ValueError(
            "the chat template must print a user's message, a turn and a user's message once "
            f"each, in order; of [0, 1, 2] it printed {rendered.numbers}"
        )

    after_turn = Rendered(rendered.pieces[2:], (replace(rendered.slots[2], number=0),))
    plain = Conventions(
        has_system_role=_has_system_role(template),
        prompt_end=prompt.pieces[-1],
        turn_opening="",
        after_turn=after_turn,
        end_text=encoder.leading_control(after_turn.pieces[0].lstrip()),
    )
    opening = plain.behind_prompt(rendered.pieces[1])
    # History drops thoughts, so there the one that the prompt opened may not be closed.
    if plain.opens_thought and split_thought(opening, is_open=True).action == "":
        opening = _closing(plain.prompt_end)
    return replace(plain, turn_opening=opening)


def _has_system_role(template: Template) -> bool:
    try:
        rendered, _ = template.render([SYSTEM, USER])
    except TemplateProblem:
        return False
    return set(rendered.numbers) == {0, 1}


def _closing(prompt_end: str) -> str:
    """What closes the thought that a prompt opens, with the usual blank line."""
    for opening, closing in CLOSING_OF.items():
        if opening in prompt_end:
            return f"\n{closing}\n\n"
    raise AssertionError(f"{prompt_end!r} opens no thought")
