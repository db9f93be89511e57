"""What optparse gives; expected values stay outside.

The options follow CPython's Lib/test/test_optparse.py, PSF licence.
"""

import contextlib
import copy
import io
import operator
import optparse
import os
import sys
from optparse import SUPPRESS_USAGE, Option, OptionGroup, OptionParser, make_option

from observe import outcome

os.environ.pop("COLUMNS", None)
sys.argv[0] = os.path.join("foo", "bar.py")


class _Stopped(Exception):
    pass


class _Parser(OptionParser):
    def exit(self, status=0, msg=None):
        raise _Stopped("exit", status, msg)

    def error(self, msg):
        raise _Stopped("error", msg)


def _parser(*options, **settings):
    return _Parser(option_list=list(options), **{"usage": SUPPRESS_USAGE, **settings})


def _parsed(parser, line):
    """Options and arguments of a command line, or how the parser stops and what it prints."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            options, arguments = parser.parse_args(line.split(" ") if line else [])
    except _Stopped as stop:
        return *stop.args, out.getvalue()
    except Exception as error:
        return type(error).__name__
    return vars(options), arguments


def _refused(function, *arguments, **options):
    """Class and text of the exception of a call."""
    try:
        function(*arguments, **options)
    except Exception as error:
        return type(error).__name__, outcome(str, error)


# What option strings and arguments of options are refused.

_WRONG_OPTIONS = [
    *[([], {}), (["b"], {}), (["--"], {}), (["---"], {}), (["-b"], {"foo": None, "bar": None})],
    *[(["-b"], {"action": "foo"}), (["-b"], {"type": "foo"}), (["-b"], {"type": tuple})],
    *[(["-b"], {"action": "count", "type": "int"}), (["-b", "--bad"], {"type": "choice"})],
    *[(["-b", "--bad"], {"type": "choice", "choices": "bad choices"})],
    *[(["-b"], {"type": "int", "choices": "bad"}), (["-b"], {"action": "store", "const": 1})],
    *[(["-b"], {"action": "count", "nargs": 2}), (["-b"], {"action": "callback", "callback": "foo"})],
    *[(["-b"], {"action": "callback", "callback": print, "callback_args": "foo"})],
    *[(["-b"], {"action": "callback", "callback": print, "callback_kwargs": "foo"})],
    *[(["-b"], {"action": "store", f"callback{rest}": "foo"}) for rest in ("", "_args", "_kwargs")],
    *[(["-debug"], {}), (["-d", "-debug"], {}), (["-debug", "--debug"], {})],
]


def wrong_options():
    for names, options in _WRONG_OPTIONS:
        yield _refused(make_option, *names, **options)


# Options of a parser.


def _verbose(**settings):
    return _parser(
        make_option("-v", "--verbose", "-n", "--noisy", action="store_true", dest="verbose"),
        make_option("-q", "--quiet", "--silent", action="store_false", dest="verbose"),
        **settings,
    )


def _strings(option):
    return option and (option._short_opts, option._long_opts, option.action, option.dest, option.type)


def added_options():
    yield _refused(_verbose().add_option, None)
    yield _refused(_verbose().add_option, None, None)


def found_options():
    parser = _verbose()
    for name in ("-v", "--verbose", "-n", "--noisy", "-q", "-x"):
        yield _strings(parser.get_option(name)), parser.has_option(name)


def removed_options():
    for removed in ("-n", "--verbose"):
        parser = _verbose()
        yield outcome(parser.remove_option, removed)
        for name in ("-v", "--verbose", "-n", "--noisy", "-q", "--silent"):
            yield _strings(parser.get_option(name)), parser.has_option(name)
    yield _refused(_verbose().remove_option, "foo")


def types():
    for kind in ("str", str, int):
        yield _strings(make_option("-s", type=kind))
    yield _strings(make_option("-d", "--default", choices=["four", "five", "six"]))


def values():
    given = {"foo": "bar", "baz": 42}
    for defaults in (None, given):
        one = optparse.Values(defaults)
        yield vars(one)
        for other in ({}, given, {"foo": "bar"}, "", [], optparse.Values(given)):
            yield outcome(operator.eq, one, other)


# Defaults.


def _check_duration(option, opt, value):
    return int(value[:-1]) * 60 if value.endswith("m") else int(value)


class _Duration(Option):
    TYPES = (*Option.TYPES, "duration")
    TYPE_CHECKER = {**copy.copy(Option.TYPE_CHECKER), "duration": _check_duration}


def _with_defaults():
    return _parser(
        *[make_option("-v", "--verbose", default=True), make_option("-q", "--quiet", dest="verbose")],
        *[make_option("-n", type="int", default=37), make_option("-m", type="int")],
        *[make_option("-s", default="foo"), make_option("-t"), make_option("-u", default=None)],
    )


def defaults():
    yield vars(_with_defaults().get_default_values())
    parser = _with_defaults()
    parser.set_defaults(n=42, m=-100)
    yield vars(parser.get_default_values())
    yield parser.get_default_values() == {"n": 42}


def defaults_before_the_options():
    parser = _with_defaults()
    parser.set_defaults(x="barf", y="blah")
    parser.add_option("-x", default="frob")
    parser.add_option("-y")
    yield vars(parser.get_default_values())
    parser.remove_option("-y")
    parser.add_option("-y", default=None)
    yield vars(parser.get_default_values())


def processed_defaults():
    parser = _with_defaults()
    parser.option_class = _Duration
    parser.add_option("-d", type="duration", default=300)
    parser.add_option("-e", type="duration", default="6m")
    parser.set_defaults(n="42")
    yield vars(parser.get_default_values())
    parser.set_process_default_values(False)
    yield vars(parser.get_default_values())


def conflicting_defaults():
    for default in (0, None):
        parser = _parser(make_option("-v", action="store_true", dest="verbose", default=1))
        parser.add_option("-q", action="store_false", dest="verbose", default=default)
        yield _parsed(parser, "")


# Help.

_APPLES = [
    make_option("-a", type="string", dest="a", metavar="APPLE", help="throw APPLEs at basket"),
    make_option(
        *("-b", "--boo"),
        type="int",
        dest="boo",
        metavar="NUM",
        help='shout "boo!" NUM times (in order to frighten away all the evil spirits '
        "that cause trouble and mayhem)",
    ),
    make_option("--foo", action="append", type="string", dest="foo", help="store FOO in the foo list"),
]


def _columns(columns, make, *arguments, **options):
    """What is made where the terminal has so many columns."""
    os.environ["COLUMNS"] = str(columns)
    try:
        return make(*arguments, **options)
    finally:
        del os.environ["COLUMNS"]


def program_names():
    for settings in (
        {"usage": "%prog ...", "version": "%prog 1.2"},
        {"usage": "%prog arg arg", "version": "%prog 0.1", "prog": "thingy"},
    ):
        parser = _parser(**settings)
        yield outcome(parser.get_usage)
        yield outcome(parser.get_version)
        yield outcome(parser.format_help)
        parser.remove_option("-h")
        parser.remove_option("--version")
        yield outcome(parser.format_help)


def versions():
    yield _parsed(_parser(version="%prog 0.1"), "--version")
    yield _parsed(_parser(), "--version")


def defaults_in_help():
    text = "read from FILE [default: %default]"
    for default in ({}, {"default": "foo.txt"}, {"default": None}, {"default": 0.43}):
        parser = _parser(prog="test", usage=None)
        parser.add_option("-f", "--file", help=text, **default)
        yield outcome(parser.format_help)
        parser = _parser(prog="test", usage=None)
        parser.add_option("-f", "--file", help=text)
        if default:
            parser.set_default("file", default["default"])
        yield outcome(parser.format_help)
    parser.set_defaults(file="other.txt")
    yield outcome(parser.format_help)


def tags_of_defaults_in_help():
    for tag in ("*DEFAULT*", None):
        parser = _parser(prog="test", usage=None)
        parser.add_option("-f", "--file", default="foo.txt", help=f"read from {tag} [default: %default]")
        parser.formatter.default_tag = tag
        yield outcome(parser.format_help)


def widths_of_help():
    for columns in (80, 60, 0):
        yield _parsed(_columns(columns, _parser, *_APPLES, usage=None), "-h")
    yield _parsed(_parser(*_APPLES, usage=None), "-h")


def usage_in_help():
    for usage in ("Usage: %prog [options]", "%prog [options] file", SUPPRESS_USAGE):
        parser = _parser(*_APPLES, usage=None)
        parser.set_usage(usage)
        yield _parsed(parser, "-h")


def formatters_of_help():
    parser = _columns(80, _parser, *_APPLES, usage=None)
    parser.formatter.short_first = 0
    yield _parsed(parser, "-h")
    parser.formatter = _columns(80, optparse.TitledHelpFormatter)
    yield _parsed(parser, "-h")


def help_beyond_ascii():
    yield _parsed(_parser(make_option("-a", action="store_true", help="ol\u00e9!")), "-h")
    yield _parsed(_parser(description="ol\u00e9!"), "-h")


def groups_in_help():
    parser = _columns(80, _parser, *_APPLES, usage=None)
    parser.set_description(
        "This is the program description for %prog.  %prog has an option group as well as single options."
    )
    group = OptionGroup(
        parser,
        "Dangerous Options",
        "Caution: use of these options is at your own risk.  It is believed that some of them bite.",
    )
    group.add_option("-g", action="store_true", help="Group option.")
    parser.add_option_group(group)
    yield _parsed(parser, "-h")
    parser.epilog = "Please report bugs to /dev/null."
    yield _parsed(parser, "-h")


# Command lines.

_LINES = [
    *["-a", "-b 5x", "--boo13", "--boo=x5", "", "-a  --foo=blah --foo=", "--foo bar --foo  --foo=x"],
    *["-abc", "-a 34", "-b34", "-b -5", "--boo=13", "--boo 111", "--foo=bar -axyz", "--f=bar -axyz"],
    *["-a xyz --foo bar", "--foo=bar -b 123 --foo baz", "-a foo bar", "-a -- foo bar"],
    *["-a -- --foo bar", "-ab -- --foo bar", "-ab - --foo bar", "-b3 -b 5 --foo=bar --foo baz", "-a -b3"],
]


def _standard():
    return _parser(
        make_option("-a", type="string"),
        make_option("-b", "--boo", type="int", dest="boo"),
        make_option("--foo", action="append"),
    )


def standard_options():
    for line in _LINES:
        yield _parsed(_standard(), line)


def ambiguous_and_unknown_options():
    parser = _standard()
    parser.add_option("--foz", action="store", type="string", dest="foo")
    yield _parsed(parser, "--f=bar")
    parser.add_option("-t", action="store_true")
    yield _parsed(parser, "-test")


def booleans():
    for line in ("", "-q", "-v", "-qvq -q -v"):
        parser = _parser(
            make_option("-v", "--verbose", action="store_true", dest="verbose", default=""),
            make_option("-q", "--quiet", action="store_false", dest="verbose"),
        )
        yield _parsed(parser, line)


def choices():
    for line in ("-c one xyz", "-c four abc"):
        option = make_option("-c", type="choice", dest="choice", choices=["one", "two", "three"])
        yield _parsed(_parser(option), line)


def _counting(**default):
    return _parser(
        make_option("-v", action="count", dest="verbose", **default),
        make_option("--verbose", type="int", dest="verbose"),
        make_option("-q", "--quiet", action="store_const", dest="verbose", const=0),
    )


def counts():
    for line in ("", "-v", "-vvv", "-v -v -v", "-vvv --verbose=2", "-vvv --verbose=2 -q"):
        yield _parsed(_counting(), line)
    for line in ("-vvv --verbose=2 -q -v", "--quiet 3 -v", "-q3 -v", "--quiet=3 -v"):
        yield _parsed(_counting(), line)
    for line in ("", "-vvv --verbose=2 -q -v"):
        yield _parsed(_counting(default=0), line)


def arguments_that_end_the_options():
    parser = _counting()
    parser.disable_interspersed_args()
    return _parsed(parser, "--quiet 3 -v")


def several_arguments():
    for line in (
        *["foo -p 1 2.5 -4.3 xyz", "--point -1 2.5 -0 xyz", "-p 1.0 2x 3.5", "--point 1.0 3.5"],
        *["-f 4 -3 blah --foo 1 666", "-f4,3", "--foo=3 4", "--zero --foo 3 4 -z"],
    ):
        parser = _parser(
            make_option("-p", "--point", action="store", nargs=3, type="float", dest="point"),
            make_option("-f", "--foo", action="append", nargs=2, type="int", dest="foo"),
            make_option("-z", "--zero", action="append_const", dest="foo", const=(0, 0)),
        )
        yield _parsed(parser, line)


def numbers():
    for text in ("0", "0x10", "0XA", "010", "0b11", "0b", "", "0xOoops"):
        yield outcome(optparse._parse_num, text, int)
    for line in ("-n 42 -l 0x20", "-n 0b0101 -l010", "-n008", "-l0b0123", "-l 0x12x"):
        yield _parsed(_parser(make_option("-n", type=int), make_option("-l", type=int)), line)


def abbreviations():
    words = {"--foz": None, "--foo": None, "--fie": None}
    yield outcome(optparse._match_abbrev, "--f", {**words, "--f": None})
    yield outcome(optparse._match_abbrev, "--fi", words)
    yield _refused(optparse._match_abbrev, "--f", words)


# Groups, actions and callbacks.


def groups():
    parser = _parser()
    group = parser.add_option_group(OptionGroup(parser, "Spam"))
    group.add_option("--spam", action="store_true", help="spam spam spam spam")
    yield _parsed(parser, "--spam")
    other = parser.add_option_group("Group 2", description="Some more options")
    other.set_title("Bacon")
    other.add_option("--bacon", type="int")
    yield parser.get_option_group("--bacon") is other
    yield [one.title for one in parser.option_groups]
    yield _refused(parser.add_option_group, None)
    yield _refused(parser.add_option_group, None, None)
    yield _refused(parser.add_option_group, OptionGroup(_parser(), "Spam"))


class _Extending(Option):
    ACTIONS = (*Option.ACTIONS, "extend")
    STORE_ACTIONS = (*Option.STORE_ACTIONS, "extend")
    TYPED_ACTIONS = (*Option.TYPED_ACTIONS, "extend")

    def take_action(self, action, dest, opt, value, values, parser):
        values.ensure_value(dest, []).extend(value.split(","))


def actions_of_an_own_class():
    for line in ("-afoo,bar --apple=blah", "-a foo -abar --apple=x,y"):
        yield _parsed(_parser(_Extending("-a", "--apple", action="extend", type="string")), line)


def _called(line, *options, **settings):
    """The calls of a callback on a command line, then what is parsed."""
    calls = []

    def callback(option, opt, value, parser, *arguments, **named):
        calls.append((_strings(option), opt, value, dict(vars(parser.values)), arguments, named))
        setattr(parser.values, option.dest or "x", value)

    parser = _parser(
        *[make_option(*names, action="callback", callback=callback, **given) for names, given in options]
    )
    yield _parsed(parser, line)
    yield calls


def callbacks():
    yield from _called("-x --file=foo", (["-x", None], {}), (["-f", "--file"], {"type": "string"}))
    yield from _called("--foo", (["--foo-bar"], {}))


def callbacks_with_arguments():
    given = {"callback_args": (3, "int"), "callback_kwargs": {"k": 1}, "type": "string", "dest": "points"}
    yield from _called("-p1,2,3 --point 4,5,6", (["-p", "--point"], {**given, "default": []}))


def callbacks_with_many_values():
    apple = ["-a", "--apple"], {"nargs": 2, "type": "string"}
    bob = ["-b", "--bob"], {"nargs": 3, "type": "int"}
    yield from _called("-a foo bar --apple ding dong -b 1 2 3 --bob -666 42 0", apple, bob)


def callbacks_in_help():
    parser = _parser()
    parser.remove_option("-h")
    parser.add_option("-t", "--test", action="callback", callback=print, type="string", help="foo")
    yield outcome(parser.format_help)


def _take(option, opt, value, parser):
    """A callback that takes as many arguments as the option says."""
    count = int(opt[1:])
    parser.values.ensure_value(option.dest, []).append(tuple(parser.rargs[:count]))
    parser.largs.append(count)
    del parser.rargs[:count]


def _take_words(option, opt, value, parser):
    """A callback that takes arguments up to an option."""
    words = []
    while parser.rargs and (parser.rargs[0] in ("-", "--") or parser.rargs[0][0] != "-"):
        words.append(parser.rargs.pop(0))
    setattr(parser.values, option.dest, words)


def callbacks_that_take_arguments():
    for line in ("-1 foo -3 bar baz qux", "-2 foo --"):
        parser = _parser()
        for n in range(1, 6):
            parser.add_option(f"-{n}", action="callback", callback=_take, dest="things")
        yield _parsed(parser, line)
    for line in (
        *["-a3 -5 --callback foo bar", "-c 37 -- xxx -b hello", "hello -c foo - bar", "-c foo -b"],
        "-c 3 -5 -a",
    ):
        parser = _parser(
            make_option("-a", type="int", nargs=2, dest="a"),
            make_option("-b", action="store_true", dest="b"),
            make_option("-c", "--callback", action="callback", callback=_take_words, dest="c"),
        )
        yield _parsed(parser, line)


# Conflicts.


def _show(option, opt, value, parser):
    parser.values.show_version = 1


def _verbosity():
    return _parser(
        make_option("-v", "--verbose", action="count", dest="verbose", help="increment verbosity")
    )


_VERSION = {"action": "callback", "callback": _show, "help": "show version"}


def conflicts():
    parser = _verbosity()
    for container in (parser, OptionGroup(parser, "Group 1")):
        try:
            container.add_option("-v", "--version", **_VERSION)
        except optparse.OptionConflictError as error:
            yield outcome(str, error), error.msg, error.option_id
    yield _refused(parser.set_conflict_handler, "foo")


def resolved_conflicts():
    for line in ("-h", "-v", "--verbose", "--verbose --version"):
        parser = _verbosity()
        parser.set_conflict_handler("resolve")
        parser.add_option("-v", "--version", **_VERSION)
        yield [_strings(parser.get_option(name)) for name in ("-v", "--verbose", "--version")]
        yield _parsed(parser, line)


def overridden_options():
    for line in ("-h", "-n"):
        parser = _parser()
        parser.set_conflict_handler("resolve")
        parser.add_option("-n", "--dry-run", action="store_true", dest="dry_run", help="don't do anything")
        option = {"action": "store_const", "const": 42, "dest": "dry_run", "help": "dry run mode"}
        parser.add_option("--dry-run", "-n", **option)
        yield _strings(parser.get_option("--dry-run"))
        yield _parsed(parser, line)
