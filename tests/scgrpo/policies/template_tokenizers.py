"""Letter-by-letter tokenizers with the chat templates that TRL ships and the tokens they name."""

from __future__ import annotations

import re
from pathlib import Path

import trl
from transformers import PreTrainedTokenizerFast

from scgrpo.models.tiny import make_tokenizer

FOLDER = Path(trl.__file__).parent / "chat_templates"
TEMPLATES = sorted(
    path.stem for path in FOLDER.glob("*.jinja") if not path.stem.endswith("_training")
)
MARKS = re.compile(
    r"<[|｜][^<>\n'{}]*?[|｜]?>|<[a-z_]+\|>|</?[a-z_]+>|\[/?[A-Z_]+\]|\[gMASK\]"
)
TEXT = re.compile(r"</?(parameter|function|tools|IMPORTANT|arg_\w+)")


def template_tokenizer(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer of its own for the template; marks with bars are special tokens."""
    tokenizer = make_tokenizer()
    template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    tokenizer.chat_template = template
    marks = sorted({mark for mark in MARKS.findall(template) if not TEXT.match(mark)})
    special = [mark for mark in marks if "|" in mark or "｜" in mark or mark[0] == "["]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([mark for mark in marks if mark not in special])
    tokenizer.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    return tokenizer
