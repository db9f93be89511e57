"""What options are found in arguments; expected values stay outside.

The calls follow CPython's Lib/test/test_getopt.py, PSF licence.
"""

import getopt
import os

from observe import outcome

os.environ.pop("POSIXLY_CORRECT", None)


def whether_a_short_option_has_an_argument():
    for opt, shortopts in (("a", "a:"), ("a", "a"), ("a", "b"), ("b", "a:b"), ("b", "ab:c")):
        yield outcome(getopt.short_has_arg, opt, shortopts)


def whether_a_long_option_has_an_argument():
    for longopts in (["abc="], ["abc"], ["abcd"], ["abcd="], ["def"], [], ["abcd", "abcde"]):
        yield outcome(getopt.long_has_args, "abc", longopts)


def short_options():
    yield outcome(getopt.do_shorts, [], "a", "a", [])
    yield outcome(getopt.do_shorts, [], "a1", "a:", [])
    yield outcome(getopt.do_shorts, [], "a", "a:", ["1"])
    yield outcome(getopt.do_shorts, [], "a", "a:", ["1", "2"])
    yield outcome(getopt.do_shorts, [], "a1", "a", [])
    yield outcome(getopt.do_shorts, [], "a", "a:", [])


def long_options():
    yield outcome(getopt.do_longs, [], "abc", ["abc"], [])
    yield outcome(getopt.do_longs, [], "abc=1", ["abc="], [])
    yield outcome(getopt.do_longs, [], "abc=1", ["abcd="], [])
    yield outcome(getopt.do_longs, [], "abc", ["ab", "abc", "abcd"], [])
    yield outcome(getopt.do_longs, [], "foo=42", ["foo-bar", "foo="], [])
    yield outcome(getopt.do_longs, [], "abc=1", ["abc"], [])
    yield outcome(getopt.do_longs, [], "abc", ["abc="], [])


def command_lines():
    line = ["-a", "1", "-b", "--alpha=2", "--beta", "-a", "3", "-a", "", "--beta", "arg1", "arg2"]
    yield outcome(getopt.getopt, line, "a:b", ["alpha=", "beta"])
    yield outcome(getopt.getopt, line, "a:b", ["alpha", "beta"])
    for longopts in (["help="], ["help"]):
        for argument in ("--help=", "--help=x"):
            yield outcome(getopt.getopt, [argument], "", longopts)


def gnu_command_lines():
    line = ["-a", "arg1", "-b", "1", "--alpha", "--beta=2"]
    yield outcome(getopt.gnu_getopt, line, "ab:", ["alpha", "beta="])
    yield outcome(getopt.gnu_getopt, ["-a", "-", "-b", "-"], "ab:", [])
    yield outcome(getopt.gnu_getopt, line, "+ab:", ["alpha", "beta="])
    os.environ["POSIXLY_CORRECT"] = "1"
    yield outcome(getopt.gnu_getopt, line, "ab:", ["alpha", "beta="])
    del os.environ["POSIXLY_CORRECT"]
