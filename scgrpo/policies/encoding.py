"""Text to token ids, where only a template's own marks become control tokens.

A control token is one that a tokenizer adds to its vocabulary, special or not: `<|im_end|>`,
`<tool_response>`. Content that spells one is encoded as the letters that it is, so that no message,
reply or reference can open or close a turn. (`sanitize_control_tokens` of transformers does the
same, but not yet in the version that vLLM needs.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

__all__ = ["Encoder", "Part"]

_LETTER = re.compile(".", re.DOTALL)
_LINE_BREAK = "\n"
"""Stands before a text that goes on in the middle of a word; its own ids are dropped."""


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
        unknown: Any = tokenizer.unk_token_id
        self._control_ids = {*self.control.values()} - {unknown}

        # Of two that begin alike, the longer one is meant.
        tokens = sorted(self.control, key=len, reverse=True)
        # A pattern that matches nothing, for a tokenizer without any.
        self._pattern = re.compile("|".join(map(re.escape, tokens)) or "(?!)")

    def ids(self, parts: Sequence[Part]) -> list[int]:
        """The ids of the parts in order; no part with content gives a control token."""
        ids = self._encode(parts, self._pattern)
        # A tokenizer that normalises its input finds tokens in what is spelled otherwise.
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

    def _encode(self, parts: Sequence[Part], broken: re.Pattern[str]) -> list[int]:
        """The ids, with content cut behind the first letter of whatever matches `broken`."""
        pieces = [""]
        for part in parts:
            start = 0
            for match in broken.finditer(part.text) if part.is_content else ():
                cut = match.start() + 1
                pieces[-1] += part.text[start:cut]
                pieces.append("")
                start = cut
            pieces[-1] += part.text[start:]

        first, *others = pieces
        ids = self._tokenizer.encode(first, add_special_tokens=False)
        for piece in others:
            ids += self._encode_later(piece)
        return ids

    def _encode_later(self, text: str) -> list[int]:
        """Ids of text from the middle of a word, without the space that some put in front."""
        lead = self._tokenizer.encode(_LINE_BREAK, add_special_tokens=False)
        ids = self._tokenizer.encode(_LINE_BREAK + text, add_special_tokens=False)
        if ids[: len(lead)] == lead:
            return ids[len(lead) :]
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _count(self, ids: Sequence[int]) -> int:
        return sum(i in self._control_ids for i in ids)

    def _count_in_template(self, parts: Sequence[Part]) -> int:
        texts = [part.text for part in parts if not part.is_content]
        return sum(len(self._pattern.findall(text)) for text in texts)
