import unittest

from wrapping import (
    align, box, bullet, common_prefix, dedent, indent, indent_of, justify, middle, paragraphs,
    shorten, wrap,
)


class WrapTests(unittest.TestCase):
    def test_short(self):
        self.assertEqual(wrap("a few words", 20), ["a few words"])

    def test_lines(self):
        self.assertEqual(wrap("the quick brown fox", 10), ["the quick", "brown fox"])

    def test_exact(self):
        self.assertEqual(wrap("aaa bbb", 7), ["aaa bbb"])

    def test_one_too_many(self):
        self.assertEqual(wrap("aaa bbb", 6), ["aaa", "bbb"])

    def test_long_word(self):
        self.assertEqual(wrap("abcdefgh", 3), ["abc", "def", "gh"])

    def test_long_word_after(self):
        self.assertEqual(wrap("x abcdef y", 4), ["x", "abcd", "ef y"])

    def test_word_of_width(self):
        self.assertEqual(wrap("abcd efgh", 4), ["abcd", "efgh"])

    def test_empty(self):
        self.assertEqual(wrap("", 5), [])
        self.assertEqual(wrap("   ", 5), [])

    def test_spaces(self):
        self.assertEqual(wrap("  a   b \n c ", 9), ["a b c"])

    def test_width_of_one(self):
        self.assertEqual(wrap("ab c", 1), ["a", "b", "c"])

    def test_bad_width(self):
        for width in (0, -1):
            with self.assertRaises(ValueError):
                wrap("a", width)

    def test_zero_width(self):
        with self.assertRaises(ValueError):
            wrap("", 0)


class JustifyTests(unittest.TestCase):
    def test_even(self):
        self.assertEqual(justify("a b c", 9), "a   b   c")

    def test_extra_left(self):
        self.assertEqual(justify("a b c", 8), "a   b  c")

    def test_two(self):
        self.assertEqual(justify("ab cd", 8), "ab    cd")

    def test_four(self):
        self.assertEqual(justify("a b c d", 12), "a   b   c  d")

    def test_one_word(self):
        self.assertEqual(justify("abc", 9), "abc")
        self.assertEqual(justify("", 9), "")

    def test_full(self):
        self.assertEqual(justify("ab cd", 5), "ab cd")


class AlignTests(unittest.TestCase):
    def test_left(self):
        self.assertEqual(align("ab", 5), "ab   ")

    def test_right(self):
        self.assertEqual(align("ab", 5, "right"), "   ab")

    def test_centre(self):
        self.assertEqual(align("ab", 6, "centre"), "  ab  ")

    def test_centre_odd(self):
        self.assertEqual(align("ab", 5, "centre"), " ab  ")

    def test_full(self):
        self.assertEqual(align("abcde", 5), "abcde")
        self.assertEqual(align("abcdef", 5, "right"), "abcdef")

    def test_one(self):
        self.assertEqual(align("a", 2), "a ")
        self.assertEqual(align("a", 2, "right"), " a")


class CutTests(unittest.TestCase):
    def test_short(self):
        self.assertEqual(shorten("hello", 5), "hello")

    def test_cut(self):
        self.assertEqual(shorten("hello world", 8), "hello...")

    def test_cut_by_one(self):
        self.assertEqual(shorten("hello!", 5), "he...")

    def test_no_space_before_mark(self):
        self.assertEqual(shorten("hello world", 9), "hello...")

    def test_tiny(self):
        self.assertEqual(shorten("hello", 2), "..")
        self.assertEqual(shorten("hello", 3), "...")

    def test_nearly_tiny(self):
        self.assertEqual(shorten("hello", 4), "h...")

    def test_mark(self):
        self.assertEqual(shorten("hello world", 6, mark="~"), "hello~")

    def test_middle_short(self):
        self.assertEqual(middle("abcdef", 6), "abcdef")

    def test_middle(self):
        self.assertEqual(middle("abcdefghij", 7), "ab...ij")

    def test_middle_odd(self):
        self.assertEqual(middle("abcdefghij", 8), "abc...ij")

    def test_middle_tiny(self):
        self.assertEqual(middle("abcdefghij", 4), "abcd")

    def test_middle_small(self):
        self.assertEqual(middle("abcdefghij", 5), "a...j")

    def test_middle_mark(self):
        self.assertEqual(middle("abcdefghij", 5, mark="~"), "ab~ij")


class IndentTests(unittest.TestCase):
    def test_spaces(self):
        self.assertEqual(indent_of("   a b"), 3)

    def test_none(self):
        self.assertEqual(indent_of("a"), 0)
        self.assertEqual(indent_of(""), 0)

    def test_tab(self):
        self.assertEqual(indent_of("\ta"), 4)

    def test_spaces_and_tab(self):
        self.assertEqual(indent_of("  \ta"), 4)
        self.assertEqual(indent_of("  \t a", tab=8), 9)

    def test_two_tabs(self):
        self.assertEqual(indent_of("\t\ta"), 8)

    def test_dedent(self):
        self.assertEqual(dedent("  a\n    b\n  c"), "a\n  b\nc")

    def test_dedent_blank(self):
        self.assertEqual(dedent("    a\n\n   \n    b"), "a\n\n\nb")

    def test_dedent_none(self):
        self.assertEqual(dedent("a\n  b"), "a\n  b")
        self.assertEqual(dedent(""), "")

    def test_dedent_one_line(self):
        self.assertEqual(dedent("   x "), "x ")

    def test_indent(self):
        self.assertEqual(indent("a\nb", 2), "  a\n  b")

    def test_indent_blank(self):
        self.assertEqual(indent("a\n\nb", 1), " a\n\n b")

    def test_indent_first(self):
        self.assertEqual(indent("a\nb\nc", 4, first=1), " a\n    b\n    c")

    def test_indent_first_zero(self):
        self.assertEqual(indent("a\nb", 2, first=0), "a\n  b")


class BlockTests(unittest.TestCase):
    def test_paragraphs(self):
        self.assertEqual(paragraphs("a\nb\n\nc"), ["a b", "c"])

    def test_paragraphs_blank(self):
        self.assertEqual(paragraphs("\n\na\n \n\n  b \n"), ["a", "b"])

    def test_paragraphs_none(self):
        self.assertEqual(paragraphs(""), [])
        self.assertEqual(paragraphs("\n \n"), [])

    def test_box(self):
        self.assertEqual(box(["ab", "c"]), ["+----+", "| ab |", "| c  |", "+----+"])

    def test_box_of_one(self):
        self.assertEqual(box(["x"]), ["+---+", "| x |", "+---+"])

    def test_box_empty(self):
        self.assertEqual(box([]), ["+--+", "+--+"])

    def test_bullet(self):
        self.assertEqual(bullet(["one two", "x"], 6), ["- one", "  two", "- x"])

    def test_bullet_mark(self):
        self.assertEqual(bullet(["one two"], 7, mark="* * "), ["* * one", "    two"])

    def test_bullet_fits(self):
        self.assertEqual(bullet(["one two"], 9), ["- one two"])

    def test_prefix(self):
        self.assertEqual(common_prefix(["flower", "flow", "flight"]), "fl")

    def test_prefix_whole(self):
        self.assertEqual(common_prefix(["ab", "abc"]), "ab")
        self.assertEqual(common_prefix(["abc"]), "abc")

    def test_prefix_none(self):
        self.assertEqual(common_prefix(["a", "b"]), "")
        self.assertEqual(common_prefix([]), "")

    def test_prefix_of_equals(self):
        self.assertEqual(common_prefix(["xyz", "xyz"]), "xyz")
