"""What parsers of settings read, change, convert and write; expected values stay outside.

The calls follow CPython's Lib/test/test_configparser.py, PSF licence.
"""

import collections
import configparser
import decimal
import io
import pickle
import warnings
from configparser import ConfigParser, ExtendedInterpolation, RawConfigParser

from observe import outcome

warnings.simplefilter("ignore", DeprecationWarning)


class _Sorted(collections.UserDict):
    def items(self):
        return sorted(self.data.items())

    def keys(self):
        return sorted(self.data)

    def values(self):
        return [value for _, value in self.items()]

    def __iter__(self):
        return iter(self.keys())


_SIGNS = {"delimiters": (":=", "$"), "comment_prefixes": ("//", '"'), "inline_comment_prefixes": ("//", '"')}
_KINDS = {
    "plain": (ConfigParser, {}),
    "strict": (RawConfigParser, {"strict": True}),
    "raw": (RawConfigParser, {}),
    "without interpolation": (ConfigParser, {"interpolation": None}),
    "legacy": (ConfigParser, {"interpolation": configparser.LegacyInterpolation()}),
    "extended": (
        ConfigParser,
        {"interpolation": ExtendedInterpolation(), "default_section": "common", "strict": True},
    ),
    "other signs": (ConfigParser, _SIGNS),
    "other default": (ConfigParser, {"default_section": "general"}),
    "without values": (ConfigParser, {"allow_no_value": True}),
    "sorted": (RawConfigParser, {"dict_type": _Sorted}),
}
_FEW = ("plain", "raw", "extended", "other signs", "without values")

