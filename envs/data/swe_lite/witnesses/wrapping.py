"""What wrapping gives; expected values stay outside."""

from observe import outcome
from wrapping import (
    align, box, bullet, common_prefix, dedent, indent, indent_of, justify, middle, paragraphs,
    shorten, wrap,
)


def wrapped_lines():
    for text, width in (
        ("a few words", 20), ("the quick brown fox", 10), ("aaa bbb", 7), ("aaa bbb", 6), ("abcdefgh", 3),
        ("x abcdef y", 4), ("abcd efgh", 4), ("", 5), ("   ", 5), ("  a   b \n c ", 9), ("ab c", 1),
        ("a", 0), ("a", -1), ("", 0), ("pack my box with five dozen liquor-jugs today", 11),
    ):
        yield outcome(wrap, text, width)


def justified_lines():
    for line, width in (
        ("a b c", 9), ("a b c", 8), ("ab cd", 8), ("a b c d", 12), ("abc", 9), ("", 9), ("ab cd", 5),
        ("one two three four", 25),
    ):
        yield outcome(justify, line, width)


def aligned():
    for text, width in (("ab", 5), ("ab", 6), ("abcde", 5), ("abcdef", 5), ("a", 2)):
        yield outcome(align, text, width)
        yield outcome(align, text, width, "right")
        yield outcome(align, text, width, "centre")


def shortened():
    for text, width in (
        ("hello", 5), ("hello world", 8), ("hello!", 5), ("hello world", 9), ("hello", 2), ("hello", 3),
        ("hello", 4),
    ):
        yield outcome(shorten, text, width)
    yield outcome(shorten, "hello world", 6, mark="~")


def cut_in_the_middle():
    for text, width in (
        ("abcdef", 6), ("abcdefghij", 7), ("abcdefghij", 8), ("abcdefghij", 4), ("abcdefghij", 5),
    ):
        yield outcome(middle, text, width)
    yield outcome(middle, "abcdefghij", 5, mark="~")


def columns_in_front():
    for line in ("   a b", "a", "", "\ta", "  \ta", "\t\ta", " \t  \tb"):
        yield outcome(indent_of, line)
    yield outcome(indent_of, "  \t a", tab=8)


def dedented():
    for text in (
        "  a\n    b\n  c", "    a\n\n   \n    b", "a\n  b", "", "   x ", "      p\n   q\n    r\n\n",
    ):
        yield outcome(dedent, text)


def indented():
    for text, columns in (("a\nb", 2), ("a\n\nb", 1), ("x\n y\n\nz", 3)):
        yield outcome(indent, text, columns)
    yield outcome(indent, "a\nb\nc", 4, first=1)
    yield outcome(indent, "a\nb", 2, first=0)


def blocks():
    for text in ("a\nb\n\nc", "\n\na\n \n\n  b \n", "", "\n \n", " k \nl\n\n\t\nm\n  n\no"):
        yield outcome(paragraphs, text)


def boxes():
    for lines in (["ab", "c"], ["x"], [], ["", "longer one", "short"]):
        yield outcome(box, lines)


def bullets():
    yield outcome(bullet, ["one two", "x"], 6)
    yield outcome(bullet, ["one two"], 7, mark="* * ")
    yield outcome(bullet, ["one two"], 9)
    yield outcome(bullet, ["red green blue", "", "violet"], 10, mark="-> ")


def common_prefixes():
    for words in (
        ["flower", "flow", "flight"], ["ab", "abc"], ["abc"], ["a", "b"], [], ["xyz", "xyz"],
    ):
        yield outcome(common_prefix, words)
