"""What semver gives; expected values stay outside."""

import re

from observe import outcome
from semver import (
    bump, caret_limit, compare, compare_tags, distance, is_stable, matching, newest, ordered,
    parse, satisfies, show,
)

_VERSIONS = [
    "0.9.0", "1.0.0-a", "1.0.0", "1.0.1", "1.0.2", "1.2.2", "1.2.3", "1.9.0", "2.0.0", "3.0.0",
]


def _said(words, function, *arguments):
    """The value of a call or, if it raises, the exception's class and some words of its message."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))[words]


def parts_of_versions():
    for text in ("1.20.3", "0.0.0", "1.0.0-beta.2", "2.1.0-rc", "0.0.7-c", "10.20.30-x.7.y"):
        yield outcome(parse, text)


def versions_that_are_wrong():
    for text in ("1.2", "1.2.3.4", "", "1", "a.b.c", "1.2.x", "1..2"):
        yield _said(slice(3), parse, text)
    yield _said(slice(2), parse, "1.2.3-")
    yield outcome(parse, "0.0.0-")


def texts_of_versions():
    for version in ((1, 2, 3, []), (1, 2, 3, ["a", 1]), (0, 0, 1, ["a"]), (40, 50, 60, ["z", 8, "w"])):
        yield outcome(show, version)


def order_of_two():
    for left, right in (
        ("1.2.3", "1.2.3"), ("2.0.0", "1.9.9"), ("1.9.9", "2.0.0"), ("1.10.0", "1.9.0"),
        ("1.0.1", "1.0.2"), ("1.0.0-a", "1.0.0"), ("1.0.0", "1.0.0-a"), ("1.0.0-a", "1.0.0-b"),
    ):
        yield outcome(compare, left, right)


def order_of_tags():
    for left, right in (
        (["a", 1], ["a", 1]), ([], [1]), ([1], []), ([2], [10]), ([10], [2]), ([9], ["a"]), (["a"], [9]),
        (["a"], ["a", 0]), (["a", 0], ["a"]), (["a", 1], ["a", 2]), (["a", 2, 1], ["a", 1, 5]),
    ):
        yield outcome(compare_tags, left, right)


def newest_versions():
    for texts in (
        ["1.0.0", "1.2.0", "1.1.9"], ["3.0.0", "1.2.0"], [], ["1.0.0-b", "1.0.0", "1.0.0-c"],
        ["2.0.0-rc.2", "2.0.0-rc.10", "2.0.0-rc", "1.99.99"],
    ):
        yield outcome(newest, texts)


def ordered_versions():
    for texts in (
        ["1.10.0", "1.2.0", "1.2.0-a", "0.9.0"], ["1.0.0", "2.0.0"], ["3.0.0", "2.0.0", "1.0.0"],
        ["1.0.0-b", "1.0.0-10", "1.0.0", "1.0.0-9", "1.0.0-b.1", "0.0.1", "1.0.0-a"],
    ):
        yield outcome(ordered, texts)


def next_versions():
    for text, part in (
        ("1.2.3", "major"), ("1.2.3", "minor"), ("1.2.3", "patch"), ("1.2.3-a", "patch"),
        ("0.0.0", "patch"), ("0.0.9", "major"), ("0.0.5", "minor"), ("1.2.3", "other"),
    ):
        yield outcome(bump, text, part)


def stable_versions():
    texts = ("1.0.0", "2.3.4", "0.9.9", "1.0.0-a", "0.1.0", "1.1.0", "2.1.0", "3.0.0-rc.1")
    return [text for text in texts if is_stable(text)]


def limits_of_compatible_versions():
    for text in ("1.2.3", "2.0.1", "0.2.3", "0.1.0", "0.0.3", "7.8.9-x"):
        yield outcome(caret_limit, text)


def versions_that_keep_a_rule():
    for rule in ("^1.2.3", "=1.0.0", "!=1.0.0", ">=1.0.1", "<=1.0.1", ">1.0.1", "<1.0.1"):
        yield [text for text in _VERSIONS if satisfies(text, rule)]


def matching_versions():
    for texts, rules in (
        (["2.0.0", "1.5.0", "1.0.0", "0.9.0"], ">=1.0.0 <2.0.0"),
        (["0.2.9", "0.3.0", "0.2.0"], "^0.2.1"), (["1.0.0", "0.1.0"], ""),
        (_VERSIONS[::-1], "^1.0.0 !=1.0.1 <=1.2.3"),
    ):
        yield outcome(matching, texts, rules)


def distances():
    for left, right in (
        ("1.2.3", "3.0.0"), ("1.2.3", "1.2.9"), ("1.5.3", "1.2.3"), ("1.2.3", "1.2.3"), ("12.0.1", "5.6.7"),
    ):
        yield outcome(distance, left, right)
