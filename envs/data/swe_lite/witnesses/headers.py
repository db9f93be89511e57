"""What headers gives; expected values stay outside."""

import re

from headers import (
    accepted, every, first, length, merged, parameters, parse, show, titled, without,
)
from observe import outcome

_PAIRS = [("Host", "a.b"), ("Via", "one"), ("via", "two"), ("Age", "7")]


def _said(words, function, *arguments):
    """The value of a call or, if it raises, the exception's class and some words of its message."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))[words]


def pairs_of_texts():
    for text in (
        "Host: a.b", "A: 1\nB: 2", "Host :   a b  ", "A  : 1 \nB:   2  ", "A: 1\n   2\nB: 3",
        "A: 1\n 2  \n 3", "A: 1\n\nB: 2", "A: 1\n  \nB: 2", "A: b:c", "A: b:c:d\nE::",
        "From: me\nTo : you,\n  them\nTo:\n\nbody", "A: 1\nnonsense", "nonsense",
    ):
        yield outcome(parse, text)


def nothing_to_continue():
    for text in (" a", " a\nB: 1"):
        yield _said(slice(-1, None), parse, text)


def texts_of_pairs():
    for pairs in ([("C", "x")], [("A", "x"), ("B", "y")], [("A", 3)], [("A", 1), ("C", 2)], _PAIRS):
        yield outcome(show, pairs)


def first_values():
    for name in ("Host", "Via", "hOST", "AGE", "Date"):
        yield outcome(first, _PAIRS, name)
    yield outcome(first, _PAIRS, "Date", "now")


def all_values():
    for name in ("Via", "VIA", "host", "Date"):
        yield outcome(every, _PAIRS, name)


def pairs_without_names():
    for names in (("Via", "Age"), ("VIA", "hOST"), ("age",), ()):
        yield outcome(without, _PAIRS, *names)


def merged_pairs():
    for pairs in (
        [("A", "1"), ("B", "2")], _PAIRS, [("A", "x"), ("a", "y"), ("A", "z")], [],
    ):
        yield outcome(merged, pairs)


def lengths():
    for pairs in ([("Content-Length", "12")], [("content-length", " 40 ")], _PAIRS, []):
        yield outcome(length, pairs)


def lengths_that_are_wrong():
    yield _said(slice(4), length, [("Content-Length", "x")])
    yield _said(slice(3), length, [("Content-Length", "-1")])


def parameters_of_values():
    for value in (
        "text/html", "Text/HTML", "a; b=C", "A;B=1;  C=2", 'a; b="c d"', 'a; b="xyz"; c=x', 'a; b="c',
        'a; b=c"; d="', "a; b=c=d", "a; b=c=d; e==",
    ):
        yield outcome(parameters, value)


def parameters_without_a_value():
    for value in ("a; b", "a; b=1; c"):
        yield _said(slice(3), parameters, value)


def accepted_words():
    for value in (
        "en", "de;q=0.5, en", "a;q=0.1,b;q=0.3,c;q=0.2", "b, a, c", "b;q=0.2, a;q=0.2, c", "b;q=0, a",
        "b;q=0, a;q=0.0", "w;q=0.7, x;q=0, y, z;q=0.7",
    ):
        yield outcome(accepted, value)


def qualities_that_are_wrong():
    for value in ("b;q=x", "a;q=1, b;q=high"):
        yield _said(slice(-2, None), accepted, value)


def titled_names():
    for name in ("content-type", "HOST", "x-fORWARDED-for", "a-b"):
        yield outcome(titled, name)
