"""Text to token ids, where only a template's own marks become control tokens.

A control token is one that a tokenizer adds to its vocabulary, special or not: `<|im_end|>`,
`<tool_response>`. Content that spells one is encoded as the letters that it is, by transformers'
`sanitize_control_tokens`, so that no message, reply or reference can open or close a turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import (
    encode_marked_chat,
    mark_control_tokens,
)

__all__ = ["Encoder", "Part"]

_LETTER = re.compile(".", re.DOTALL)


class Part(NamedTuple):
    """A piece of a rendered chat: the template's own text, or the content of a message."""

    text: str
    is_content: bool


class Encoder:
    """Ids of rendered text. Adjacent parts are encoded as one text, as a tokenizer would do.

    | attribute | meaning |
    |---|---|
    | control | ids of the control tokens by their text; white space alone is ordinary text |
    | special_ids | of the tokens that the tokenizer calls special |
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        # Runs of spaces and line breaks are added tokens of some tokenizers.
        self.control = {t.content: i for i, t in added if t.content.strip()}
        self.special_ids = {i for i, token in added if token.special}
        self.special_ids.update(tokenizer.all_special_ids)
        # Letters that a tokenizer does not know are none.
        self._control_ids = {*self.control.values()} - {tokenizer.unk_token_id}

        # Of two that begin alike, the longer one is meant.
        tokens = sorted(self.control, key=len, reverse=True)
        # A pattern that matches nothing, for a tokenizer without any.
        self._pattern = re.compile("|".join(map(re.escape, tokens)) or "(?!)")

    def ids(self, parts: Sequence[Part]) -> list[int]:
        """The ids of the parts in order; no part with content gives a control token."""
        try:
            ids = self._encode(parts, self._pattern)
        except ValueError:
            # This tokenizer finds the token in its letters too.
            return self._encode(parts, _LETTER)
        # One that normalises its input finds tokens in what is spelled otherwise.
        if self._count(ids) > self._count_in_template(parts):
            return self._encode(parts, _LETTER)
        return ids

    def spells_control(self, text: str) -> bool:
        """Whether the text spells a control token anywhere."""
        return self._pattern.search(text) is not None

    def leading_control(self, text: str) -> str:
        """The control token that the text begins with; empty for none."""
        match = self._pattern.match(text)
        return match[0] if match else ""

    def last_control(self, text: str) -> str:
        """The last control token that the text spells; empty for none."""
        tokens = self._pattern.findall(text)
        return tokens[-1] if tokens else ""

    def ids_of(self, tokens: Iterable[str]) -> set[int]:
        """The ids of those control tokens that the tokenizer has."""
        return {self.control[token] for token in tokens if token in self.control}

    def _encode(self, parts: Sequence[Part], marked: re.Pattern[str]) -> list[int]:
        """The ids, with what matches `marked` in content encoded apart from what is around it."""
        texts: list[str] = []
        for part in parts:
            text = part.text
            if part.is_content:
                text = mark_control_tokens(text, marked)
            texts.append(text)
        return encode_marked_chat(self._tokenizer, "".join(texts))

    def _count(self, ids: Sequence[int]) -> int:
        return sum(i in self._control_ids for i in ids)

    def _count_in_template(self, parts: Sequence[Part]) -> int:
        texts = [part.text for part in parts if not part.is_content]
        return sum(len(self._pattern.findall(text)) for text in texts)
