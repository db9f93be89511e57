"""A model's chat template, rendered so that content can be told from the template's own text.

Contents do not go through the template: a slot does in place of each, and shows by what becomes of
it what the template does with content there (trims it, or writes it as a JSON string).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from scgrpo.policies.chat_options import ChatOptions
from scgrpo.policies.encoding import Encoder, Part

__all__ = ["Rendered", "Template", "TemplateProblem"]

ERRORS = (TemplateError, TypeError, ValueError, KeyError, IndexError, AttributeError)
"""What a template raises at an input that it was not written for."""

DATE_DIRECTIVES = ("%Y", "%y", "%m", "%d", "%B", "%b", "%A", "%a", "%j")

PAD_LEFT, PAD_RIGHT = "\n \t", "\t \n"
# A message's text has white space around its slot, which shows how the template trims it. Its quote
# shows whether the text is printed as JSON.
_SLOT = re.compile(
    r'(?P<left>\n \t| \t|\t|\\n \\t| \\t|\\t)?(?P<kind>slot|text)(?P<quote>"|\\"|\\u0022|&#34;)'
    r"(?P<number>\d+);(?P<right>\t \n|\t |\t|\\t \\n|\\t |\\t)?"
)


class TemplateProblem(ValueError):
    """The template cannot render what was asked of it."""


@dataclass(frozen=True)
class Rendered:
    """A rendered chat: the template's text in pieces, with a slot between each two.

    | field | meaning |
    |---|---|
    | pieces | (n + 1,) the template's own text |
    | slots | (n,) what stands between: the number of a content, and what the template does to it |
    """

    pieces: tuple[str, ...]
    slots: tuple[_Slot, ...]

    @property
    def numbers(self) -> list[int]:
        """The contents that the template has printed, in order."""
        return [slot.number for slot in self.slots]

    def with_slots_for(self, text: str, *, number: int) -> Rendered:
        """With a slot of its own wherever the template's text spells `text`."""
        slot = _Slot(number, PAD_LEFT, PAD_RIGHT, is_quoted=False)
        pieces: list[str] = []
        slots: list[_Slot] = []
        for index, piece in enumerate(self.pieces):
            inner = piece.split(text)
            pieces += inner
            slots += [slot] * (len(inner) - 1)
            slots += self.slots[index : index + 1]
        return Rendered(tuple(pieces), tuple(slots))

    def fill(self, contents: Sequence[str]) -> list[Part]:
        """The parts, with the contents in their slots."""
        parts = [Part(self.pieces[0], is_content=False)]
        for slot, piece in zip(self.slots, self.pieces[1:], strict=True):
            parts.append(Part(slot.transform(contents[slot.number]), is_content=True))
            parts.append(Part(piece, is_content=False))
        return parts


@dataclass(frozen=True)
class _Slot:
    """A place of one content, and the transformation that the template applied there."""

    number: int
    left: str
    right: str
    is_quoted: bool

    def transform(self, content: str) -> str:
        """The content as the template would print it."""
        if self.left != PAD_LEFT:
            content = content.lstrip("\n" if self.left else None)
        if self.right != PAD_RIGHT:
            content = content.rstrip("\n" if self.right else None)
        if self.is_quoted:
            return json.dumps(content, ensure_ascii=False)[1:-1]
        return content


class Template:
    """Renders chats of one tokenizer with the options of a run."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        encoder: Encoder,
        options: ChatOptions,
    ) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._variables = options.variables()
        self._day = date.fromisoformat(options.date)
        self._wants_parts = False
        self._wants_parts = not self._prints_text()

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[Rendered, list[str]]:
        """The chat in pieces, and the contents that belong into its slots.

        Of the schemas of tools, and of calls, only those texts have slots that spell a control
        token. Raises TemplateProblem.
        """
        contents: list[str] = []
        chat = [self._with_slot(message, contents) for message in messages]
        schemas = [self._safe(tool, contents) for tool in tools]
        try:
            text = self._tokenizer.apply_chat_template(
                chat,
                tools=schemas or None,
                chat_template=self._source(schemas),
                add_generation_prompt=True,
                tokenize=False,
                **self._variables,
            )
        except ERRORS as error:
            sentence = str(error).splitlines()[0] if str(error) else ""
            raise TemplateProblem(f"{type(error).__name__}: {sentence}") from error
        return _split(str(text)), contents

    def _source(self, tools: list[Any]) -> str:
        """The template's text, in which `strftime_now` tells the day of the options.

        transformers hands templates no function but its own, so a macro takes its name.
        """
        source = self._tokenizer.get_chat_template(tools=tools or None)
        if "strftime_now" not in source:
            return source
        steps = "".join(
            f' | replace("{directive}", "{self._day.strftime(directive)}")'
            for directive in DATE_DIRECTIVES
        )
        macro = f"{{%- macro strftime_now(format) -%}}{{{{ format{steps} }}}}"
        return f"{macro}{{%- endmacro -%}}{source}"

    def _prints_text(self) -> bool:
        """Whether a message's text is printed that is a plain string, not a list of parts."""
        try:
            rendered, _ = self.render([{"role": "user", "content": "?"}])
        except TemplateProblem:
            return False
        return bool(rendered.slots)

    def _with_slot(
        self, message: Mapping[str, Any], contents: list[str]
    ) -> dict[str, Any]:
        """The message with a slot for its text, which `contents` gets."""
        copy = dict(message)
        content = copy.get("content")
        if content:
            slot = f'slot"{len(contents)};'
            copy["content"] = f"{PAD_LEFT}{slot}{PAD_RIGHT}"
            contents.append(content)
        if "tool_calls" in copy:
            copy["tool_calls"] = self._safe(copy["tool_calls"], contents)
        if self._wants_parts:
            text = copy.get("content") or ""
            copy["content"] = [{"type": "text", "text": text}]
        return copy

    def _safe(self, value: Any, contents: list[str]) -> Any:
        """A JSON value with slots for the texts in it that spell a control token."""
        if isinstance(value, Mapping):
            return {key: self._safe(item, contents) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._safe(item, contents) for item in value]
        if isinstance(value, str) and self._encoder.spells_control(value):
            contents.append(value)
            return f'text"{len(contents) - 1};'
        return value


def _split(text: str) -> Rendered:
    pieces: list[str] = []
    slots: list[_Slot] = []
    end = 0
    for match in _SLOT.finditer(text):
        pieces.append(text[end : match.start()])
        left, right = _unescape(match["left"]), _unescape(match["right"])
        if match["kind"] == "text":
            left, right = PAD_LEFT, PAD_RIGHT
        slot = _Slot(
            number=int(match["number"]),
            left=left,
            right=right,
            is_quoted=match["quote"] != '"',
        )
        slots.append(slot)
        end = match.end()
    pieces.append(text[end:])
    return Rendered(tuple(pieces), tuple(slots))


def _unescape(pad: str | None) -> str:
    return (pad or "").replace("\\n", "\n").replace("\\t", "\t")
