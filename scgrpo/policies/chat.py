"""A model's own chat template, rendered append-only: here text becomes token ids, once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from envs.types import Message

__all__ = ["TOOL_CALL_END", "Chat", "with_tools"]

TOOL_CALL_END = "</tool_call>"
"""A turn ends with it, if the model calls a tool: what follows is the environment's to write."""

_TURN, _REPLY = "\x02turn\x03", "\x02reply\x03"


class Chat:
    """Renders prompts and replies for one tokenizer.

    The text between a turn and the next is read from the template once, with placeholders, so
    history is never rendered again. Templates without tools get them as text in the system
    message. Raises ValueError for a tokenizer without a chat template.

    | attribute | meaning |
    |---|---|
    | reply_role | the role that the environment's replies have in the template |
    | end_ids | every id that ends a turn |
    | end_id | the one with which the template ends a turn |
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        template = tokenizer.chat_template
        if not template:
            raise ValueError(
                "the tokenizer has no chat template; expected an instruction-tuned model, "
                "or set tokenizer.chat_template"
            )
        self.tokenizer = tokenizer
        text = template if isinstance(template, str) else json.dumps(template)
        self._supports_tools = "tools" in text
        self.reply_role = "tool" if self._supports_tools else "user"
        self.end_ids = _end_ids(tokenizer)

        sample = self._render(
            [
                {"role": "user", "content": "?"},
                {"role": "assistant", "content": _TURN},
                {"role": self.reply_role, "content": _REPLY},
            ],
            (),
        )
        after_turn = sample.split(_TURN, 1)[1]
        self._before_reply, self._after_reply = after_turn.split(_REPLY, 1)

        ends = {i: self._text_of(i) for i in self.end_ids}
        self.end_id = _end_id(self._before_reply, ends)
        self._end_text = ends[self.end_id]

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[int]]:
        """The prompt up to where the policy's first turn begins: its text and its ids."""
        if tools and not self._supports_tools:
            messages, tools = with_tools(messages, tools), ()
        text = self._render(messages, tools)
        return text, self.ids(text)

    def reply(self, content: str, *, ended: bool) -> list[int]:
        """Ids from the end of a turn to where the next begins.

        `ended` says that the policy sampled the template's end-of-turn token itself.
        """
        before = self._before_reply
        if ended:
            before = before[len(self._end_text) :]
        return self.ids(before + content + self._after_reply)

    def ids(self, text: str) -> list[int]:
        """Ids of text that holds its own special tokens."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def text(self, token_ids: Sequence[int]) -> str:
        """What an environment sees of a turn: no special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def _render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> str:
        chat = [{"role": m["role"], "content": m["content"]} for m in messages]
        text = self.tokenizer.apply_chat_template(
            chat,
            tools=[dict(tool) for tool in tools] or None,
            add_generation_prompt=True,
            tokenize=False,
        )
        return str(text)

    def _text_of(self, token_id: int) -> str:
        return str(self.tokenizer.decode([token_id], skip_special_tokens=False))


def _end_id(after_turn: str, ends: Mapping[int, str]) -> int:
    """The id of `ends` with which the template ends a turn."""
    for token_id, text in ends.items():
        if text and after_turn.startswith(text):
            return token_id
    raise ValueError(
        f"the chat template ends a turn with {after_turn[:20]!r}, which is none of the "
        f"tokenizer's end tokens {sorted(ends.values())}; set tokenizer.eos_token to it"
    )


def _end_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every id that ends a turn: the tokenizer's end of text and the usual end-of-turn tokens."""
    known = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>")
    vocabulary = tokenizer.get_vocab()
    ids = {vocabulary[name] for name in known if name in vocabulary}
    if isinstance(tokenizer.eos_token_id, int):
        ids.add(tokenizer.eos_token_id)
    return frozenset(ids)


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
