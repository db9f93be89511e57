"""The records and what they refuse."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import pytest

from envs.plain import Unstorable
from envs.types import Episode, Segment, Stop, Task, Verdict, as_messages


class ForeignScalar:
    """A scalar of a library that is not imported, known by its `item` alone."""

    ndim = 0

    def __init__(self, value: float) -> None:
        self._value = value

    def item(self) -> float:
        """The number, as Python's."""
        return self._value


def endless() -> list[object]:
    """A list that holds itself."""
    items: list[object] = []
    items.append(items)
    return items


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


@pytest.mark.parametrize("number", [np.float32(0.25), np.float64(0.25), np.array(0.25)])
def test_scalars_of_numpy_are_numbers(number):
    verdict = Verdict(
        np.bool_(False), number, parts={"near": number, "all": np.int8(1)}
    )
    assert vars(verdict) == vars(Verdict(False, 0.25, parts={"near": 0.25, "all": 1.0}))
    assert [type(value) for value in (verdict.passed, verdict.score)] == [bool, float]
    assert {type(value) for value in verdict.parts.values()} == {float}
    task = Task("a", "id", np.int64(2), "f", np.str_("p"), {"x": [np.float32(0.5)]})
    assert (task.level, type(task.level), type(task.prompt)) == (2, int, str)
    assert json.loads(json.dumps(task.payload)) == {"x": [0.5]}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"near": math.nan}, r"Verdict\.parts\['near'\] is nan, expected a finite"),
        ({"near": np.float32("inf")}, r"Verdict\.parts\['near'\] is inf"),
        ({"near": "much"}, r"Verdict\.parts\['near'\] must be a number, got 'much'"),
        ({"near": {1}}, r"Verdict\.parts\['near'\] must be a number, got \{1\}"),
        ({"near": 10**400}, r"Verdict\.parts\['near'\] is inf"),
        ({"near": np.zeros(2)}, r"Verdict\.parts\['near'\] must be a number"),
        ({1: 0.5}, r"a name in Verdict\.parts must be text, got int"),
        ({"\ud800": 0.5}, r"a name in Verdict\.parts is no UTF-8: character 0"),
        ([("near", 0.5)], r"Verdict\.parts must be a mapping of numbers, got list"),
        (None, r"Verdict\.parts must be a mapping of numbers, got NoneType"),
    ],
)
def test_parts_that_no_file_can_hold_are_refused_by_name(parts, message):
    with pytest.raises(Unstorable, match=message):
        Verdict(False, 0.0, parts=parts)


@pytest.mark.parametrize("score", [np.zeros(2), None, "0.5", {0.5}, b"1"])
def test_a_score_that_is_no_number_is_refused_by_name(score):
    with pytest.raises(Unstorable, match=r"Verdict\.score.* must be a number, got"):
        Verdict(False, score)


def test_a_detail_that_is_no_text_is_refused_by_name():
    with pytest.raises(Unstorable, match=r"Verdict\.detail must be text, got int: 3"):
        Verdict(False, 0.0, 3)
    with pytest.raises(
        Unstorable, match=r"Verdict\.detail is no UTF-8: character 1 .*ud83d"
    ):
        Verdict(False, 0.0, "a\ud83d")


@pytest.mark.parametrize(
    "number", [np.longdouble(0.25), Fraction(1, 4), ForeignScalar(0.25)]
)
def test_other_exact_and_foreign_numbers_are_numbers(number):
    verdict = Verdict(False, number, parts={"near": number})
    assert (verdict.score, verdict.parts) == (0.25, {"near": 0.25})
    assert type(verdict.score) is float


@pytest.mark.parametrize("passed", [None, "yes", 2, math.nan, np.zeros(2), {}])
def test_a_verdict_passes_or_not(passed):
    with pytest.raises(Unstorable, match=r"Verdict\.passed"):
        Verdict(passed, 0.0)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"a": {1, 2}}, r"task 'x': Task\.payload\['a'\]: set is not JSON"),
        ({"a": [1, b"b"]}, r"Task\.payload\['a'\]\[1\]: bytes is not JSON"),
        ({"a": {"b": math.nan}}, r"Task\.payload\['a'\]\['b'\] is nan"),
        ({"a": {1: 2}}, r"Task\.payload\['a'\] has the key 1; keys must be text"),
        ({"a": np.zeros(2)}, r"Task\.payload\['a'\]: ndarray is not JSON"),
        ({"a": "\ud800"}, r"task 'x': Task\.payload\['a'\] is no UTF-8"),
        ({"a": 10**5000}, r"Task\.payload\['a'\] has 16610 bits"),
        ({"a": np.complex64(1)}, r"Task\.payload\['a'\]: complex is not JSON"),
        ({"a": endless()}, r"Task\.payload\['a'\]\[0\].* is nested deeper than 100"),
        (["a"], r"task 'x': Task\.payload must be a mapping, got list"),
    ],
)
def test_a_payload_that_no_file_can_hold_is_refused_with_the_task(payload, message):
    with pytest.raises(Unstorable, match=message):
        Task("x", "id", 0, "f", "p", payload)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("level", True, "must be a whole number, got True"),
        ("level", np.float64(1), "must be a whole number, got 1.0"),
        ("level", 2**63, "has more than 64 bits"),
        ("family", 3, "must be text, got int: 3"),
        ("prompt", "a\udc00", "is no UTF-8: character 1"),
    ],
)
def test_a_field_that_no_column_can_hold_is_refused_with_the_task(
    field, value, message
):
    fields = vars(TASK) | {"id": "x", field: value}
    with pytest.raises(Unstorable, match=rf"task 'x': Task\.{field} {message}"):
        Task(**fields)


def test_every_mapping_of_a_payload_is_part_of_its_hash():
    frozen = Task("x", "id", 0, "f", "p", MappingProxyType({"a": 1}))
    assert frozen.content_hash == Task("x", "id", 0, "f", "p", {"a": 1}).content_hash


def test_a_plain_payload_stays_the_same_object():
    payload = {"a": [1, {"b": (1, 2)}]}
    assert Task("x", "id", 0, "f", "p", payload).payload is payload
