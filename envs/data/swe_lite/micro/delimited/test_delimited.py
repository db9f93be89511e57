import unittest

from delimited import (
    column_total, convert, guess_separator, join_fields, needs_quotes, parse, records, split_line,
    table, widths,
)


class SplitTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(split_line("a,b,c"), ["a", "b", "c"])

    def test_one_field(self):
        self.assertEqual(split_line("abc"), ["abc"])

    def test_empty_fields(self):
        self.assertEqual(split_line(",a,"), ["", "a", ""])

    def test_empty_line(self):
        self.assertEqual(split_line(""), [""])

    def test_quoted_separator(self):
        self.assertEqual(split_line('"a,b",c'), ["a,b", "c"])

    def test_quoted_all(self):
        self.assertEqual(split_line('"a","b"'), ["a", "b"])

    def test_doubled_quote(self):
        self.assertEqual(split_line('"a""b",c'), ['a"b', "c"])

    def test_doubled_quote_at_end(self):
        self.assertEqual(split_line('"say ""hi"""'), ['say "hi"'])

    def test_quote_inside(self):
        self.assertEqual(split_line('5",6'), ['5"', "6"])

    def test_quote_inside_word(self):
        self.assertEqual(split_line('a"b"c'), ['a"b"c'])

    def test_open_quote(self):
        with self.assertRaises(ValueError):
            split_line('"abc')

    def test_open_quote_late(self):
        with self.assertRaises(ValueError):
            split_line('a,"b')

    def test_other_separator(self):
        self.assertEqual(split_line("a;b,c", ";"), ["a", "b,c"])
        self.assertEqual(split_line("'a;b';c", ";", "'"), ["a;b", "c"])


class JoinTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(join_fields(["a", "b"]), "a,b")

    def test_separator(self):
        self.assertEqual(join_fields(["a,b", "c"]), '"a,b",c')

    def test_quote(self):
        self.assertEqual(join_fields(['a"b']), '"a""b"')

    def test_spaces(self):
        self.assertEqual(join_fields([" a", "b "]), '" a","b "')

    def test_need(self):
        self.assertTrue(needs_quotes("a,b"))
        self.assertFalse(needs_quotes("ab"))

    def test_need_for_quote(self):
        self.assertTrue(needs_quotes('a"b'))
        self.assertFalse(needs_quotes("a;b"))

    def test_need_for_space(self):
        self.assertTrue(needs_quotes(" a"))
        self.assertFalse(needs_quotes("a b"))

    def test_round_trip(self):
        fields = ["plain", 'a"b', "c,d", " e ", '"', ""]
        self.assertEqual(split_line(join_fields(fields)), fields)

    def test_round_trip_semicolon(self):
        fields = ["x;y", 'q"', "z"]
        self.assertEqual(split_line(join_fields(fields, ";"), ";"), fields)


class ParseTests(unittest.TestCase):
    def test_rows(self):
        self.assertEqual(parse("a,b\nc,d\n"), [["a", "b"], ["c", "d"]])

    def test_skips(self):
        self.assertEqual(parse("# x\n\n  \na\n"), [["a"]])

    def test_skips_comment_between(self):
        self.assertEqual(parse("a\n#b\nc"), [["a"], ["c"]])

    def test_hash_later(self):
        self.assertEqual(parse("a#,b"), [["a#", "b"]])

    def test_records(self):
        self.assertEqual(records("x,y\n1,2\n3,4"), [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}])

    def test_records_short(self):
        self.assertEqual(records("x,y,z\n1"), [{"x": "1", "y": "", "z": ""}])

    def test_records_short_by_one(self):
        self.assertEqual(records("x,y\n1"), [{"x": "1", "y": ""}])

    def test_records_long(self):
        with self.assertRaises(ValueError):
            records("x\n1,2")

    def test_records_long_names_row(self):
        with self.assertRaisesRegex(ValueError, "row 3 has 3 fields, header has 2"):
            records("x,y\n1,2\n1,2,3")

    def test_records_none(self):
        self.assertEqual(records(""), [])
        self.assertEqual(records("x,y"), [])

    def test_records_empty_text(self):
        self.assertEqual(records("\n\n"), [])


class ConvertTests(unittest.TestCase):
    def test_integers(self):
        self.assertEqual([convert(t) for t in ("0", "42", "-7", "+3")], [0, 42, -7, 3])

    def test_floats(self):
        self.assertEqual([convert(t) for t in ("1.5", "-0.25", ".5")], [1.5, -0.25, 0.5])

    def test_signed(self):
        self.assertEqual(convert("-12"), -12)
        self.assertEqual(convert("+1.5"), 1.5)

    def test_truth(self):
        self.assertIs(convert("true"), True)
        self.assertIs(convert("false"), False)

    def test_false(self):
        self.assertIs(convert("false"), False)

    def test_empty(self):
        self.assertIsNone(convert(""))

    def test_text(self):
        self.assertEqual([convert(t) for t in ("abc", "1.2.3", "-", "1a")], ["abc", "1.2.3", "-", "1a"])

    def test_lone_signs(self):
        self.assertEqual([convert(t) for t in ("+", ".", "x.5")], ["+", ".", "x.5"])


class TableTests(unittest.TestCase):
    def test_widths(self):
        self.assertEqual(widths([["a", "bcd"], ["ef", "g"]]), [2, 3])

    def test_widths_ragged(self):
        self.assertEqual(widths([["a"], ["b", "cc"]]), [1, 2])
        self.assertEqual(widths([]), [])

    def test_widths_shrinking(self):
        self.assertEqual(widths([["aaaa"], ["bb"], ["c"]]), [4])

    def test_table(self):
        rows = [["name", "n"], ["apple", "10"], ["fig", "7"]]
        self.assertEqual(table(rows), ["name   n", "apple  10", "fig     7"])

    def test_table_gap(self):
        self.assertEqual(table([["a", "b"]], gap=1), ["a b"])

    def test_table_numbers(self):
        self.assertEqual(table([["1"], ["100"]]), ["  1", "100"])

    def test_table_text(self):
        self.assertEqual(table([["ab", "x"], ["a", "y"]]), ["ab  x", "a   y"])

    def test_guess(self):
        self.assertEqual(guess_separator("a;b\nc;d"), ";")

    def test_guess_comma(self):
        self.assertEqual(guess_separator("a,b;c\nd,e\n"), ",")

    def test_guess_tab(self):
        self.assertEqual(guess_separator("a\tb\tc,\n\nd\te\tf,\n"), "\t")

    def test_guess_uneven(self):
        self.assertEqual(guess_separator("a;;b|c\nd;e|f"), "|")

    def test_guess_none(self):
        self.assertEqual(guess_separator(""), ",")
        self.assertEqual(guess_separator("abc\n"), ",")

    def test_total(self):
        rows = [["x", "n"], ["a", "1"], ["b", "2.5"], ["c", "z"], ["d"], ["e", ""]]
        self.assertEqual(column_total(rows, 1), 3.5)

    def test_total_skips_truth(self):
        self.assertEqual(column_total([["true"], ["4"], ["x"]], 0, start=0), 4)

    def test_total_start(self):
        self.assertEqual(column_total([["1"], ["2"], ["4"]], 0), 6)
        self.assertEqual(column_total([["1"], ["2"], ["4"]], 0, start=2), 4)

    def test_total_short_rows(self):
        self.assertEqual(column_total([["a", "b"], ["1"], ["2", "3"]], 1), 3)
