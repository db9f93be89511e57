"""The tokens of a run as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["run_tokenizer", "token_texts"]


def run_tokenizer(run: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of the run's newest checkpoint or warm start; None if it has neither."""
    folder = _tokenizer_folder(run)
    if folder is None:
        return None

    # Imported only now: it imports torch, which texts of tokens do not need.
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def token_texts(run: Path) -> Callable[[int], str]:
    """Token id -> its text, by the tokenizer of the run; `[id]` if the run has none."""
    folder = _tokenizer_folder(run)
    if folder is None:
        return lambda i: f"[{i}]"
    file = folder / "tokenizer.json"
    if file.is_file():
        fast = Tokenizer.from_file(str(file))
        return lambda i: fast.decode([i], skip_special_tokens=False)
    tokenizer = run_tokenizer(run)
    assert tokenizer is not None
    return lambda i: str(tokenizer.decode([i], clean_up_tokenization_spaces=False))


def _tokenizer_folder(run: Path) -> Path | None:
    checkpoints = sorted((run / "checkpoints").glob("step-*"), reverse=True)
    for folder in [*checkpoints, run / "warm_start"]:
        if (folder / "tokenizer_config.json").is_file():
            return folder
    return None
