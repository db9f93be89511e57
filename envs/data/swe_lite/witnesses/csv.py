"""What is read from tables, written to them and guessed of them; expected values stay outside.

The calls follow CPython's Lib/test/test_csv.py, PSF licence.
"""

import csv
import io
from itertools import permutations

from observe import outcome

_ATTRIBUTES = ("delimiter", "quotechar", "doublequote", "skipinitialspace", "lineterminator", "quoting")
_READ = (
    "abc", "1,2,3,4,5", "", ",", '""', '"",', ',""', '""""', '""""""', 'a""b', 'a"b"c', '"a"b', 'a"b',
    '"a" "b"',
    ' "a"', '1,2,3,"I think, therefore I am",5,6', '1,2,"""I see,"" said the blind man"', '12,12,1",',
    '1,2,3,"""I see,""\nsaid the blind man","as he picked up his\nhammer and saw"\n9,8,7,6',
)
_WRITTEN = (
    [], [["abc"]], [[1, 2, "abc", 3, 4]], [[1, 2, 'a"bc"', 3, 4]], [["abc,def"]], [[1, 2, "a\nbc", 3, 4]],
    [["a", None], [None, "d"]],
)
_VENUES = """\
Harry's, Arlington Heights, IL, 2/1/03, Kimi Hayes
Shark City, Glendale Heights, IL, 12/28/02, Prezence
Tommy's Place, Blue Island, IL, 12/28/02, Blue Sunday/White Crow
Stonecutters Seafood and Chop House, Lemont, IL, 12/19/02, Week Back
"""
_QUOTED = """\
'Harry''s':'Arlington Heights':'IL':'2/1/03':'Kimi Hayes'
'Shark City':'Glendale Heights':'IL':'12/28/02':'Prezence'
'Tommy''s Place':'Blue Island':'IL':'12/28/02':'Blue Sunday/White Crow'
'Stonecutters ''Seafood'' and Chop House':'Lemont':'IL':'12/19/02':'Week Back'
"""
_SPACED = """\
'Harry''s'+ Arlington Heights'+ 'IL'+ '2/1/03'+ 'Kimi Hayes'
'Shark City'+ Glendale Heights'+' IL'+ '12/28/02'+ 'Prezence'
'Tommy''s Place'+ Blue Island'+ 'IL'+ '12/28/02'+ 'Blue Sunday/White Crow'
'Stonecutters ''Seafood'' and Chop House'+ 'Lemont'+ 'IL'+ '12/19/02'+ 'Week Back'
"""
_DATES = "05/05/03?05/05/03?05/05/03?05/05/03?05/05/03?05/05/03\n" * 3
_NUMBERS = "2147483648;43.0e12;17;abc;def\n147483648;43.0e2;17;abc;def\n47483648;43.0;170;abc;def\n"
_PLUS = _VENUES.replace(",", "+")
_HEADER = '"venue","city","state","date","performers"\n'
_PLUS_HEADER = _HEADER.replace(",", "+")


class _Incomplete(csv.Dialect):
    delimiter = "\t"


class _Whole(csv.Dialect):
    delimiter = ";"
    escapechar = "\\"
    doublequote = False
    skipinitialspace = True
    lineterminator = "\r\n"
    quoting = csv.QUOTE_NONE


class _Spaces(csv.excel):
    delimiter = " "
    quoting = csv.QUOTE_NONE
    escapechar = "\\"


def _described(dialect, names=_ATTRIBUTES):
    return {name: getattr(dialect, name) for name in names}


def _read(text, *arguments, **options):
    return list(csv.reader(io.StringIO(text, newline=""), *arguments, **options))


def _write(rows, *arguments, **options):
    out = io.StringIO()
    csv.writer(out, *arguments, **options).writerows(rows)
    return out.getvalue()


