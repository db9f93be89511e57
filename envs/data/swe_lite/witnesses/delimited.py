"""What delimited gives; expected values stay outside."""

import re

from delimited import (
    column_total, convert, guess_separator, join_fields, needs_quotes, parse, records, split_line,
    table, widths,
)
from observe import outcome


def _said(function, *arguments):
    """The value of a call or, if it raises, the exception's class and the words of its message."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))


def fields_of_lines():
    for line in (
        "a,b,c", "abc", ",a,", "", '"a,b",c', '"a","b"', '"a""b",c', '"say ""hi"""', '5",6', 'a"b"c',
        '"abc', 'a,"b',
    ):
        yield outcome(split_line, line)


def fields_of_lines_with_other_signs():
    yield outcome(split_line, "a;b,c", ";")
    yield outcome(split_line, "'a;b';c", ";", "'")
    yield outcome(split_line, '"x;""y""";z', ";")


def lines_of_fields():
    for fields in (
        ["a", "b"], ["x,y", "z"], ['p"q'], [" a", "b "], ["plain", 'd"e', "f,g", " h ", '"', ""],
    ):
        yield outcome(join_fields, fields)
    yield outcome(join_fields, ["x;y", 'q"', "z"], ";")


def fields_that_need_quotes():
    return [field for field in ("a,b", "ab", 'a"b', "a;b", " a", "a b", "b ") if needs_quotes(field)]


def rows_of_texts():
    for text in ("a,b\nc,d\n", "# x\n\n  \na\n", "a\n#b\nc", "a#,b", 'n,"o,p"\n \n#,#\n,q\n'):
        yield outcome(parse, text)


def records_of_texts():
    for text in (
        "x,y\n1,2\n3,4", "x,y,z\n1", "x,y\n1", "", "x,y", "\n\n", "k,l\nm\n# n\n\no,p\n", "x\n1,2",
    ):
        yield outcome(records, text)
    yield _said(records, "x,y\n1,2\n1,2,3")


def values_of_fields():
    for field in (
        "0", "42", "-7", "+3", "1.5", "-0.25", ".5", "-12", "+1.5", "true", "false", "", "abc", "1.2.3",
        "-", "1a", "+", ".", "x.5",
    ):
        value = outcome(convert, field)
        yield value, isinstance(value, bool)


def widths_of_columns():
    for rows in (
        [["a", "bcd"], ["ef", "g"]], [["a"], ["b", "cc"]], [], [["aaaa"], ["bb"], ["c"]],
        [["x", "yyyyy", ""], ["xxx"], ["xx", "y", "zzzz"]],
    ):
        yield outcome(widths, rows)


def tables():
    for rows in (
        [["name", "n"], ["apple", "10"], ["fig", "7"]], [["1"], ["100"]], [["ab", "x"], ["a", "y"]],
        [["", "long", "-1.5"], ["word", "2", "30"]],
    ):
        yield outcome(table, rows)
    yield outcome(table, [["a", "b"]], gap=1)


def guessed_separators():
    for text in (
        "a;b\nc;d", "a,b;c\nd,e\n", "a\tb\tc,\n\nd\te\tf,\n", "a;;b|c\nd;e|f", "", "abc\n",
    ):
        yield outcome(guess_separator, text)


def totals_of_columns():
    rows = [["x", "n"], ["a", "1"], ["b", "2.5"], ["c", "z"], ["d"], ["e", ""]]
    yield outcome(column_total, rows, 1)
    yield outcome(column_total, [["true"], ["4"], ["x"]], 0, start=0)
    yield outcome(column_total, [["1"], ["2"], ["4"]], 0)
    yield outcome(column_total, [["1"], ["2"], ["4"]], 0, start=2)
    yield outcome(column_total, [["a", "b"], ["1"], ["2", "3"]], 1)
