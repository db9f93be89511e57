"""What is parsed from texts; expected values stay outside.

The calls follow the tests of parse 1.19.0, MIT licence.
"""

import pickle
from datetime import date, datetime, time
from decimal import Decimal

import parse
from observe import outcome

_EXPRESSIONS = (
    "{{ }}", "{}", "{} {}", "{name}", "{name} {other}", "{name:w}", "{name:w} {other:w}", "{0}", "{0} {1}",
    "{0:f} {1:f}", "{:>}",
)
_FORMATS = (
    *(width + kind for kind in "%obxegfdDwWsS" for width in ("", "10")), "05d", "<", ".<", ">", ".>", "^",
    ".^",
    "x=d", "d", "ti", "spam", ".^010d", ".2f", "10.2f",
)
_TEXTS = (
    ("{{hello}}", "hello"), ("{{hello}}", "{hello}"), (r"^(hello\s[wW]{}!+.*)$", r"^(hello\s[wW]orld!+.*)$"),
    (r"^(hello\s[wW]{}!+.*)$", r"^(hello\s[wW].*?!+.*)$"), ('"{}"?', '"teststr"?'), ("| {}", "| teststr"),
    ("{}", "t\u20acststr"), ("{:d}", "abcdef"), ("hello {}", "hello world"),
    ("{:<} world", "hello       world"),
    ("hello {:>}", "hello       world"), ("hello {:^} world", "hello  there     world"),
    ("hello {:d} {:w}", "hello 12 people"), ("hello {:w} {:w}", "hello 12 people"),
    ("hello {:d} {:w}", "hello people 12"), ("Pi = {:.7f}", "Pi = 3.1415926"),
    ("Pi/10 = {:8.5f}", "Pi/10 =  0.31415"), ("Pi/10 = {:8.5f}", "Pi/10 =  .31415"),
    ("Pi/10 = {:8.5f}", "Pi/10 = -.31415"), ("hello\n{}\nworld", "hello\nthere\nworld"), ("{}", "test\n"),
    ("{:l}", ""), ("{:l}", "sPaM"), ("{:l}", "sP4M"), ("{:l}", "sP_M"), ("{who.txt", "hello"),
    ("{:^},{:^}", " 12 , 34 "), ("{:<},{:<}", "12 ,34 "), ("test {:F}", "test 5.5"), ("{:.2}{:.2}", "look"),
    ("{:2}{:2}", "look"), ("{:4}{}", "look at that"), ("{:4}", "looky"), ("{:4.4}", "looky"),
    ("{:4.4}", "ook"),
    ("{:4}{:.4}", "look at that"), ("{:02d}{:02d}", "0440"), ("{:03d}{:d}", "04404"), ("{:.2}", ""),
    ("{:2}", "l"),
    ("{:2d}", ""), ("SPAM {} SPAM", "spam spam spam"),
)
_NAMED = (
    ("hello {name}", "hello world"), ("{n} {n}", "x x"), ("{n:d} {n:d}", "1 1"), ("{n} {n}", "x y"),
    ("{n:d} {n:d}", "1 2"), ("{n:d} {n:w}", "1 2"),
    ("hello {} {name} {} {spam}", "hello world and other beings"),
    ("hello {number:d} {things}", "hello 12 people"), ("hello {number:w} {things}", "hello 12 people"),
    ("hello {number:<d} {things}", "hello 12      people"),
    ("hello {number:>d} {things}", "hello      12 people"),
    ("hello {number:^d} {things}", "hello      12      people"), ("{a.b:d}", "1"), ("{a_b:w} {a.b:d}", "1 2"),
    ("{hello.world}_{jojo.foo.baz}_{simple}", "a_b_c"),
    ("{hello[world]}_{hello[foo][baz]}_{simple}", "a_b_c"),
    ("{a_.b}_{a__b}_{a._b}_{a___b}", "a_b_c_d"), ("{hello['world']}", "doesn't work"),
    ("on {date:ti}", "on 2012-09-17"), ("a {date:ti} b", "a 1997-07-16T19:20Z b"),
)
_SPANS = (
    ("hello {}", "hello world"), ("hello {:>}", "hello     world"),
    ("hello {val:x} world", "hello 0x12 world"),
    ("hello {} {name} {} {spam}", "hello world and other beings"),
)
_NUMBERS = {
    "d": "0|12|-12|+12| 12|0b1000|0o1000|0x1000|0xabcdef|-0o10|-0b1010|-0x1010|+0o10|+0b1010|+0x1010"
    "|1234|0b1011",
    "5d": "   12|  -12", "05d": "00001|-00001|+00001", "02d": "10", "=d": "000012", "x=5d": "xxx12|-xxx12",
    "%": "100%|50%|50.1%",
    "n": "100|1,000|1.000|-1,000|10,000|100,000|100,00|100.000|1.000.000",
    "f": "12.0|-12.1|+12.1|.121|-.121|12",
    "e": "1.0e10|.0e10|1.0E10|1.10000e10|1.0e-10|1.0e+10|nan|NAN|inf|+inf|-inf|INF|+INF|-INF",
    "g": "1|1e10|1.0e10|1.0E10", "b": "1000|0b1000|-1010|+1010", "o": "12345670|0o12345670|-10|+10",
    "x": "1234567890abcdef|1234567890ABCDEF|0x1234567890abcdef|0x1234567890ABCDEF|0B|0B1|0b|0b1|-1010|+1010",
}
_DATES = {
    "ti": "1997-07-16|1997-07-16 19:20|1997-07-16T19:20|1997-07-16T19:20Z|1997-07-16T19:20+0100"
    "|1997-07-16T19:20+01:00|1997-07-16T19:20 +01:00|1997-07-16 19:20:30|1997-07-16T19:20:30"
    "|1997-07-16T19:20:30Z|1997-07-16T19:20:30+01:00|1997-07-16T19:20:30 +01:00|1997-07-16 19:20:30.500000"
    "|1997-07-16T19:20:30.500000|1997-07-16T19:20:30.5Z|1997-07-16T19:20:30.5+01:00",
    "te": "Mon, 21 Nov 2011 10:21:36 +1000|Mon, 21 Nov 2011 10:21:36 +10:00|21 Nov 2011 10:21:36 +1000",
    "tg": "21/11/2011 10:21:36 AM +1000|21/11/2011 10:21:36 AM +10:00|21-11-2011 10:21:36 AM +1000"
    "|21/11/2011 10:21:36 +1000|21/11/2011 10:21:36|21/11/2011 10:21|21-11-2011|21-Nov-2011 10:21:36 AM +1000"
    "|21-November-2011 10:21:36 AM +1000|1/2/2011 12:45 PM|1/2/2011 12:15 PM|1/2/2011 12:15 AM",
    "ta": "11/21/2011 10:21:36 AM +1000|11/21/2011 10:21:36 AM +10:00|11-21-2011 10:21:36 AM +1000"
    "|11/21/2011 10:21:36 +1000|11/21/2011 10:21:36|11/21/2011 10:21|11-21-2011|Nov-21-2011 10:21:36 AM +1000"
    "|November-21-2011 10:21:36 AM +1000|November-21-2011",
    "th": "21/Nov/2011:10:21:36 +1000|21/Nov/2011:10:21:36 +10:00",
    "tc": "Mon Nov 21 10:21:36 2011",
    "tt": "10:21:36 AM +1000|10:21:36 AM +10:00|10:21:36 AM|10:21:36 PM|10:21:36|10:21|10:21:36 PM -5:30"
    "|10:21:36 PM -530|10:21:36 PM -05:30|10:21:36 PM -0530|10:21:36 PM -08:30|10:21:36 PM -0830",
}
_BEFORE_MORE = {
    "ti": "1972-01-01", "tg": "1-1-1972", "ta": "1-1-1972", "th": "21/Nov/2011:10:21:36 +1000",
    "te": "21 Nov 2011 10:21:36 +1000", "tc": "Mon Nov 21 10:21:36 2011", "tt": "10:21",
}
_MIXED = (
    ("{:w}", "abcdef_GHIJLK"), ("{:W}", "!@#%$ *^%"), ('"{:s}"', '"   \t\n"'), ("\t{:S}\n", "\tabc\n"),
    ("{:d} {:d}", "12345 0b1011011"), ("{:D}", "abcdef"), ("{:n}", "1,000"), ("{:f}", "100.2345"),
    ("{:e}", "1.1e-10"), ("{:g} {:g}", "1 1.1"), ("{:b}", "0b1000"), ("{:o}", "0o1000"), ("{:x}", "0x1000"),
    ("{:ti}", "1972-01-20T10:21:36Z"), ("{:te}", "Mon, 20 Jan 1972 10:21:36 +1000"),
    ("{:tg}", "20/1/1972 10:21:36 AM +1:00"), ("{:ta}", "1/20/1972 10:21:36 PM +10:30"),
    ("{:tc}", "Sun Sep 16 01:03:52 1973"), ("{:th}", "21/Nov/2011:00:07:11 +0000"),
    ("{:tt}", "10:21:36 PM -5:30"),
    ("{}", "spam"),
)


