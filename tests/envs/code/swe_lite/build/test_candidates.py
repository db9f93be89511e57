"""Wrong candidates: enough of them for every line, and tests catch each one."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

import pytest

from envs.code.bugs.mutate import HELD_OUT_OPERATORS, Mutation, mutate, mutations
from envs.code.evidence import Evidence
from envs.code.swe_lite.build.candidates import Killed, Trials
from envs.code.swe_lite.build.decoys import decoys
from envs.code.swe_lite.build.likeness import places
from envs.code.swe_lite.corpus import Source
from envs.code.swe_lite.grading import SuiteRun

TESTS = ("A.test_hidden", "A.test_shown")


def bug_of(code: str, operator: str, after: str) -> tuple[str, Mutation]:
    """A module whose function has that line, and the bug that writes `after` there."""
    text = f"def f(a, b):\n    {code}\n"
    return text, next(
        m for m in mutations(text) if (m.operator, m.after) == (operator, after)
    )


def lines(text: str, found: list[Mutation]) -> set[str]:
    return {mutate(text, one).split("\n")[1].strip() for one in found}


@pytest.mark.parametrize(
    ("code", "operator", "after", "some"),
    [
        ("g(a and b)", "boolean", "or", {"g(a and not b)", "g(a or not b)"}),
        ("g(a, b)", "argument", "b, a", {"g(a, a)", "g(b, b)", "g(a)", "g(b)"}),
        ("return a", "return", "None", {"return True", "return [a]", "return not (a)"}),
        ("g(a in b)", "comparison", "not in", {"g(a == b)", "g(a is b)", "g(a != b)"}),
        ("g(a[b])", "off_by_one", " + 1", {"g(a[b - 1])", "g(a[b * 2])"}),
        ("g(7)", "constant", "0", {"g(5)", "g(6)", "g(8)", "g(9)"}),
        ("a += b", "arithmetic", "-=", {"a *= b", "a = b", "a //= b"}),
        (
            "if a and b: g()",
            "condition",
            "a",
            {"if b: g()", "if a or b: g()", "if True: g()"},
        ),
    ],
)
def test_a_span_with_few_bugs_has_three_other_wrong_texts(code, operator, after, some):
    text, bug = bug_of(code, operator, after)
    found = decoys(text, bug)
    written = lines(text, found)
    assert some <= written
    assert not {code, mutate(text, bug).split("\n")[1].strip()} & written
    assert len(found) == len(written)
    for one in found:
        ast.parse(mutate(text, one))
        assert (one.line, one.column, one.end) == (bug.line, bug.column, bug.end)


def test_what_held_out_operators_write_stands_beside_their_own_bugs_alone():
    text, bug = bug_of("return a[b:]", "return", "None")
    slices = [one for one in mutations(text) if one.operator in HELD_OUT_OPERATORS]
    assert slices
    assert not {one.after for one in slices} & {one.after for one in decoys(text, bug)}
    whole = decoys(text, slices[0])
    assert {one.after for one in slices[1:]} <= {one.after for one in whole}


@dataclass
class Lab:
    """Suites in which the tests fail but for the lines that are named.

    | field | meaning |
    |---|---|
    | right | lines that pass |
    | first, second | lines that pass in that interpreter alone |
    | endless | lines that never end |
    """

    right: set[str]
    first: set[str] = field(default_factory=set)
    second: set[str] = field(default_factory=set)
    endless: set[str] = field(default_factory=set)
    source = Source("m", "", "", "", TESTS, frozenset(TESTS[:1]))

    def run(self, text: str) -> SuiteRun:
        line = text.split("\n")[1].strip()
        said = "" if line in self.right | self.first else "wrong"
        return SuiteRun(Evidence(dict.fromkeys(TESTS, said)), line in self.endless, 0.1)

    def run_again(self, text: str) -> list[SuiteRun]:
        return [Lab(self.right | self.second, endless=self.endless).run(text)]


def candidates(lab: Lab, text: str, bug: Mutation) -> list[str]:
    wrong = Trials(lab, text).wrong(bug, [Killed((bug,), TESTS, 0.1)])
    return [mutate(text, *bugs).split("\n")[1].strip() for bugs in wrong]


def test_a_line_with_one_bug_gets_three_wrong_candidates():
    text, bug = bug_of("g(a, b)", "argument", "b, a")
    found = candidates(Lab({"g(a, b)"}), text, bug)
    assert len({*found}) == 3
    assert {*found} < {"g(a, a)", "g(b, b)", "g(a)", "g(b)"}


def test_a_candidate_that_passes_the_tests_or_is_not_sure_to_fail_is_never_listed():
    text, bug = bug_of("g(a, b)", "argument", "b, a")
    left = {"g(a, a)", "g(b, b)", "g(a)", "g(b)"}
    for one in sorted(left):
        for passing in ("first", "second", "endless"):
            lab = Lab({"g(a, b)"}, **{passing: {one}})
            assert {*candidates(lab, text, bug)} == left - {one}


def test_too_few_candidates_are_none():
    text, bug = bug_of("g(a, b)", "argument", "b, a")
    assert candidates(Lab({"g(a, b)", "g(a)", "g(b)"}), text, bug) == []


def test_where_a_span_has_too_few_the_bug_may_stay_and_another_place_be_wrong_too():
    text, bug = bug_of("g(a, b) + 1", "argument", "b, a")
    found = candidates(
        Lab({"g(a, b) + 1", "g(a) + 1", "g(b) + 1", "g(a, a) + 1"}), text, bug
    )
    assert len({*found}) == 3
    staying = {line for line in found if line.startswith("g(b, a)")}
    assert len(staying) >= 2
    assert "g(b, a) + 1" not in staying


def test_a_place_that_touches_an_inserted_bug_is_not_changed_with_it():
    text, bug = bug_of("if a(b): g()", "negation", "not ")
    assert {"if True: g()", "if False: g()"} < lines(text, mutations(text))
    assert candidates(Lab({"if a(b): g()"}), text, bug) == []


def test_the_right_candidate_is_neither_the_most_alike_nor_the_least_as_a_rule():
    to_all, to_bug = [], []
    for number in range(300):
        code = f"return h(a, {number})"
        text, bug = bug_of(code, "return", "None")
        found = candidates(Lab({code}), text, bug)
        placed = places(code, found, "return None")
        to_all.append(placed[0])
        to_bug.append(placed[1])
    # 75 each by the draw; not every place can be had beside every other.
    assert to_all.count(0) < 110
    assert to_all.count(3) > 50
    assert to_bug.count(0) > 25
    assert to_bug.count(3) < 110


def test_places_count_from_the_most_alike_and_ties_share_theirs():
    assert places("abcd", ["abce", "abcf", "xyz"], "abcd") == (1, 0)
    assert places("xyz", ["abcd", "abce", "abcf"], "abcd") == (3, 3)


def test_two_lines_are_each_right_in_two_of_the_candidates():
    text = "def f(a, b):\n    g(a, b); h(b, a)\n"
    first, second = (m for m in mutations(text) if m.operator == "argument")
    wrong = Trials(Lab({"g(a, b); h(b, a)"}), text).wrong_pairs(first, second, [])
    broken = [{one.column for one in bugs} for bugs in wrong]
    assert broken == [{second.column}, {first.column}, {first.column, second.column}]
