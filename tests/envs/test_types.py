"""The records and what they refuse."""

from __future__ import annotations

import math

import pytest

from envs.types import Episode, Segment, Stop, Task, Verdict, as_messages

TASK = Task("train/0/a", "train", 0, "f", "prompt", {"answer": 5})


def test_a_payload_is_hidden_from_repr_but_not_from_the_hash():
    assert "5" not in repr(TASK)
    same = Task("id/0/b", "id", 0, "g", "prompt", {"answer": 5})
    assert same.content_hash == TASK.content_hash
    assert (
        Task("x", "id", 0, "g", "prompt", {"answer": 6}).content_hash
        != TASK.content_hash
    )
    assert (
        Task("x", "id", 0, "g", "Prompt", {"answer": 5}).content_hash
        != TASK.content_hash
    )


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_outside_zero_to_one_is_refused(score):
    with pytest.raises(ValueError, match="must be in"):
        Verdict(True, score)


@pytest.mark.parametrize(
    ("source", "ids", "logprobs"),
    [("policy", (1, 2), (-1.0,)), ("policy", (), (-1.0,)), ("env", (1,), (-1.0,))],
)
def test_logprobs_stand_exactly_at_the_policys_tokens(source, ids, logprobs):
    with pytest.raises(ValueError, match="logprobs, got 1"):
        Segment(source, "", ids, logprobs)


@pytest.mark.parametrize(
    ("stop", "verdict"), [(Stop.ERROR, Verdict(False, 0.0)), (Stop.FINISHED, None)]
)
def test_a_verdict_is_missing_exactly_after_an_error(stop, verdict):
    with pytest.raises(ValueError, match="verdict is"):
        Episode(TASK, (), (), (), stop, verdict)


def test_ids_mask_and_logprobs_line_up():
    segments = (
        Segment("prompt", "p", (1, 2)),
        Segment("policy", "a", (3,), (-0.5,)),
        Segment("env", "e", (4, 5)),
        Segment("policy", "b", (6, 7), (-1.0, -2.0)),
    )
    episode = Episode(TASK, (), (), segments, Stop.FINISHED, Verdict(True, 1.0))
    assert episode.token_ids == [1, 2, 3, 4, 5, 6, 7]
    assert episode.action_mask == [False, False, True, False, False, True, True]
    assert episode.logprobs == [0.0, 0.0, -0.5, 0.0, 0.0, -1.0, -2.0]
    assert [segment.text for segment in episode.turns] == ["a", "b"]


def test_every_stop_has_its_sentence():
    assert len({stop.sentence for stop in Stop}) == len(Stop)


def test_empty_instructions_make_no_system_message():
    assert as_messages("", "hi") == [{"role": "user", "content": "hi"}]
    assert [m["role"] for m in as_messages("be kind", "hi")] == ["system", "user"]