@parse.with_pattern(r"((\w+))", regex_group_count=2)
def _upper(text):
    return text.strip().upper()


@parse.with_pattern(r"\d+")
def _number(text):
    return int(text)


@parse.with_pattern(r"[ab]")
def _letter(text):
    return {"a": 1, "b": 2}[text]


@parse.with_pattern(r"(meter|kilometer)", regex_group_count=1)
def _unit(text):
    return text.strip()


def _yes(text):
    return text.lower() in ("yes", "on", "true")


_yes.pattern = "yes|no|on|off|true|false"


def _plain(value):
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Decimal) else value


def _fields(result):
    """The fixed and the named fields of a result."""
    return None if result is None else (_plain(result.fixed), _plain(result.named))


def _parsed(pattern, text, *types, **options):
    return outcome(lambda: _fields(parse.parse(pattern, text, *types, **options)))


def _in_the_middle(table):
    for kind, texts in table.items():
        for text in texts.split("|"):
            yield text, _parsed(f"a {{:{kind}}} b", f"a {text} b")


def expressions():
    for pattern in _EXPRESSIONS:
        yield outcome(lambda pattern=pattern: parse.Parser(pattern)._expression)


def formats():
    keys = ("type", "width", "zero", "align", "fill", "precision")
    for text in _FORMATS:
        found = outcome(parse.extract_format, text, {"spam": "spam"})
        yield text, outcome(lambda found=found: {key: found[key] for key in keys if found.get(key)})


