"""No attack of the book is paid by an environment of ours, on any backend, vetted or not."""

from __future__ import annotations

import pytest

from envs.attack.book import BOOK
from envs.attack.engine import attempt, control, runs_code
from envs.attack.model import KINDS, LEASE
from envs.attack.targets import targets
from envs.code.swe_lite import env as swe_lite
from envs.code.swe_lite import grading as suite
from envs.code.swe_lite.corpus import source
from envs.code.swe_lite.grading import run_suite
from envs.code.swe_lite.tasks import rows_in
from envs.toolspec import parse_call

OWN = ("code_fn", "code_debug", "swe_lite")
OFTEN = 20


def of_the_day(day, share, *where):
    """One in so many attacks of each kind, others each day and elsewhere."""
    found = []
    for kind in KINDS:
        kin = [one for one in BOOK if one.kind == kind and not one.slow]
        found += day.some(kin, -(-len(kin) // share), f"{kind} {where}")
    return found


def unpaid(subject, place, attacks):
    """Findings of all attacks at one place; the oracle follows those that could leave something."""
    found = []
    for number, attack in enumerate(attacks):
        if attack.slow:
            continue
        after = attack.kind == LEASE or number % OFTEN == 0
        found += attempt(subject, place, attack, afterwards=after)
    assert subject.play(place.task, place.right).passed
    return [(one.what, one.attack, one.target, one.detail) for one in found]


@pytest.mark.parametrize("name", OWN)
def test_nothing_is_stolen(opened, backend, name, day):
    subject = opened(name, backend)
    for place in targets(subject):
        if place.name.endswith("before"):
            continue
        assert control(subject, place) == []
        assert runs_code(subject, place)
        assert (
            unpaid(subject, place, of_the_day(day, 12, name, backend, place.name)) == []
        )


def test_code_before_the_solution_steals_nothing_either(opened, day):
    subject = opened("code_fn", "local")
    places = [place for place in targets(subject) if place.name.endswith("before")]
    assert len(places) == 2
    for place in places:
        assert unpaid(subject, place, day.some(BOOK[::3], 8, place.name)) == []


@pytest.fixture
def unvetted(monkeypatch):
    for module in (suite, swe_lite):
        monkeypatch.setattr(module, "new_reach", lambda original, submitted: [])


LONG = (
    "stays",
    "holds",
    "stopped",
    "generator without end",
    "too long",
    "from the caller's source",
)


@pytest.mark.slow
def test_the_witness_holds_without_the_vetting(opened, backend, unvetted, day):
    subject = opened("swe_lite", backend)
    place = next(place for place in targets(subject) if "intervals" in place.name)
    attacks = of_the_day(day, 10, backend)
    quick = [one for one in attacks if not any(word in one.name for word in LONG)]
    assert unpaid(subject, place, quick) == []


@pytest.mark.parametrize(
    "name",
    [
        "events of the report, with the controls of the caller's frame",
        "assertions that do nothing, but for control tests",
        "a run that spares control tests",
    ],
)
def test_tests_alone_are_robbed_by_who_knows_the_controls(opened, unvetted, name):
    """The attacks work: it is the witness that holds."""
    subject = opened("swe_lite", "local")
    place = targets(subject)[-1]
    attack = next(one for one in BOOK if one.name == name)
    row = rows_in(place.task)[0]
    edit = parse_call(place.turns([attack.code])[0])
    lines = row.broken.split("\n")
    text = "\n".join([*lines[:-1], edit.arguments["text"]])
    package = source(row.source)
    files = {package.file: text, package.test_file: package.tests}
    assert (
        run_suite(subject.pool, files, f"test_{row.source}").failures(row.failing) == []
    )
    verdict = suite.grade(subject.pool, package, text, row.failing)
    assert not verdict.passed
    assert verdict.detail.startswith("the tests pass, but ")


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_what_runs_into_the_deadline_steals_nothing(opened, name, day):
    subject = opened(name, "local")
    place = targets(subject)[0]
    for attack in day.some([one for one in BOOK if one.slow], 1, name):
        assert attempt(subject, place, attack) == []