def _written(fieldnames, *rows, **options):
    """What a writer of dictionaries writes: a header, and the rows."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames, **options)
    given = [outcome(writer.writeheader), *(outcome(writer.writerow, row) for row in rows)]
    return given, out.getvalue()


def _rows(lines, *arguments, **options):
    """What a reader of dictionaries reads: its names and the rows."""
    reader = csv.DictReader(lines, *arguments, **options)
    rows = [dict(row) for row in reader]
    return reader.fieldnames, rows


def _sniffed(text, *delimiters):
    dialect = csv.Sniffer().sniff(text, *delimiters)
    return dialect.delimiter, dialect.quotechar


def rows_read():
    for text in _READ:
        yield outcome(_read, text, "excel")
    yield outcome(_read, '"1","abc def","abc"\n', "unix")
    yield outcome(_read, "abc def\nc1ccccc1 benzene\n", _Spaces())


def rows_written():
    for rows in _WRITTEN:
        yield outcome(_write, rows, dialect="excel")
    yield outcome(_write, [[1, "abc def", "abc"]], dialect="unix")
    for options in ({"delimiter": ";"}, {"dialect": "excel-tab"}, {"dialect": _Whole}, {"dialect": _Spaces}):
        yield outcome(_write, [[1, 2, 3]], **options)


def dialects():
    names = outcome(csv.list_dialects)
    for name in ("excel", "excel-tab", "unix"):
        yield name in names, outcome(lambda name=name: _described(csv.get_dialect(name)))
    csv.register_dialect("semicolons", delimiter=";")
    yield outcome(_read, "X;Y;Z", "semicolons")
    csv.unregister_dialect("semicolons")
    yield outcome(_Incomplete)
    yield outcome(lambda: _described(_Whole(), (*_ATTRIBUTES[:1], "escapechar", *_ATTRIBUTES[2:])))


def dialects_that_are_wrong():
    for name, values in (
        ("quoting", (None,)), ("quotechar", ("", "''", b"x", 5)), ("delimiter", (":::", "", b",", 4, None)),
        ("escapechar", ("", "**", b"*", 4)), ("lineterminator", (4, ":::")),
    ):
        for value in values:
            kind = type("kind", (_Whole,), {name: value})
            try:
                yield name, getattr(kind(), name)
            except csv.Error as error:
                yield name, "Error", str(error)


def dictionaries_written():
    names = ["f1", "f2", "f3"]
    yield outcome(_written, names, {"f1": 10, "f3": "abc"})
    yield outcome(_written, names, {"f1": 1, "f2": "abc", "f3": "f"}, {"f1": 2, "f2": 5, "f3": "xyz"})
    out = io.StringIO()
    rows = [{"f1": 1, "f2": "abc"}, {"f3": "xyz"}]
    yield outcome(csv.DictWriter(out, names, restval="none").writerows, rows), out.getvalue()
    row = {"f0": 0, "f1": 1, "f2": 2, "f3": 3}
    for action in ("raise", "ignore"):
        yield outcome(_written, ["f1", "f2"], row, extrasaction=action)
    yield outcome(_written, names, extrasaction="raised")
    yield outcome(csv.DictWriter, out)


def fields_without_a_name():
    try:
        yield csv.DictWriter(io.StringIO(), ["f1", "f2", "f3"]).writerow({"f4": 10, "f2": "spam", 1: "abc"})
    except ValueError as error:
        yield [part in str(error) for part in ("fieldnames", "'f4'", "'f2'", "1")]


def dictionaries_read():
    yield outcome(_rows, ["1,2,abc\r\n"], ["f1", "f2", "f3"])
    yield outcome(_rows, ["f1,f2,f3\r\n", "1,2,abc\r\n"])
    for options in ({}, {"restkey": "_rest"}):
        yield outcome(_rows, ["1,2,abc,4,5,6\r\n"], ["f1", "f2"], **options)
        yield outcome(_rows, ["f1,f2\r\n", "1,2,abc,4,5,6\r\n"], **options)
    yield outcome(_rows, ["1,2,abc,4\r\n", "1,2\r\n"], "1 2 3 4".split(), restval="DEFAULT")
    yield outcome(_rows, ["1,2,abc\r\n", "\r\n", "4,5,6\r\n"], "1 2 3".split())
    yield outcome(_rows, ["1;2;abc\r\n"], "1 2 3".split(), delimiter=";")
    lines = "FirstName,LastName|Eric,Idle|Graham,Chapman,Over1,Over2||Under1|John,Cleese".split("|")
    yield outcome(_rows, lines)
    yield outcome(_rows, lines, restkey="OtherInfo")
    yield outcome(_rows, lines[1:], fieldnames=["fname", "lname"])


def names_before_the_first_row():
    reader = csv.DictReader(["f1,f2,f3\r\n", "1,2,abc\r\n"])
    yield outcome(lambda: reader.fieldnames)
    yield outcome(next, reader), outcome(lambda: reader.fieldnames)
    yield outcome(next, reader), outcome(lambda: reader.fieldnames)


def order_of_names():
    for names in list(permutations("abcde"))[::17]:
        given, text = outcome(_written, names)
        yield given, outcome(lambda text=text: list(csv.DictReader(io.StringIO(text)).fieldnames))


def sniffed_dialects():
    for text in (
        _VENUES, _QUOTED, _NUMBERS, "aaa\tbbb\r\nAAA\t\r\nBBB\t\r\n", "a|b|c\r\nd|e|f\r\n", _PLUS,
        "'a'|'b'|'c'\r\n'd'|e|f\r\n", _SPACED, "abc\0def\nghijkl\0mno\nghi\0jkl\n",
    ):
        yield outcome(_sniffed, text)
    for marks in ("?,", "/,"):
        yield outcome(lambda marks=marks: csv.Sniffer().sniff(_DATES, delimiters=marks).delimiter)
    yield outcome(lambda: csv.Sniffer().sniff(_DATES).delimiter in _DATES)


def sniffed_spaces_and_quotes():
    for text in (_VENUES, _QUOTED):
        yield outcome(lambda text=text: bool(csv.Sniffer().sniff(text).skipinitialspace))
    for text in (_HEADER, _PLUS_HEADER, _QUOTED, _PLUS, _SPACED):
        yield outcome(lambda text=text: bool(csv.Sniffer().sniff(text).doublequote))
    for text in (";'123;4';", "'123;4';", ";'123;4'", "'123;4'"):
        yield outcome(lambda text=text: _described(csv.Sniffer().sniff(text, ",;"), _ATTRIBUTES[:4]))


def whether_a_table_has_a_header():
    short = "\nabc,def\nghijkl,mno\nghi,jkl\n"
    long = "\nabc,def\nghijkl,mnop\nghi,jkl\n"
    complex_numbers = '"time","forces"\n1,1.5\n0.5,5+0j\n0,0\n1+1j,6\n'
    words = '"time","forces"\n0,0\n1,2\na,b\n'
    tables = (_VENUES, _HEADER + _VENUES, _PLUS, _PLUS_HEADER + _PLUS, short, long, complex_numbers, words)
    yield [outcome(csv.Sniffer().has_header, table) for table in tables]