_TEXT = """\
[Foo Bar]
foo{0}bar1
[Spacey Bar]
foo {0} bar2
[Spacey Bar From The Beginning]
  foo {0} bar3
  baz {0} qwe
[Commented Bar]
foo{1} bar4 {3} comment
baz{0}qwe {2}another one
[Long Line]
foo{1} this line is much, much longer than my editor
   likes it.
[Section\\with$weird%characters[\t]
[Internationalized Stuff]
foo[bg]{1} Bulgarian
foo{0}Default
foo[en]{0}English
[Spaces]
key with spaces {1} value
another with spaces {0} splat!
[Types]
int {1} 42
float {0} 0.44
boolean {0} NO
123 {1} strange but acceptable
[This One Has A ] In It]
  forks {0} spoons
"""
_DICT = {
    "Foo Bar": {"foo": "bar1"}, "Long Line": {"foo": "this line is much, much longer\nlikes it."},
    "Section\\with$weird%characters[\t": {},
    "Internationalized Stuff": {"foo[bg]": "Bulgarian", "foo": "Default"},
    "Types": {"int": 42, "float": 0.44, "boolean": False, 123: "strange but acceptable"},
}
_WRITTEN = """\
[Long Line]
foo{0} this line is much, much longer than my editor
   likes it.
[{4}]
foo{1} another very
 long line
[Long Line - With Comments!]
test {1} we        {2} can
            also      {2} place
            comments  {2} in
            multiline {2} values
"""
_STEPS = "\n".join(
    ["[Foo]", "bar{0}something %(with1)s interpolation (1 step)"]
    + [f"bar{n}{{0}}something %(with{n})s lots of interpolation ({n} steps)" for n in (9, 10, 11)]
    + ["with11{0}%(with10)s", "with10{0}%(with9)s", "with9{0}%(with8)s", "with8{0}%(With7)s"]
    + ["with7{0}%(WITH6)s", "with6{0}%(with5)s", "With5{0}%(with4)s", "WITH4{0}%(with3)s"]
    + ["with3{0}%(with2)s", "with2{0}%(with1)s", "with1{0}with"]
    + ["[Interpolation Error]", "name{0}%(reference)s"]
)
_EXTENDED = """
[common]
favourite Beatle = Paul
favourite color = green
[tom]
favourite band = ${favourite color} day
favourite pope = John ${favourite Beatle} II
sequel = ${favourite pope}I
[ambv]
favourite Beatle = George
son of Edward VII = ${favourite Beatle} V
son of George V = ${son of Edward VII}I
[stanley]
favourite Beatle = ${ambv:favourite Beatle}
favourite pope = ${tom:favourite pope}
favourite color = black
favourite state of mind = paranoid
favourite movie = soylent ${common:favourite color}
favourite song = ${favourite color} sabbath - ${favourite state of mind}
[one for you]
ping = ${one for me:pong}
[one for me]
pong = ${one for you:ping}
[selfish]
me = ${me}
[dollars]
$var = $$value
$var2 = ${$var}
${sick} = cannot interpolate me
[interpolated]
$other = ${dollars:$var}
$trying = ${dollars:${sick}}
[interpolation fail]
case1 = ${where's the brace
case2 = ${does_not_exist}
case3 = ${wrong_section:wrong_value}
case4 = ${i:like:colon:characters}
case5 = $100 for Fail No 5!
"""
_CASES = """
[common]
option{0} = value
Option{1} = Value
[Common]
option{0} = a better ${{common:option{0}}}
Option{1} = A Better ${{common:Option{1}}}
[random]
foo{0} = ${{common:option{0}}} redefined
Foo{1} = ${{Common:Option{1}}} Redefined
"""
_TWICE = (
    ("add_section", "Foo"),
    ("read_string", "[Bar]\nwhat about this{0}True\n[Bar]\noops{0}this won't\n"),
    ("read_string", "[Duplicate Options]\noption {0} with a value\noption {1} with another value\n"),
    ("read_dict", {"1": {"key": "value"}, 1: {"key2": "value2"}}),
    ("read_dict", {"Bar": {"opt": "val", "OPT": "is really `opt`"}}),
)
_NO_VALUE = "[NoValue]\noption-without-value\n"
_ASKED = (
    ("get", "Foo Bar", "foo", {}), ("get", "Foo Bar", "foo", {"vars": {"foo": "baz"}}),
    ("get", "Foo Bar", "foo", {"fallback": "baz"}), ("get", "No Such", "foo", {}),
    ("get", "Foo Bar", "no-such", {}), ("get", "No Such", "foo", {"fallback": "baz"}),
    ("get", "Foo Bar", "no-such", {"fallback": "baz"}), ("get", "No Such", "foo", {"fallback": None}),
    ("getint", "Types", "int", {}), ("getint", "Types", "int", {"fallback": 18}),
    ("getint", "Types", "no-such", {"fallback": "18"}), ("getint", "Types", "no-such", {}),
    ("getfloat", "Types", "float", {}), ("getfloat", "Types", "no-such", {"fallback": "0.0"}),
    ("getfloat", "Types", "no-such", {}), ("getboolean", "Types", "boolean", {"fallback": True}),
    ("getboolean", "Types", "no-such", {"fallback": "yes"}), ("getboolean", "Types", "no-such", {}),
    ("getboolean", "No Such", "boolean", {"fallback": True}), ("options", "No Such", {}),
)
_ASKED_OF_FOO = (
    ("get", "foo", "baz", {}), ("get", "foo", {"fallback": "baz"}), ("get", "foo", {"vars": {"foo": "baz"}}),
    ("get", "no-such", "baz", {}), ("get", "no-such", {"fallback": "baz"}), ("get", "no-such", {}),
    ("__getitem__", "foo", {}), ("__getitem__", "no-such", {}),
)
_ASKED_OF_TYPES = (
    ("getint", "int", 18, {}), ("getint", "no-such", "18", {}), ("getint", "no-such", {"fallback": 18}),
    ("getint", "no-such", {}), ("getfloat", "float", 0.0, {}), ("getfloat", "no-such", "0.0", {}),
    ("getfloat", "no-such", {}), ("getboolean", "boolean", True, {}), ("getboolean", "no-such", "yes", {}),
    ("getboolean", "no-such", {"fallback": True}), ("getboolean", "no-such", {}),
)
_COMMENTED = """
[Commented Bar]
baz=qwe ; a comment
foo: bar # not a comment!
# but this is a comment
; another comment
quirk: this;is not a comment
; a space must precede an inline comment
"""
_COMMENTED_INLINE = """
[section]
k1 = v1;still v1
k2 = v2 ;a comment
k3 = v3 ; also a comment
k4 = v4;still v4 ;a comment
k5 = v5;still v5; and still v5 ; also a comment
[multiprefix]
k1 = v1;still v1 #a comment ; yeah, pretty much
k2 = v2 // this already is a comment ; continued
k3 = v3;#//still v3# and still v3 ; a comment
"""
_ERRORS = (
    ("Error", "value"), ("NoSectionError", "section"), ("NoOptionError", "option", "section"),
    ("DuplicateSectionError", "section", "source", 123), ("DuplicateOptionError", "section", "option"),
    ("DuplicateOptionError", "section", "option", "source", 123), ("ParsingError", "source"),
    ("InterpolationError", "option", "section", "msg"),
    ("MissingSectionHeaderError", "filename", 123, "line"),
    ("InterpolationSyntaxError", "option", "section", "msg"),
    ("InterpolationMissingOptionError", "option", "section", "rawval", "reference"),
    ("InterpolationDepthError", "option", "section", "rawval"),
)