def fields_of_results():
    result = parse.Result((1, 2, 3, 4), {"spam": "ham"}, None)
    places = (0, 1, 4, -1, slice(1, 3), slice(-5, 5), slice(None, 4, 2), slice(None, None, -2), slice(5, 10))
    for place in (*places, "spam", "ham"):
        yield outcome(result.__getitem__, place)
    yield [outcome(lambda name=name: name in result) for name in ("spam", "ham", 1)]
    empty = parse.Result((), {"spam": "ham"}, None)
    yield outcome(empty.__getitem__, 0), outcome(empty.__getitem__, "spam")


def texts():
    for pattern, text in _TEXTS:
        yield _parsed(pattern, text)
    yield _parsed("SPAM {} SPAM", "spam spam spam", case_sensitive=True)


def named_fields():
    for pattern, text in _NAMED:
        yield _parsed(pattern, text)
    yield outcome(lambda: parse.parse("on {date:ti}", "on 2012-09-17")["date"].isoformat())


def spans():
    for pattern, text in _SPANS:
        yield outcome(lambda pattern=pattern, text=text: parse.parse(pattern, text).spans)


def numbers():
    yield from _in_the_middle(_NUMBERS)


def dates_and_times():
    yield from _in_the_middle(_DATES)
    yield _parsed("a {:ti} {:ti} b", "a 1997-07-16 2012-08-01 b")


def dates_of_this_year():
    for text in ("Nov 21 10:21:36", "Nov  1 10:21:36", "Nov  1 03:21:36"):
        value = outcome(lambda text=text: parse.parse("a {:ts} b", f"a {text} b")[0])
        yield outcome(lambda value=value: value.year == datetime.today().year)
        yield outcome(lambda value=value: value.replace(year=2000).isoformat())


