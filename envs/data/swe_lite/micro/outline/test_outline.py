import unittest

from outline import (
    at, count, depth, done, find, height, leaves, number_of, numbered, parse, prune, show,
    sort, words,
)

TEXT = "Fruit\n  apple\n    Red one\n  Pear\nDairy\n  [x] milk"
TREE = [
    ["Fruit", [["apple", [["Red one", []]]], ["Pear", []]]],
    ["Dairy", [["[x] milk", []]]],
]


class DepthTests(unittest.TestCase):
    def test_none(self):
        self.assertEqual(depth("a"), 0)

    def test_one(self):
        self.assertEqual(depth("  a"), 1)

    def test_two(self):
        self.assertEqual(depth("    a b"), 2)

    def test_end(self):
        self.assertEqual(depth("  a  "), 1)

    def test_three(self):
        self.assertEqual(depth("      ab"), 3)

    def test_odd(self):
        with self.assertRaises(IndexError):
            depth(" a")

    def test_odd_deeper(self):
        with self.assertRaises(IndexError):
            depth("   a")


class ParseTests(unittest.TestCase):
    def test_flat(self):
        self.assertEqual(parse("a\nb"), [["a", []], ["b", []]])

    def test_nested(self):
        self.assertEqual(parse("a\n  b"), [["a", [["b", []]]]])

    def test_tree(self):
        self.assertEqual(parse(TEXT), TREE)

    def test_back(self):
        self.assertEqual(parse("a\n  b\n    c\nd"), [["a", [["b", [["c", []]]]]], ["d", []]])

    def test_blank(self):
        self.assertEqual(parse("a\n\n  b\n   \n"), [["a", [["b", []]]]])

    def test_spaces_at_end(self):
        self.assertEqual(parse("a  \n  b "), [["a", [["b", []]]]])

    def test_empty(self):
        self.assertEqual(parse(""), [])

    def test_beside(self):
        self.assertEqual(parse("a\n  b\n  c"), [["a", [["b", []], ["c", []]]]])

    def test_too_deep(self):
        with self.assertRaises(ValueError):
            parse("a\n    b")

    def test_too_deep_first(self):
        with self.assertRaises(ValueError):
            parse("  a")

    def test_too_deep_after_back(self):
        with self.assertRaises(ValueError):
            parse("a\n  b\nc\n    d")


class ShowTests(unittest.TestCase):
    def test_flat(self):
        self.assertEqual(show([["a", []], ["b", []]]), "a\nb")

    def test_nested(self):
        self.assertEqual(show([["a", [["b", []]]]]), "a\n  b")

    def test_deep(self):
        self.assertEqual(show([["a", [["b", [["c", []]]], ["d", []]]]]), "a\n  b\n    c\n  d")

    def test_tree(self):
        self.assertEqual(show(TREE), TEXT)

    def test_empty(self):
        self.assertEqual(show([]), "")

    def test_indented(self):
        self.assertEqual(show([["a", []]], 1), "  a")


class CountTests(unittest.TestCase):
    def test_tree(self):
        self.assertEqual(count(TREE), 6)

    def test_flat(self):
        self.assertEqual(count([["a", []], ["b", []]]), 2)

    def test_empty(self):
        self.assertEqual(count([]), 0)

    def test_chain(self):
        self.assertEqual(count(parse("a\n  b\n    c")), 3)


class HeightTests(unittest.TestCase):
    def test_tree(self):
        self.assertEqual(height(TREE), 3)

    def test_flat(self):
        self.assertEqual(height([["a", []], ["b", []]]), 1)

    def test_empty(self):
        self.assertEqual(height([]), 0)

    def test_late(self):
        self.assertEqual(height(parse("a\nb\n  c\nd")), 2)

    def test_chain(self):
        self.assertEqual(height(parse("a\n  b\n    c")), 3)

    def test_first(self):
        self.assertEqual(height(parse("a\n  b\nc")), 2)


class FindTests(unittest.TestCase):
    def test_top(self):
        self.assertEqual(find(TREE, "Fruit"), ["Fruit"])

    def test_below(self):
        self.assertEqual(find(TREE, "Pear"), ["Fruit", "Pear"])

    def test_deep(self):
        self.assertEqual(find(TREE, "Red one"), ["Fruit", "apple", "Red one"])

    def test_last(self):
        self.assertEqual(find(TREE, "[x] milk"), ["Dairy", "[x] milk"])

    def test_first_of_two(self):
        self.assertEqual(find(parse("a\n  b\nb"), "b"), ["a", "b"])

    def test_missing(self):
        with self.assertRaises(KeyError):
            find(TREE, "pear")

    def test_missing_of_none(self):
        with self.assertRaises(KeyError):
            find([], "a")


class LeavesTests(unittest.TestCase):
    def test_tree(self):
        self.assertEqual(leaves(TREE), ["Red one", "Pear", "[x] milk"])

    def test_flat(self):
        self.assertEqual(leaves([["a", []], ["b", []]]), ["a", "b"])

    def test_chain(self):
        self.assertEqual(leaves(parse("a\n  b\n    c")), ["c"])

    def test_order(self):
        self.assertEqual(leaves(parse("a\n  b\n  c\nd")), ["b", "c", "d"])

    def test_empty(self):
        self.assertEqual(leaves([]), [])