def _new(kind, text=None, defaults=None):
    """A parser, which has read a text where there is one."""
    make, options = _KINDS[kind]
    options = {"inline_comment_prefixes": (";", "#"), "strict": False, **options}
    parser = make(defaults, **options)
    if text is not None:
        parser.read_string(_signed(kind, text))
    return parser


def _signed(kind, text):
    """The text with the delimiters and the prefixes of comments of a kind, and its default section."""
    options = _KINDS[kind][1]
    signs = options.get("delimiters", ("=", ":")) + options.get("comment_prefixes", (";", "#"))
    return text.format(*signs, options.get("default_section", "DEFAULT"))


def _told(function, *arguments, **options):
    """The value of a call; if it raises, the exception's class, arguments and text."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return type(error).__name__, error.args, str(error)


def _raised(function, *arguments):
    """The value of a call; if it raises, the exception's class and arguments."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__, error.args


def _options(parser, sections=None):
    """The sorted options of each section."""
    names = sorted(parser.sections()) if sections is None else sections
    return {name: outcome(lambda name=name: sorted(parser.items(name))) for name in names}


def _asked(parser, questions):
    return [outcome(getattr(parser, method), *rest[:-1], **rest[-1]) for method, *rest in questions]


def _output(parser, **options):
    out = io.StringIO()
    parser.write(out, **options)
    return out.getvalue()


def options_of_a_text():
    for kind in ("plain", "extended", "other signs", "without values"):
        parser = outcome(_new, kind, _TEXT + (_NO_VALUE if kind == "without values" else ""))
        yield kind, outcome(_options, parser)
        yield outcome(sorted, parser), outcome(lambda parser=parser: dict(parser.defaults()))


def options_of_a_dictionary():
    for kind in _FEW:
        parser = _new(kind)
        yield kind, outcome(parser.read_dict, _DICT), outcome(_options, parser)
    for kind in ("plain", "extended"):
        copy = _new(kind)
        yield outcome(copy.read_dict, _new(kind, _TEXT)), outcome(_options, copy, ("Spaces", "Types"))


def options_asked_for():
    for kind in ("plain", "raw", "extended"):
        yield _asked(_new(kind, _TEXT), _ASKED)
    yield _asked(_new("without values", _NO_VALUE), (
        ("get", "NoValue", "option-without-value", {"fallback": False}),
        ("get", "NoValue", "no-such-option", {"fallback": False}),
    ))


