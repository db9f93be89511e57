import unittest

from headers import (
    accepted, every, first, length, merged, parameters, parse, show, titled, without,
)

PAIRS = [("Host", "a.b"), ("Via", "one"), ("via", "two"), ("Age", "7")]


class ParseTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(parse("Host: a.b"), [("Host", "a.b")])

    def test_two(self):
        self.assertEqual(parse("A: 1\nB: 2"), [("A", "1"), ("B", "2")])

    def test_spaces(self):
        self.assertEqual(parse("Host :   a b  "), [("Host", "a b")])

    def test_spaces_of_two(self):
        self.assertEqual(parse("A  : 1 \nB:   2  "), [("A", "1"), ("B", "2")])

    def test_continued(self):
        self.assertEqual(parse("A: 1\n   2\nB: 3"), [("A", "1 2"), ("B", "3")])

    def test_continued_twice(self):
        self.assertEqual(parse("A: 1\n 2  \n 3"), [("A", "1 2 3")])

    def test_ends_at_a_blank_line(self):
        self.assertEqual(parse("A: 1\n\nB: 2"), [("A", "1")])

    def test_ends_at_a_line_of_spaces(self):
        self.assertEqual(parse("A: 1\n  \nB: 2"), [("A", "1")])

    def test_colon_in_value(self):
        self.assertEqual(parse("A: b:c"), [("A", "b:c")])

    def test_colons_in_value(self):
        self.assertEqual(parse("A: b:c:d\nE::"), [("A", "b:c:d"), ("E", ":")])

    def test_no_colon(self):
        with self.assertRaises(KeyError):
            parse("A: 1\nnonsense")

    def test_no_colon_at_all(self):
        with self.assertRaises(KeyError):
            parse("nonsense")

    def test_nothing_to_continue(self):
        with self.assertRaisesRegex(ValueError, "continue"):
            parse(" a")

    def test_nothing_to_continue_before_more(self):
        with self.assertRaisesRegex(ValueError, "continue"):
            parse(" a\nB: 1")


class ShowTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(show([("A", "1")]), "A: 1")

    def test_two(self):
        self.assertEqual(show([("A", "x"), ("B", "y")]), "A: x\nB: y")

    def test_number(self):
        self.assertEqual(show([("A", 3)]), "A: 3")

    def test_numbers(self):
        self.assertEqual(show([("A", 1), ("B", 2)]), "A: 1\nB: 2")

    def test_round_trip(self):
        self.assertEqual(parse(show(PAIRS)), PAIRS)


class FindTests(unittest.TestCase):
    def test_first(self):
        self.assertEqual(first(PAIRS, "Host"), "a.b")

    def test_first_of_several(self):
        self.assertEqual(first(PAIRS, "Via"), "one")

    def test_first_in_any_case(self):
        self.assertEqual(first(PAIRS, "hOST"), "a.b")

    def test_first_in_upper_case(self):
        self.assertEqual(first(PAIRS, "AGE"), "7")

    def test_first_of_none(self):
        self.assertIsNone(first(PAIRS, "Date"))

    def test_first_with_another(self):
        self.assertEqual(first(PAIRS, "Date", "now"), "now")

    def test_every(self):
        self.assertEqual(every(PAIRS, "Via"), ["one", "two"])

    def test_every_in_any_case(self):
        self.assertEqual(every(PAIRS, "VIA"), ["one", "two"])

    def test_every_of_one(self):
        self.assertEqual(every(PAIRS, "host"), ["a.b"])

    def test_every_of_none(self):
        self.assertEqual(every(PAIRS, "Date"), [])

    def test_without(self):
        self.assertEqual(without(PAIRS, "Via", "Age"), [("Host", "a.b")])

    def test_without_in_any_case(self):
        self.assertEqual(without(PAIRS, "VIA", "hOST"), [("Age", "7")])

    def test_without_one(self):
        self.assertEqual(without(PAIRS, "age"), PAIRS[:3])

    def test_without_nothing(self):
        self.assertEqual(without(PAIRS), PAIRS)


class MergedTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(merged([("A", "1"), ("B", "2")]), {"a": "1", "b": "2"})

    def test_two_of_a_name(self):
        self.assertEqual(merged(PAIRS), {"host": "a.b", "via": "one, two", "age": "7"})

    def test_three_of_a_name(self):
        self.assertEqual(merged([("A", "x"), ("a", "y"), ("A", "z")]), {"a": "x, y, z"})

    def test_empty(self):
        self.assertEqual(merged([]), {})


class LengthTests(unittest.TestCase):
    def test_number(self):
        self.assertEqual(length([("Content-Length", "12")]), 12)

    def test_number_with_spaces(self):
        self.assertEqual(length([("content-length", " 40 ")]), 40)

    def test_none(self):
        self.assertEqual(length(PAIRS), 0)

    def test_none_of_none(self):
        self.assertEqual(length([]), 0)

    def test_word(self):
        with self.assertRaisesRegex(ValueError, "not a length: x"):
            length([("Content-Length", "x")])

    def test_negative(self):
        with self.assertRaisesRegex(ValueError, "not a length"):
            length([("Content-Length", "-1")])


class ParametersTests(unittest.TestCase):
    def test_none(self):
        self.assertEqual(parameters("text/html"), ("text/html", {}))

    def test_upper_case(self):
        self.assertEqual(parameters("Text/HTML"), ("text/html", {}))

    def test_one(self):
        self.assertEqual(parameters("a; b=C"), ("a", {"b": "C"}))

    def test_two(self):
        self.assertEqual(parameters("A;B=1;  C=2"), ("a", {"b": "1", "c": "2"}))

    def test_quoted(self):
        self.assertEqual(parameters('a; b="c d"'), ("a", {"b": "c d"}))

    def test_quoted_and_plain(self):
        self.assertEqual(parameters('a; b="xyz"; c=x'), ("a", {"b": "xyz", "c": "x"}))

    def test_half_quoted(self):
        self.assertEqual(parameters('a; b="c'), ("a", {"b": '"c'}))

    def test_quoted_at_the_end(self):
        self.assertEqual(parameters('a; b=c"; d="'), ("a", {"b": 'c"', "d": '"'}))

    def test_sign_in_value(self):
        self.assertEqual(parameters("a; b=c=d"), ("a", {"b": "c=d"}))

    def test_signs_in_values(self):
        self.assertEqual(parameters("a; b=c=d; e=="), ("a", {"b": "c=d", "e": "="}))

    def test_no_value(self):
        with self.assertRaisesRegex(ValueError, "no value: b"):
            parameters("a; b")

    def test_no_second_value(self):
        with self.assertRaisesRegex(ValueError, "no value: c"):
            parameters("a; b=1; c")


class AcceptedTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(accepted("en"), ["en"])

    def test_order(self):
        self.assertEqual(accepted("de;q=0.5, en"), ["en", "de"])

    def test_order_of_three(self):
        self.assertEqual(accepted("a;q=0.1,b;q=0.3,c;q=0.2"), ["b", "c", "a"])

    def test_equals(self):
        self.assertEqual(accepted("b, a, c"), ["b", "a", "c"])

    def test_equals_with_quality(self):
        self.assertEqual(accepted("b;q=0.2, a;q=0.2, c"), ["c", "b", "a"])

    def test_refused(self):
        self.assertEqual(accepted("b;q=0, a"), ["a"])

    def test_all_refused(self):
        self.assertEqual(accepted("b;q=0, a;q=0.0"), [])

    def test_not_a_number(self):
        with self.assertRaisesRegex(TypeError, "quality: x"):
            accepted("b;q=x")

    def test_not_a_number_after_one(self):
        with self.assertRaisesRegex(TypeError, "quality: high"):
            accepted("a;q=1, b;q=high")


class TitledTests(unittest.TestCase):
    def test_lower(self):
        self.assertEqual(titled("content-type"), "Content-Type")

    def test_upper(self):
        self.assertEqual(titled("HOST"), "Host")

    def test_mixed(self):
        self.assertEqual(titled("x-fORWARDED-for"), "X-Forwarded-For")

    def test_one_letter(self):
        self.assertEqual(titled("a-b"), "A-B")


if __name__ == "__main__":
    unittest.main()
