"""What a report proves: a test that began, ended and passed, in a run that ended as runs do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs.code.evidence import KINDS, Request, evidence_of

TESTS = ("A.test_a", "A.test_b", "B.test_c")
CONTROLS = {"K.test_0": "failed", "K.test_1": "passed"}


def transcript(**changed: str) -> list[Any]:
    """The events of a run in which everything passed but what is changed."""
    ends = {**dict.fromkeys(TESTS, "passed"), **CONTROLS, **changed}
    events = [
        one
        for test, end in ends.items()
        for one in (["start", test], ["end", end, "why"])
    ]
    return [*events, ["over", len(ends)]]


def proved(events: Any) -> list[str]:
    failed = evidence_of(events, CONTROLS).failures(TESTS)
    return [test for test in TESTS if test not in failed]


def test_a_whole_run_proves_each_test_that_passed():
    assert proved(transcript()) == [*TESTS]
    assert proved(transcript(**{"A.test_b": "failed"})) == ["A.test_a", "B.test_c"]
    assert (
        evidence_of(transcript(**{"A.test_b": "failed"}), CONTROLS).reasons["A.test_b"]
        == "why"
    )


@pytest.mark.parametrize("status", ["failed", "skipped", "did not end"])
def test_only_a_test_that_says_passed_is_proved(status: str):
    assert proved(transcript(**{"A.test_a": status})) == ["A.test_b", "B.test_c"]


def test_controls_are_no_tests_of_the_submission():
    assert set(evidence_of(transcript(), CONTROLS).reasons) == {*TESTS}


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("status", ["passed", "failed", "skipped", "did not end"])
def test_a_control_that_ends_otherwise_spoils_the_run(control: str, status: str):
    spoilt = status != CONTROLS[control]
    assert proved(transcript(**{control: status})) == ([] if spoilt else [*TESTS])


@pytest.mark.parametrize("place", range(11))
def test_a_run_that_breaks_off_anywhere_proves_nothing(place: int):
    assert proved(transcript()[:place]) == []
    assert proved([*transcript()[:place], ["broke", "KeyboardInterrupt: "]]) == []


@pytest.mark.parametrize("place", range(11))
def test_an_event_that_is_missing_twice_or_moved_spoils_the_run(place: int):
    events = transcript()
    assert proved(events[:place] + events[place + 1 :]) == []
    assert proved([*events[: place + 1], *events[place:]]) == []
    moved = events[:place] + events[place + 1 :] + [events[place]]
    assert proved(moved) == ([*TESTS] if place == len(events) - 1 else [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from([*TESTS, *CONTROLS, "", "other"])
EVENTS = st.one_of(
    st.tuples(st.just("start"), NAMES).map(list),
    st.tuples(
        st.just("end"),
        st.sampled_from(["passed", "failed", "skipped", "did not end", "Passed", ""]),
        st.text(max_size=3),
    ).map(list),
    st.tuples(st.just("over"), st.integers(-1, 6) | st.booleans()).map(list),
    st.tuples(st.just("broke"), st.text(max_size=3)).map(list),
    JSON,
)


@settings(deadline=None)
@given(JSON | st.lists(EVENTS, max_size=14))
@example([["over", 0]])
@example([["start", "A.test_a"], ["over", 1]])
@example(transcript()[:-1] + [["over", True]])
def test_no_report_of_another_shape_proves_anything(events: Any):
    ran = (
        [one[1] for one in events if is_start(one)] if isinstance(events, list) else []
    )
    whole = isinstance(events, list) and events[1::2] and set(CONTROLS) <= set(ran)
    assert proved(events) == [] or (whole and len(set(ran)) == len(ran))


@settings(deadline=None)
@given(st.data())
def test_a_whole_report_with_anything_put_in_proves_nothing(data: st.DataObject):
    events = transcript()
    place = data.draw(st.integers(0, len(events)))
    assert proved([*events[:place], data.draw(EVENTS), *events[place:]]) == []


def is_start(event: Any) -> bool:
    return isinstance(event, list) and len(event) == 2 and event[0] == "start"


def report(request: Request, events: list[Any]) -> bytes:
    return f"{request.nonce} {json.dumps(events)}\n".encode()


def whole(request: Request) -> list[Any]:
    ends = {"A.test_a": "passed", **request.controls()}
    events = [
        one for test, end in ends.items() for one in (["start", test], ["end", end, ""])
    ]
    return [*events, ["over", len(ends)]]


def test_only_the_one_line_with_the_nonce_is_the_report():
    request = Request("test_a")
    good = report(request, whole(request))
    assert request.read(good).failures(["A.test_a"]) == []
    assert request.read(b"OK\n" + good + b"Ran 1 test").failures(["A.test_a"]) == []
    for output in (
        b"",
        good + good,
        good[1:],
        good[:-2],
        b"0" * 32 + good[32:],
        good[:33] + b"[",
    ):
        assert request.read(output).failures(["A.test_a"]) == ["A.test_a"]


def test_every_run_has_controls_of_its_own():
    requests = [Request("test_a") for _ in range(50)]
    assert (
        len({one.nonce for one in requests})
        == len({one.control for one in requests})
        == 50
    )
    assert len({one.kinds for one in requests}) > 40
    for one in requests:
        assert sorted(one.controls().values()) == ["failed"] * (len(KINDS) - 1) + [
            "passed"
        ]
        other = Request("test_a")
        assert other.read(report(other, whole(one))).fault


def test_reasons_are_text_that_every_file_can_hold():
    request = Request("tests")
    events = [["start", "A.a"], ["end", "failed", "ValueError: \ud800"], ["over", 1]]
    report = f"{request.nonce} {json.dumps(events)}\n"
    assert request.read(report.encode()).reasons["A.a"] == "ValueError: ?"