def options_of_one_section():
    for kind in ("plain", "raw", "extended"):
        parser = _new(kind, _TEXT)
        foo, types = parser["Foo Bar"], parser["Types"]
        yield repr(foo), foo.name, foo.parser is parser, sorted(types), outcome(parser.__getitem__, "No Such")
        yield [outcome(setattr, foo, name, "read-only") for name in ("name", "parser")]
        yield _asked(foo, _ASKED_OF_FOO), _asked(types, _ASKED_OF_TYPES)


def removals():
    for kind in ("plain", "extended"):
        parser = _new(kind, _TEXT)
        default = parser.default_section
        parser[default].update(this_value="1", that_value="2")
        for section in ("Spaces", "Spaces", default):
            yield outcome(parser.remove_section, section), "Spaces" in parser
        for section, option in (
            ("Foo Bar", "foo"), ("Foo Bar", "foo"), ("Foo Bar", "this_value"), (default, "this_value"),
            (default, "this_value"), ("No Such", "foo"),
        ):
            yield _raised(parser.remove_option, section, option), parser.has_option("Foo Bar", option)
        for section in ("Types", "Types", default):
            yield outcome(parser.__delitem__, section), section in parser
        for section, option in (
            ("Spacey Bar", "foo"), ("Spacey Bar", "foo"), ("Spacey Bar", "that_value"),
            (default, "that_value"), (default, "that_value"), ("No Such", "foo"),
        ):
            removed = outcome(lambda s=section, o=option, p=parser: p[s].__delitem__(o))
            yield removed, option in parser["Spacey Bar"]


def names_in_lower_and_upper_case():
    for kind in ("plain", "raw", "extended"):
        parser = _new(kind)
        yield [outcome(parser.add_section, name) for name in ("A", "a", "B")], sorted(parser.sections())
        yield [name in parser for name in ("A", "a", "b", parser.default_section)]
        for section, option in (("a", "B"), ("b", "A"), ("A", "A-B")):
            yield outcome(parser.set, section, option, "value")
        yield outcome(_options, parser), outcome(parser.options, "a"), outcome(parser.options, "A")
        names = ("a-b", "A-b", "a-B", "A-B", "b")
        yield [(outcome(parser.has_option, "A", name), name in parser["A"]) for name in names]
        yield outcome(parser.has_option, "b", "b")
        yield outcome(parser.remove_option, "a", "B"), outcome(parser.options, "a")
        parser = _new(kind, "[MySection]\nOption{0} first line   \n\tsecond line   \n")
        yield outcome(_options, parser), outcome(parser.get, "MySection", "Option")
        parser = _new(kind, "[section]\nnekey{0}nevalue\n", {"Key": "value"})
        yield outcome(parser.has_option, "section", "Key"), "Key" in parser["section"]
        yield outcome(_options, parser), outcome(parser.get, parser.default_section, "KEY")


def booleans():
    values = ("1", "TRUE", "True", "oN", "yes", "0", "FALSE", "False", "oFF", "nO", "2", "foo", "-1", "0.1")
    for kind in _FEW:
        parser = _new(kind, "[B]\n" + "".join(f"t{n}{{0}}{value}\n" for n, value in enumerate(values)))
        yield [outcome(parser.getboolean, "B", f"t{n}") for n in range(len(values))]


def errors_of_names():
    for kind in ("plain", "extended"):
        parser = _new(kind)
        yield parser.sections(), parser.has_section("Foo"), outcome(parser.options, "Foo")
        yield _raised(parser.get, "foo", "bar"), outcome(parser.set, "foo", "bar", "value")
        yield outcome(parser.add_section, "foo"), _raised(parser.get, "foo", "bar")
    for kind in ("plain", "other default"):
        parser = _new(kind)
        yield outcome(parser.add_section, parser.default_section)


