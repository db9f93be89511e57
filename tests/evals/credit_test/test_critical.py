"""Which tokens are critical, when spans, words and tokens do not end at the same places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.credit_test.critical import critical_tokens
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny

END = 2


@pytest.fixture(scope="module")
def characters(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """One token for each character."""
    return load_model(
        make_tiny(tmp_path_factory.mktemp("tiny"), hidden=8, layers=1, heads=1)
    )[1]


def episode(
    tokenizer: PreTrainedTokenizerBase, *turns: str, end: tuple[int, ...] = ()
) -> Episode:
    segments = [Segment("prompt", "p")]
    for turn in turns:
        ids = (*tokenizer.encode(turn, add_special_tokens=False), *end)
        segments += [
            Segment("policy", turn, ids, (-0.1,) * len(ids)),
            Segment("env", "no"),
        ]
    task = Task("train/0/x", "train", 0, "f", "p")
    verdict = Verdict(passed=True, score=1.0)
    return Episode(task, (), (), tuple(segments[:-1]), Stop.FINISHED, verdict)


def marked(flags: np.ndarray) -> str:
    return "".join(".x"[int(flag)] for flag in flags)


def test_a_span_is_a_whole_word_and_its_turn_decides_with_all_its_tokens(characters):
    """15 and 50 hold a 5 and are other guesses."""
    tokens = critical_tokens(
        episode(characters, "15", "50", "5", end=(END,)), ["5"], characters
    )
    assert marked(tokens.span) == "..." + "..." + "x."
    assert marked(tokens.turn) == "..." + "..." + "xx"
    assert tokens.places.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    # The right guess is one token, at place 0 of its turn.
    assert marked(tokens.rivals) == "x.." + "x.." + "x."


def test_of_a_named_argument_the_value_decides(characters):
    turns = ['{"candidate": 13}', '{"candidate": 3}']
    tokens = critical_tokens(
        episode(characters, *turns), ['"candidate": 3'], characters
    )
    assert marked(tokens.span) == "." * 17 + '{"candidate": '.__len__() * "." + "x."
    assert marked(tokens.rivals) == "." * 14 + "x" + ".." + "." * 14 + "x."


def test_a_span_that_is_a_text_decides_whole_and_each_of_several_counts(characters):
    tokens = critical_tokens(
        episode(characters, 'e "a+1" "b"', "x"), ['"a+1"', '"b"'], characters
    )
    assert marked(tokens.span) == "..xxxxx.xxx" + "."
    assert marked(tokens.turn) == "x" * 11 + "."


def test_an_episode_without_the_span_or_without_turns_has_no_deciding_token(characters):
    tokens = critical_tokens(
        episode(characters, '{"candidate":3}'), ['"candidate": 3'], characters
    )
    assert not tokens.turn.any()
    assert not tokens.rivals.any()
    silent = Episode(
        Task("train/0/x", "train", 0, "f", "p"),
        (),
        (),
        (Segment("prompt", "p"),),
        Stop.MAX_TOKENS,
        Verdict(passed=False, score=0.0),
    )
    assert critical_tokens(silent, ["5"], characters).span.shape == (0,)


def test_a_tokenizer_that_drops_the_space_of_a_single_token_does_not_shift_the_span(
    tmp_path: Path,
):
    words = ["▁pick", "▁number", "▁3", "▁now", "<unk>"]
    made = Tokenizer(
        WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    )
    made.pre_tokenizer = Metaspace()
    made.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")
    assert tokenizer.decode([2]) == "3"
    tokens = critical_tokens(
        episode(tokenizer, "pick number 3 now"), ["number 3"], tokenizer
    )
    assert marked(tokens.span) == ".xx."
