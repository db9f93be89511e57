"""What calc gives; expected values stay outside."""

import re

from calc import Parser, apply, depth, evaluate, is_digit, is_name, show, tokens
from observe import outcome

_LETTERS = [chr(code) for code in range(33, 127)]


def _said(words, function, *arguments, **options):
    """The value of a call or, if it raises, the exception's class and some words of its message."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))[words]


def letters_of_numbers():
    return [letter for letter in _LETTERS if is_digit(letter)]


def letters_of_names():
    found = [letter for letter in _LETTERS if is_name(letter)]
    yield len(found)
    yield [letter for letter in "amzAMZ_0@[`{-" if letter in found]


def tokens_of_texts():
    for text in (
        "12 3.5", "90210", "1+(2-3)", "  1  + 2 ", "width*h_x", "2 ab", "", "7%(a^2)/b_C - 0.25",
    ):
        yield outcome(tokens, text)


def types_of_tokens():
    for text in ("2.0", "2", "12 3.5 x"):
        yield outcome(lambda: [type(token).__name__ for token in tokens(text)])


def letters_that_are_no_tokens():
    yield _said(slice(4), tokens, "1 $")
    yield _said(slice(-2, None), tokens, "&")


def operations():
    for operator, left, right in (
        ("+", 7, 3), ("-", 7, 3), ("*", 7, 3), ("/", 7, 2), ("%", 7, 3), ("^", 2, 5), ("/", 8, 1),
        ("/", 1, 0), ("/", 0, 0), ("/", 9, 4), ("%", 14, 5), ("^", 3, 4),
    ):
        yield outcome(apply, operator, left, right)


def values():
    for text in (
        "42", "1 + 2", "10 - 4 - 3", "80 / 4 / 2", "2 + 3 * 4", "2 * 3 + 4", "(2 + 3) * 4",
        "2 * (3 - (4 - 6))", "2 * 3 ^ 2", "2 ^ 3 ^ 2", "17 % 5 + 1", "-3 + 5", "2 * -3", "-2 ^ 2",
        "((7 - 2) * (1 + 1) - 4) ^ 2 / 8", "50 - 3 * 2 ^ 2 % 7 + 1.5",
    ):
        yield outcome(evaluate, text)


def values_with_names():
    yield outcome(evaluate, "a * b - a", a=3, b=4)
    yield outcome(evaluate, "x", x=7)
    yield outcome(evaluate, "(side + side) * height", side=6, height=2.5)
    yield _said(slice(-2, None), evaluate, "x + y", x=1)


def expressions_that_are_wrong():
    for text in ("1 +", "*", "", "1 2", "1)", "(1 + 2"):
        yield outcome(evaluate, text)
    yield _said(slice(-2, None), evaluate, "((1)")


def tokens_that_are_taken():
    parser = Parser([1])
    yield [parser.peek(), parser.take(), parser.peek()]
    parser = Parser([1, "+"])
    yield [parser.take(), parser.take(), parser.take()]


def depths():
    for text in (
        "1 + 2", "(1) + (2)", "((1) + (2 * (3)))", "((1))(2)", "((((5) + (6))))", "1)(", "(1))(", "((1)",
    ):
        yield outcome(depth, text)
    yield _said(slice(2), depth, "(")


def texts_of_numbers():
    for number in (4.0, 2.5, 2 / 3, 100.0, 0.5004, 12, 41 / 7):
        yield outcome(show, number)
    for number in (2 / 3, 41 / 7):
        yield outcome(show, number, digits=1)