def names_given_twice():
    for kind in ("plain", "strict", "extended"):
        for method, given in _TWICE:
            parser = _new(kind)
            parser.add_section("Foo")
            if method == "read_string":
                yield method, _told(parser.read_string, _signed(kind, given), source="<foo-bar>")
            else:
                yield method, _told(getattr(parser, method), given)
    for text in ("[bad]\n[bad]", "[bad]\nbad = bad\nbad = bad", "[bad]\n= bad", "[bad\nbad = bad"):
        yield _told(ConfigParser().read_file, text.split("\n"), source=b"badbad")


def what_is_written():
    for kind in (*_FEW, "other default"):
        parser = _new(kind, _WRITTEN + (_NO_VALUE if kind == "without values" else ""))
        yield kind, outcome(_output, parser), outcome(_output, parser, space_around_delimiters=False)
    yield outcome(_output, _new("sorted", "[b]\no4=1\no3=2\no2=3\no1=4\n[a]\nk=v\n"))
    parser = RawConfigParser(allow_no_value=False)
    parser.add_section("section")
    yield outcome(parser.set, "section", "option", None), outcome(_output, parser)


def interpolations():
    for kind in (*_FEW, "without interpolation", "legacy"):
        parser = _new(kind, _STEPS)
        yield kind, [outcome(parser.get, "Foo", f"bar{n}") for n in ("", 9, 10, 11)]
        yield outcome(parser.get, "Interpolation Error", "name")


def errors_of_interpolations():
    for kind in ("plain", "legacy"):
        for section, option in (("Foo", "bar11"), ("Interpolation Error", "name")):
            try:
                yield _new(kind, _STEPS).get(section, option)
            except configparser.Error as error:
                yield error.section, error.option, error.args, getattr(error, "reference", None)
    parser = ConfigParser()
    parser.read_string("[section]\ninvalid_percent = %\ninvalid_reference = %(()\ninvalid = %(no)s\n")
    for option in ("invalid_percent", "invalid_reference"):
        yield _told(parser.get, "section", option)[::2]


def items_with_variables():
    text = "[section]\nname {0} %(value)s\nkey{1} |%(name)s|\ngetdefault{1} |%(default)s|\n"
    for kind in ("plain", "raw", "legacy", "extended", "other signs"):
        parser = _new(kind, text, {"default": "<default>"})
        yield outcome(lambda parser=parser: sorted(parser.items("section", vars={"value": "value"})))
        yield outcome(parser.items, "no such section")


def signs_that_are_escaped():
    text = "[s]\noption1{0}xxx\noption2{0}%(option1)s/xxx\nok{0}%(option1)s/%%s\nnot_ok{0}%(option2)s/%%s"
    for kind in ("plain", "legacy", "other signs", "without values"):
        parser = _new(kind, text)
        yield outcome(parser.get, "s", "ok"), outcome(parser.get, "s", "not_ok")
        for value in ("%foo", "foo%", "f%oo", "foo%%bar"):
            yield outcome(parser.set, "s", "option1", value), outcome(parser.get, "s", "option1")


def values_that_are_no_texts():
    for kind in ("plain", "raw", "without values"):
        parser = _new(kind, "[sect]\noption1{0}foo\n")
        for value in (1, 1.0, [0, 1], {"pi": 3.14159}):
            yield outcome(parser.set, "sect", "option1", value), outcome(parser.get, "sect", "option1")
        yield outcome(parser.add_section, 123), outcome(parser.set, 123, "this is sick", "value")
        yield outcome(lambda kind=kind: _new(kind, None, {"A": 5.2})["DEFAULT"]["a"])
        yield outcome(lambda kind=kind: _new(kind, None, {1: 2.4})["DEFAULT"].getfloat("1"))
    yield outcome(ConfigParser, interpolation=ExtendedInterpolation), outcome(ConfigParser, interpolation=42)
    parser = ConfigParser(allow_no_value=False)
    parser.add_section("section")
    yield outcome(parser.set, "section", "option", None)