class NumberedTests(unittest.TestCase):
    def test_flat(self):
        self.assertEqual(numbered([["a", []], ["b", []]]), [("1", "a"), ("2", "b")])

    def test_nested(self):
        self.assertEqual(numbered(parse("a\n  b\n  c")), [("1", "a"), ("1.1", "b"), ("1.2", "c")])

    def test_tree(self):
        self.assertEqual(numbered(TREE)[2], ("1.1.1", "Red one"))

    def test_tree_end(self):
        self.assertEqual(numbered(TREE)[-1], ("2.1", "[x] milk"))

    def test_empty(self):
        self.assertEqual(numbered([]), [])

    def test_before(self):
        self.assertEqual(numbered([["a", []]], "4."), [("4.1", "a")])


class SortTests(unittest.TestCase):
    def test_top(self):
        self.assertEqual([title for title, _ in sort(TREE)], ["Dairy", "Fruit"])

    def test_flat(self):
        self.assertEqual(sort([["b", []], ["a", []]]), [["a", []], ["b", []]])

    def test_case(self):
        self.assertEqual(sort([["b", []], ["C", []], ["A", []]]), [["A", []], ["b", []], ["C", []]])

    def test_below(self):
        self.assertEqual(sort(parse("a\n  d\n  c")), parse("a\n  c\n  d"))

    def test_case_below(self):
        self.assertEqual(sort(parse("a\n  D\n  c")), parse("a\n  c\n  D"))

    def test_empty(self):
        self.assertEqual(sort([]), [])


class PruneTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(prune(TREE, 1), [["Fruit", []], ["Dairy", []]])

    def test_two(self):
        self.assertEqual(count(prune(TREE, 2)), 5)

    def test_all(self):
        self.assertEqual(prune(TREE, 3), TREE)

    def test_none(self):
        self.assertEqual(prune(TREE, 0), [])

    def test_more(self):
        self.assertEqual(prune(parse("a\n  b"), 9), parse("a\n  b"))

    def test_less_than_none(self):
        self.assertEqual(prune(TREE, -1), [])

    def test_chain(self):
        self.assertEqual(prune(parse("a\n  b\n    c"), 2), parse("a\n  b"))


class WordsTests(unittest.TestCase):
    def test_flat(self):
        self.assertEqual(words([["a b", []], ["b", []]]), {"a": 1, "b": 2})

    def test_nested(self):
        self.assertEqual(words(parse("a\n  a c\n  c")), {"a": 2, "c": 2})

    def test_case(self):
        self.assertEqual(words(parse("A\n  a")), {"a": 2})

    def test_tree(self):
        self.assertEqual(words(TREE)["one"], 1)

    def test_deep(self):
        self.assertEqual(words(parse("x\n  x\n    x")), {"x": 3})

    def test_empty(self):
        self.assertEqual(words([]), {})


class DoneTests(unittest.TestCase):
    def test_tree(self):
        self.assertEqual(done(TREE), (1, 3))

    def test_flat(self):
        self.assertEqual(done([["[x] a", []], ["b", []]]), (1, 2))

    def test_upper(self):
        self.assertEqual(done([["[X] a", []]]), (1, 1))

    def test_parent(self):
        self.assertEqual(done(parse("[x] a\n  b\n  c\nd")), (2, 3))

    def test_both(self):
        self.assertEqual(done(parse("[x] a\n  [x] b\n  c")), (2, 2))

    def test_none(self):
        self.assertEqual(done(parse("a\n  b")), (0, 1))

    def test_empty(self):
        self.assertEqual(done([]), (0, 0))

    def test_no_space(self):
        self.assertEqual(done([["[x]a", []]]), (0, 1))


class NumberOfTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(number_of("3"), (3,))

    def test_three(self):
        self.assertEqual(number_of("2.1.30"), (2, 1, 30))

    def test_dot_at_end(self):
        self.assertEqual(number_of("1.2."), (1, 2))

    def test_dots_at_end(self):
        self.assertEqual(number_of("4.."), (4,))

    def test_letter(self):
        with self.assertRaises(ValueError):
            number_of("1.a")

    def test_gap(self):
        with self.assertRaises(ValueError):
            number_of("1..2")

    def test_empty(self):
        with self.assertRaises(ValueError):
            number_of("")

    def test_dot_first(self):
        with self.assertRaises(ValueError):
            number_of(".1")


class AtTests(unittest.TestCase):
    def test_top(self):
        self.assertEqual(at(TREE, "2"), "Dairy")

    def test_first(self):
        self.assertEqual(at(TREE, "1"), "Fruit")

    def test_below(self):
        self.assertEqual(at(TREE, "1.2"), "Pear")

    def test_deep(self):
        self.assertEqual(at(TREE, "1.1.1"), "Red one")

    def test_zero(self):
        with self.assertRaises(LookupError):
            at(TREE, "0")

    def test_beyond(self):
        with self.assertRaises(LookupError):
            at(TREE, "3")

    def test_below_beyond(self):
        with self.assertRaises(LookupError):
            at(TREE, "1.3")

    def test_below_nothing(self):
        with self.assertRaises(LookupError):
            at(TREE, "2.1.1")


if __name__ == "__main__":
    unittest.main()