def dates_before_more_text():
    for kind, text in _BEFORE_MORE.items():
        yield outcome(lambda kind=kind, text=text: parse.parse(f"{{:{kind}}} {{}}", f"{text} spam").fixed[1])


def a_field_of_every_kind():
    pattern, text = ("\n".join(f"part {i}: {row[side]}" for i, row in enumerate(_MIXED)) for side in (0, 1))
    result = outcome(parse.parse, pattern, text)
    yield outcome(lambda: (len(result.fixed), result.fixed[-1]))


def converted_fields():
    kinds = {"shouty": str.upper, "spam": lambda text: text[::-1]}
    yield _parsed("{:shouty} {:spam}", "hello world", kinds)
    yield _parsed("{:d}", "12", {"d": lambda text: int(text) * 2})
    yield _parsed("{:d}", "12")
    kinds = {"Name": _upper, "Number": _number}
    for pattern in ("Hello {name:Name} {number:Number}", "Hello {:Name} {:Number}"):
        yield _parsed(pattern, "Hello Alice 42", kinds)
    for number in ("42", "00123", "ALICE", "-123"):
        yield _parsed("Value is {number:Number} and...", f"Value is {number} and...", kinds)
    for answer in ("yes", "no", "on", "off", "true", "false", "YES", "__YES__"):
        yield _parsed("Answer: {answer:YesNo}", f"Answer: {answer}", {"YesNo": _yes})
    for letter in "abc":
        yield _parsed("test {result:ab}", f"test {letter}", {"ab": _letter})


def converted_groups():
    kinds = {"Number": _number, "Unit": _unit, "Data": _letter}
    for pattern in ("test {:Unit}-{:Number}", "test {unit:Unit}-{value:Number}"):
        for text in ("test meter-10", "test kilometer-20", "test liter-30"):
            yield _parsed(pattern, text, kinds)
    for count in (None, 0, 2, 1):
        _unit.regex_group_count = count
        yield _parsed("test {:Unit}-{:Number}", "test meter-10", kinds)
    _letter.regex_group_count = None
    for pattern in ("test {:Data}", "test {value:Data}"):
        for letter in "abc":
            yield _parsed(pattern, f"test {letter}", kinds)


def searches():
    people = "name: Rufus\nage: 42\ncolor: red\n"
    for pattern, text, *place in (
        ("a {} c", " a b c "), ("age: {:d}\n", people), ("a {} c", " a b c ", 2), ("{:^},{:^}", " 12 , 34 "),
        ("{:<},{:<}", "12 ,34 "),
    ):
        yield outcome(lambda a=(pattern, text, *place): _fields(parse.search(*a)))
    found = outcome(parse.search, "age: {:d}\n", people, evaluate_result=False)
    yield outcome(lambda: _fields(found.evaluate_result()))
    found = outcome(parse.parse, "hello {}", "hello world", evaluate_result=False)
    yield outcome(lambda: _fields(found.evaluate_result()))


def everything_found():
    page = "<p>some <b>bold</b> text</p>"
    yield outcome(lambda: [_fields(one) for one in parse.findall(">{}<", page)])
    found = outcome(parse.findall, ">{}<", page, evaluate_result=False)
    yield outcome(lambda: [_fields(one.evaluate_result()) for one in found])
    yield outcome(lambda: [_fields(one) for one in parse.findall("x({})x", "X(hi)X")])
    yield outcome(lambda: [_fields(one) for one in parse.findall("x({})x", "X(hi)X", case_sensitive=True)])


def parsers():
    yield outcome(lambda: len(pickle.dumps(parse.compile("{a:d}"))) > 0)
    yield outcome(parse.compile, "{n:d} {n:w}")
    parser = parse.Parser("{:d}")
    for text in ("1234", "0b1011"):
        yield outcome(lambda text=text: parser.parse(text)[0])
    zone = parse.FixedTzOffset(0, "UTC")
    yield [zone == other for other in (None, "spam", parse.FixedTzOffset(0, "UTC"))]
