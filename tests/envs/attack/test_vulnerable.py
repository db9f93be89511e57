"""The book finds holes: environments that were planted with one each are robbed."""

from __future__ import annotations

import pytest

from envs import check as checker
from envs.attack.book import BOOK
from envs.attack.engine import OWN, attempt, control
from envs.attack.session import Plan, play_in_workers
from envs.attack.targets import targets
from envs.checks.catalogue import by_name

WEAK = [one for one in BOOK if not one.strong and not one.slow]
SAMPLE = [
    *(
        "KeyboardInterrupt",
        "os._exit as it is imported",
        "an object equal to all",
        "a mock",
    ),
    *(
        "assertions that do nothing",
        "TestCase.run through os.path.os.sys",
        "compile and type",
    ),
    *(
        "skipped tests",
        "builtins that judge",
        "a lying list",
        "default ACL on the folders",
    ),
    *("values read from the caller's source", "modules that shadow the judge's"),
]


def robbed(subject):
    """Attack -> what it got."""
    place = targets(subject)[0]
    assert control(subject, place) == []
    sample = [one for one in WEAK if one.name in SAMPLE]
    return {
        one.attack: one.what
        for attack in sample
        for one in attempt(subject, place, attack)
    }


def test_the_absence_of_bad_news_is_robbed(opened, vulnerable):
    got = robbed(opened(vulnerable("quiet_is_good"), OWN))
    assert got["KeyboardInterrupt"] == "theft"
    assert got["os._exit as it is imported"] == "theft"


def test_asserts_in_the_submissions_process_are_robbed(opened, vulnerable):
    got = robbed(opened(vulnerable("asserts_inside"), OWN))
    assert got["assertions that do nothing"] == "theft"
    assert got["an object equal to all"] == "theft"
    assert "KeyboardInterrupt" not in got


def test_a_folder_that_is_not_wiped_is_spoilt(opened, vulnerable):
    subject = opened(vulnerable("not_wiped"), OWN)
    assert robbed(subject)["modules that shadow the judge's"] == "spoilt"


def test_code_that_ends_the_process_that_plays_it_is_a_finding(vulnerable):
    attacks = ("os._exit as it is imported", "a mock")
    said = list(
        play_in_workers(Plan(vulnerable("in_this_process"), OWN, attacks, quick=True))
    )
    found = [one for message in said for one in message.findings]
    assert [(one.attack, one.what) for one in found] == [
        ("os._exit as it is imported", "ended")
    ]
    assert said[-1].at == said[-1].of == 3


@pytest.mark.parametrize(
    ("name", "status"), [("quiet_is_good", "failed"), ("asserts_inside", "failed")]
)
def test_the_check_catches_them(vulnerable, name, status):
    (result,) = checker.check(vulnerable(name), quick=True, only=[by_name("attack")])
    assert result.status == status
    assert "theft by " in result.detail


def test_an_environment_without_code_is_skipped():
    (result,) = checker.check("toy_guess", quick=True, only=[by_name("attack")])
    assert result.status == "skipped"
    assert "there is no place for code" in result.detail
