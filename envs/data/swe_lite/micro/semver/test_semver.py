import unittest

from semver import (
    bump, caret_limit, compare, compare_tags, distance, is_stable, matching, newest, ordered,
    parse, satisfies, show,
)


class ParseTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(parse("1.20.3"), (1, 20, 3, []))

    def test_zero(self):
        self.assertEqual(parse("0.0.0"), (0, 0, 0, []))

    def test_tags(self):
        self.assertEqual(parse("1.0.0-beta.2"), (1, 0, 0, ["beta", 2]))

    def test_one_tag(self):
        self.assertEqual(parse("2.1.0-rc"), (2, 1, 0, ["rc"]))

    def test_parts(self):
        for text in ("1.2", "1.2.3.4", "", "1"):
            with self.assertRaisesRegex(ValueError, "not a version"):
                parse(text)

    def test_letters(self):
        for text in ("a.b.c", "1.2.x", "1..2"):
            with self.assertRaisesRegex(ValueError, "not a version"):
                parse(text)

    def test_empty_tag(self):
        with self.assertRaisesRegex(ValueError, "empty tag"):
            parse("1.2.3-")

    def test_empty_tag_of_zero(self):
        with self.assertRaises(ValueError):
            parse("0.0.0-")

    def test_show(self):
        self.assertEqual(show((1, 2, 3, [])), "1.2.3")

    def test_show_tags(self):
        self.assertEqual(show((1, 2, 3, ["a", 1])), "1.2.3-a.1")

    def test_round_trip(self):
        for text in ("1.2.3", "0.0.1-a", "10.20.30-x.7.y"):
            self.assertEqual(show(parse(text)), text)


class OrderTests(unittest.TestCase):
    def test_equal(self):
        self.assertEqual(compare("1.2.3", "1.2.3"), 0)

    def test_major(self):
        self.assertEqual(compare("2.0.0", "1.9.9"), 1)
        self.assertEqual(compare("1.9.9", "2.0.0"), -1)

    def test_minor(self):
        self.assertEqual(compare("1.10.0", "1.9.0"), 1)

    def test_patch(self):
        self.assertEqual(compare("1.0.1", "1.0.2"), -1)

    def test_tag_before(self):
        self.assertEqual(compare("1.0.0-a", "1.0.0"), -1)
        self.assertEqual(compare("1.0.0", "1.0.0-a"), 1)

    def test_tags(self):
        self.assertEqual(compare("1.0.0-a", "1.0.0-b"), -1)

    def test_tags_equal(self):
        self.assertEqual(compare_tags(["a", 1], ["a", 1]), 0)

    def test_tags_none(self):
        self.assertEqual(compare_tags([], [1]), 1)
        self.assertEqual(compare_tags([1], []), -1)

    def test_tags_numbers(self):
        self.assertEqual(compare_tags([2], [10]), -1)
        self.assertEqual(compare_tags([10], [2]), 1)

    def test_tags_kind(self):
        self.assertEqual(compare_tags([9], ["a"]), -1)
        self.assertEqual(compare_tags(["a"], [9]), 1)

    def test_tags_length(self):
        self.assertEqual(compare_tags(["a"], ["a", 0]), -1)
        self.assertEqual(compare_tags(["a", 0], ["a"]), 1)

    def test_tags_second(self):
        self.assertEqual(compare_tags(["a", 1], ["a", 2]), -1)
        self.assertEqual(compare_tags(["a", 2, 1], ["a", 1, 5]), 1)

    def test_newest(self):
        self.assertEqual(newest(["1.0.0", "1.2.0", "1.1.9"]), "1.2.0")

    def test_newest_first(self):
        self.assertEqual(newest(["3.0.0", "1.2.0"]), "3.0.0")

    def test_newest_none(self):
        self.assertIsNone(newest([]))

    def test_newest_tag(self):
        self.assertEqual(newest(["1.0.0-b", "1.0.0", "1.0.0-c"]), "1.0.0")

    def test_ordered(self):
        texts = ["1.10.0", "1.2.0", "1.2.0-a", "0.9.0"]
        self.assertEqual(ordered(texts), ["0.9.0", "1.2.0-a", "1.2.0", "1.10.0"])

    def test_ordered_already(self):
        self.assertEqual(ordered(["1.0.0", "2.0.0"]), ["1.0.0", "2.0.0"])

    def test_ordered_backwards(self):
        self.assertEqual(ordered(["3.0.0", "2.0.0", "1.0.0"]), ["1.0.0", "2.0.0", "3.0.0"])


