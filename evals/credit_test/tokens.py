"""The tokens of a run as text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["run_tokenizer", "token_texts"]


def run_tokenizer(run: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of the run's newest checkpoint or warm start; None if it has neither."""
    checkpoints = sorted((run / "checkpoints").glob("step-*"), reverse=True)
    for folder in [*checkpoints, run / "warm_start"]:
        if (folder / "tokenizer_config.json").is_file():
            # Here, because it imports torch, and a run without tokenizer needs none.
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(folder)
    return None


def token_texts(run: Path) -> Callable[[int], str]:
    """Token id -> its text, by the tokenizer of the run; `[id]` if the run has none."""
    tokenizer = run_tokenizer(run)
    if tokenizer is None:
        return lambda i: f"[{i}]"
    return lambda i: str(tokenizer.decode([i], clean_up_tokenization_spaces=False))