def sections_that_change():
    text = "[section1]\nname1 {0} value1\n[section2]\nname2 {0} value2\n[section3]\nname3 {0} value3\n"
    for kind in ("plain", "extended"):
        parser = _new(kind, text, {"nameD": "valueD"})
        default = parser.default_section
        for name, values in (
            ("section2", {"name22": "value22"}), ("section3", {}), (default, parser[default]), (default, {}),
            ("section2", parser["section2"]),
        ):
            yield outcome(parser.__setitem__, name, values), parser.sections(), outcome(_options, parser)
        yield [outcome(lambda parser=parser: parser.popitem()[0]) for _ in range(4)]
        parser = _new(kind, None, {"foo": "Bar"})
        parser["zing"] = {"option1": "value1", "option2": "value2"}
        yield outcome(_options, parser), outcome(parser.clear), parser.sections(), sorted(parser[default])


def lines_without_a_value():
    for kind in _FEW:
        parser = _new(kind)
        yield outcome(parser.read_string, _signed(kind, "[{4}]\ntest {0} test\ninvalid"))
        yield outcome(lambda parser=parser: parser[parser.default_section]["test"])


def extended_interpolations():
    parser = _new("extended")
    yield outcome(parser.read_string, _EXTENDED)
    for section in parser:
        yield section, {name: outcome(parser.get, section, name) for name in sorted(parser[section])}
    try:
        yield parser["interpolated"]["$trying"]
    except configparser.Error as error:
        yield error.reference, error.args[2]
    yield outcome(parser["interpolation fail"].__setitem__, "case6", "BLACK $ABBATH")


def extended_interpolations_by_case():
    for ends, transform in ((("lower", "Upper"), None), (("", ""), None), (("", ""), str)):
        parser = _new("extended")
        if transform:
            parser.optionxform = transform
        yield outcome(parser.read_string, _CASES.format(*ends)), outcome(_options, parser)


def texts_without_interpolation():
    class _Custom(ConfigParser):
        _DEFAULT_INTERPOLATION = None

    for parser in (_new("without interpolation"), _Custom()):
        yield outcome(parser.read_string, "[n]\none = 1\ntwo = %(one)s * 2\nthree = ${common:one} * 3\n")
        yield outcome(_options, parser), outcome(parser.read_string, "")


def comments():
    parser = RawConfigParser(comment_prefixes="#;", inline_comment_prefixes=";", strict=False)
    parser.read_string(_COMMENTED)
    yield outcome(_options, parser)
    parser = ConfigParser(inline_comment_prefixes=(";", "#", "//"))
    parser.read_string(_COMMENTED_INLINE)
    yield outcome(_options, parser)


def lines_of_a_file():
    parser = ConfigParser()
    yield outcome(parser.read_file, ["[Foo Bar]", "foo=newbar"]), outcome(_options, parser)
    parser = ConfigParser()
    yield outcome(parser.readfp, io.StringIO("[section]\noption = value\n"), filename="StringIO")
    yield outcome(_options, parser)


def errors_by_themselves():
    names = ("args", "section", "option", "source", "lineno", "reference", "errors", "line")
    for name, *arguments in _ERRORS:
        error = outcome(getattr(configparser, name), *arguments)
        copy = outcome(lambda error=error: pickle.loads(pickle.dumps(error)))
        yield name, {key: getattr(error, key) for key in names if hasattr(error, key)}
        yield [getattr(error, key) == getattr(copy, key) for key in names if hasattr(error, key)]
        yield repr(error) == repr(copy)
    yield _told(configparser.DuplicateOptionError("section", "option").__str__)
    yield _told(configparser.ParsingError)
    yield _told(configparser.ParsingError, source="source", filename="filename")
    error = outcome(configparser.ParsingError, filename="source")
    yield outcome(lambda: (error.source, error.filename))
    yield outcome(setattr, error, "filename", "filename"), outcome(lambda: error.source)