class BumpTests(unittest.TestCase):
    def test_major(self):
        self.assertEqual(bump("1.2.3", "major"), "2.0.0")

    def test_minor(self):
        self.assertEqual(bump("1.2.3", "minor"), "1.3.0")

    def test_patch(self):
        self.assertEqual(bump("1.2.3", "patch"), "1.2.4")

    def test_patch_of_tag(self):
        self.assertEqual(bump("1.2.3-a", "patch"), "1.2.3")

    def test_from_zero(self):
        self.assertEqual(bump("0.0.0", "patch"), "0.0.1")
        self.assertEqual(bump("0.0.9", "major"), "1.0.0")

    def test_minor_from_zero(self):
        self.assertEqual(bump("0.0.5", "minor"), "0.1.0")

    def test_unknown(self):
        with self.assertRaises(ValueError):
            bump("1.2.3", "other")

    def test_stable(self):
        self.assertTrue(is_stable("1.0.0"))
        self.assertTrue(is_stable("2.3.4"))

    def test_unstable(self):
        self.assertFalse(is_stable("0.9.9"))
        self.assertFalse(is_stable("1.0.0-a"))

    def test_stable_edges(self):
        self.assertEqual([is_stable(f"{n}.1.0") for n in (0, 1, 2)], [False, True, True])
        self.assertFalse(is_stable("3.0.0-rc.1"))


class RuleTests(unittest.TestCase):
    def test_limit(self):
        self.assertEqual(caret_limit("1.2.3"), "2.0.0")

    def test_limit_of_two(self):
        self.assertEqual(caret_limit("2.0.1"), "3.0.0")

    def test_limit_minor(self):
        self.assertEqual(caret_limit("0.2.3"), "0.3.0")
        self.assertEqual(caret_limit("0.1.0"), "0.2.0")

    def test_limit_patch(self):
        self.assertEqual(caret_limit("0.0.3"), "0.0.4")

    def test_caret(self):
        self.assertTrue(satisfies("1.9.0", "^1.2.3"))
        self.assertFalse(satisfies("2.0.0", "^1.2.3"))

    def test_caret_edges(self):
        self.assertTrue(satisfies("1.2.3", "^1.2.3"))
        self.assertFalse(satisfies("1.2.2", "^1.2.3"))
        self.assertFalse(satisfies("3.0.0", "^1.2.3"))

    def test_equal(self):
        self.assertTrue(satisfies("1.0.0", "=1.0.0"))
        self.assertFalse(satisfies("1.0.1", "=1.0.0"))

    def test_unequal(self):
        self.assertFalse(satisfies("1.0.0", "!=1.0.0"))
        self.assertTrue(satisfies("1.0.1", "!=1.0.0"))

    def test_at_least(self):
        found = [satisfies(f"1.0.{n}", ">=1.0.1") for n in range(3)]
        self.assertEqual(found, [False, True, True])

    def test_at_most(self):
        found = [satisfies(f"1.0.{n}", "<=1.0.1") for n in range(3)]
        self.assertEqual(found, [True, True, False])

    def test_above(self):
        found = [satisfies(f"1.0.{n}", ">1.0.1") for n in range(3)]
        self.assertEqual(found, [False, False, True])

    def test_below(self):
        found = [satisfies(f"1.0.{n}", "<1.0.1") for n in range(3)]
        self.assertEqual(found, [True, False, False])

    def test_matching(self):
        texts = ["2.0.0", "1.5.0", "1.0.0", "0.9.0"]
        self.assertEqual(matching(texts, ">=1.0.0 <2.0.0"), ["1.0.0", "1.5.0"])

    def test_matching_caret(self):
        self.assertEqual(matching(["0.2.9", "0.3.0", "0.2.0"], "^0.2.1"), ["0.2.9"])

    def test_matching_all(self):
        self.assertEqual(matching(["1.0.0", "0.1.0"], ""), ["0.1.0", "1.0.0"])

    def test_distance(self):
        self.assertEqual(distance("1.2.3", "3.0.0"), ("major", 2))

    def test_distance_small(self):
        self.assertEqual(distance("1.2.3", "1.2.9"), ("patch", 6))
        self.assertEqual(distance("1.5.3", "1.2.3"), ("minor", 3))

    def test_distance_none(self):
        self.assertEqual(distance("1.2.3", "1.2.3"), ("none", 0))
