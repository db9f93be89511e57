"""What money gives; expected values stay outside."""

import re

from money import (
    allocate, change, compound, discount, gcd, mixed, parse, percent, reduced, round_half_even,
    settle, show, split, ways, with_tax, years_to,
)
from observe import outcome


def _said(words, function, *arguments, **options):
    """The value of a call or, if it raises, the exception's class and some words of its message."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))[words]


def common_divisors():
    for a, b in ((12, 18), (7, 5), (10, 5), (4, 0), (0, 4), (-12, 18), (12, -18)):
        yield outcome(gcd, a, b)


def reduced_fractions():
    for numerator, denominator in ((6, 8), (3, -6), (-3, -6), (9, 3), (5, -1), (0, 5)):
        yield outcome(reduced, numerator, denominator)
    yield _said(slice(-1, None), reduced, 1, 0)
    yield _said(slice(1), reduced, 0, 0)


def mixed_fractions():
    for numerator, denominator in (
        (7, 3), (2, 6), (-1, 2), (8, 2), (0, 3), (-6, 3), (-7, 3), (3, 2), (5, 4), (50, -12),
    ):
        yield outcome(mixed, numerator, denominator)


def rounded():
    for denominator, numerators in (
        (10, (14, 16, 20, 5, 15, 25, 35, -14, -15, -16, -25)), (2, (1, 3, 5, 7)), (7, (24, 25, 26)),
    ):
        for numerator in numerators:
            yield outcome(round_half_even, numerator, denominator)


def amounts_of_texts():
    for text in (
        "1", "1.5", "1.50", "0.05", "7,654.32", "-8.70", "-1", "12.3", "0", "", "x", "1.234", "1.", ".5",
    ):
        yield outcome(parse, text)
    for text in ("1.x", "1.2.3", "1.005"):
        yield _said(slice(3), parse, text)


def texts_of_amounts():
    for cents in (5, 123, 10000, 123456789, 0, -1, -250099):
        yield outcome(show, cents)
    yield outcome(show, -320, "$")
    yield outcome(show, 1999, "EUR ")


def shares():
    for cents, people in ((100, 3), (100, 4), (7, 1), (11, 3), (20, 6), (7, -1)):
        yield outcome(split, cents, people)
    yield _said(slice(1), split, 7, 0)


def shares_by_weight():
    for cents, weights in (
        (100, [1, 1, 2]), (100, [1, 1, 1]), (5, [1, 1, 1]), (10, [1, 0]), (999, [5, 3, 2]),
        (10, [0, 0]), (10, [2, -1]),
    ):
        yield outcome(allocate, cents, weights)
    for weights in ([3, -1], [0], [-2]):
        yield _said(slice(1), allocate, 10, weights)


def percentages():
    for cents, rate in ((1000, 19), (150, 1), (250, 1), (251, 1), (4321, 12)):
        yield outcome(percent, cents, rate)


def amounts_with_tax():
    for cents, rate in ((1000, 7), (555, 0), (200, 50), (1234, 21)):
        yield outcome(with_tax, cents, rate)


def discounts():
    for cents, rate, least in (
        (90, 10, 100), (100, 10, 100), (110, 10, 100), (500, 50, 500), (499, 50, 500), (8765, 15, 42),
    ):
        yield outcome(discount, cents, rate, least=least)
    yield outcome(discount, 1000, 10)


def amounts_with_interest():
    for cents, rate, years in ((10000, 10, 2), (10000, 10, 0), (10000, 5, 1), (4567, 3, 7)):
        yield outcome(compound, cents, rate, years)


def years_to_goals():
    for cents, goal, rate in (
        (10000, 12100, 10), (10000, 12101, 10), (100, 100, 5), (100, 101, 5), (10, 100, 1),
        (100, 200, 0), (100, 103, 1), (0, 1, 50), (1000, 2000, 7),
    ):
        yield outcome(years_to, cents, goal, rate)


def coins_of_amounts():
    for cents in (388, 44, 0, 1, 400, 9999):
        yield outcome(change, cents)
    yield outcome(change, 95, coins=(25, 10))


def coins_that_do_not_fit():
    yield _said(slice(1, None), change, -1)
    yield _said(slice(4, 5), change, -5)
    yield _said(slice(4), change, 13, coins=(10, 5))
    yield _said(slice(2), change, 11, coins=(10,))


def ways_of_coins():
    for cents, coins in (
        (10, (1, 5, 10)), (6, (1, 2)), (3, (2,)), (0, (2,)), (100, (50, 25, 10, 5, 1)), (24, (7, 3, 2)),
    ):
        yield outcome(ways, cents, coins)


def payments():
    for balances in (
        {"a": -5, "b": 5}, {"a": -5, "b": 3, "c": 2}, {"a": -1, "b": -4, "c": 5}, {"a": 0, "b": 0},
        {"a": -7, "b": -2, "c": 4, "d": 5}, {"v": 12, "w": -9, "x": 0, "y": -6, "z": 3},
    ):
        yield outcome(settle, balances)