def errors_without_a_context():
    plain, extended = ConfigParser(), _new("extended")
    plain.read_string("[Paths]\nmy_dir: %(home_dir1)s/lumberjack\n")
    extended.read_string("[Paths]\nmy_dir: ${home_dir1}/lumberjack\n")
    for parser, method, *arguments in (
        (plain, "get", "Paths", "my_dir"), (extended, "get", "Paths", "my_dir"), (plain, "options", "test"),
        (plain, "set", "Section1", "an_int", "15"), (plain, "remove_option", "Section1", "an_int"),
    ):
        try:
            yield getattr(parser, method)(*arguments)
        except configparser.Error as error:
            yield type(error).__name__, error.__suppress_context__


def converters():
    parser = ConfigParser(converters={"list": str.split})
    parser.read_string("[s]\nint = 1\nfloat = 0.5\nlist = a b c d e f g\nboolean = yes\n")
    kinds = parser.converters
    yield sorted(kinds), [kinds[name] is None for name in ("int", "float", "boolean", "list")]
    yield outcome(kinds.__setitem__, "", str), outcome(kinds.__setitem__, None, str)
    for option in ("int", "float", "list", "boolean"):
        method = f"get{option}"
        yield outcome(getattr(parser, method), "s", option), outcome(getattr(parser["s"], method), option)
    for change in (None, "add", "remove", "remove"):
        if change == "add":
            yield outcome(kinds.__setitem__, "decimal", decimal.Decimal)
        if change == "remove":
            yield outcome(kinds.__delitem__, "decimal")
        yield outcome(len, kinds), sorted(kinds), outcome(lambda: str(parser.getdecimal("s", "float")))
        yield outcome(lambda: str(parser["s"].getdecimal("float")))
    yield outcome(kinds.__delitem__, ""), outcome(kinds.__delitem__, None)


def converters_that_are_lost():
    parser = ConfigParser()
    parser.converters["decimal"] = decimal.Decimal
    parser.read_string("[s1]\none = 1\n[s2]\ntwo = 2\n")
    calls = (lambda: str(parser.getdecimal("s1", "one")), lambda: str(parser["s2"].getdecimal("two")))
    yield [outcome(call) for call in calls]
    yield outcome(delattr, parser, "getdecimal"), outcome(calls[0]), "decimal" in parser.converters
    yield outcome(parser.converters.__delitem__, "decimal"), [outcome(call) for call in calls]


def converters_that_are_methods():
    class _Strange(ConfigParser):
        gettysburg = "a historic borough in south central Pennsylvania"

        def getboolean(self, section, option, **options):
            return section == option or super().getboolean(section, option, **options)

        def getlen(self, section, option, **options):
            return self._get_conv(section, option, len, **options)

    text = "[one]\none = false\ntwo = false\nthree = long story short\n[two]\ntwo = no\n"
    for parser in (ConfigParser(converters={"len": len}), _Strange()):
        parser.read_string(text)
        yield sorted(parser.converters), [parser.converters[name] is None for name in ("len", "boolean")]
        yield outcome(parser.getlen, "one", "three"), outcome(parser.getlen, "two", "four", fallback=0)
        yield outcome(parser.getlen, "two", "four"), outcome(parser["one"].getlen, "three")
        yield outcome(parser["one"].getlen, "four", 0), outcome(parser["one"].getlen, "four")
        for _ in range(2):
            yield [outcome(parser.getboolean, section, "two") for section in ("one", "two")]
            parser.converters["boolean"] = parser._convert_to_boolean
    parser = ConfigParser()
    parser.getlen = lambda section, option: len(parser[section][option])
    parser.read_string(text)
    yield sorted(parser.converters), outcome(parser.getlen, "one", "three")
    yield outcome(lambda: parser["one"].getlen("three"))
