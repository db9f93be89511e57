import unittest

from sequences import (
    chunks, common_start, distinct, flat, groups, longest_rise, merge, ranks, rotated, split_at,
    summary, transposed, windows,
)


class ChunksTests(unittest.TestCase):
    def test_even(self):
        self.assertEqual(chunks([1, 2, 3, 4], 2), [[1, 2], [3, 4]])

    def test_odd(self):
        self.assertEqual(chunks([1, 2, 3], 2), [[1, 2], [3]])

    def test_ones(self):
        self.assertEqual(chunks("abc", 1), ["a", "b", "c"])

    def test_large(self):
        self.assertEqual(chunks([1, 2], 5), [[1, 2]])

    def test_empty(self):
        self.assertEqual(chunks([], 3), [])

    def test_three(self):
        self.assertEqual(chunks([1, 2, 3, 4, 5, 6, 7], 3), [[1, 2, 3], [4, 5, 6], [7]])

    def test_size_0(self):
        with self.assertRaises(ValueError):
            chunks([1], 0)

    def test_size_below_0(self):
        with self.assertRaises(ValueError):
            chunks([], -1)


class WindowsTests(unittest.TestCase):
    def test_two(self):
        self.assertEqual(windows([1, 2, 3], 2), [[1, 2], [2, 3]])

    def test_all(self):
        self.assertEqual(windows([1, 2, 3], 3), [[1, 2, 3]])

    def test_one(self):
        self.assertEqual(windows("ab", 1), ["a", "b"])

    def test_three(self):
        self.assertEqual(windows([4, 3, 2, 1], 3), [[4, 3, 2], [3, 2, 1]])

    def test_too_large(self):
        with self.assertRaises(IndexError):
            windows([1, 2], 3)

    def test_size_0(self):
        with self.assertRaises(IndexError):
            windows([1, 2], 0)


class RotatedTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(rotated([1, 2, 3], 1), [3, 1, 2])

    def test_two(self):
        self.assertEqual(rotated([1, 2, 3, 4, 5], 2), [4, 5, 1, 2, 3])

    def test_none(self):
        self.assertEqual(rotated([1, 2, 3], 0), [1, 2, 3])

    def test_round(self):
        self.assertEqual(rotated([1, 2, 3], 3), [1, 2, 3])

    def test_left(self):
        self.assertEqual(rotated([1, 2, 3], -1), [2, 3, 1])

    def test_far(self):
        self.assertEqual(rotated([1, 2, 3], 7), [3, 1, 2])

    def test_empty(self):
        self.assertEqual(rotated([], 2), [])


class DistinctTests(unittest.TestCase):
    def test_order(self):
        self.assertEqual(distinct([3, 1, 3, 2]), [3, 1, 2])

    def test_again(self):
        self.assertEqual(distinct([1, 1, 1]), [1])

    def test_text(self):
        self.assertEqual(distinct("abca"), ["a", "b", "c"])

    def test_late(self):
        self.assertEqual(distinct([5, 4, 5, 4, 6]), [5, 4, 6])

    def test_empty(self):
        self.assertEqual(distinct([]), [])


class GroupsTests(unittest.TestCase):
    def test_parity(self):
        self.assertEqual(groups([1, 3, 2, 5], lambda n: n % 2), [(1, [1, 3]), (0, [2]), (1, [5])])

    def test_letters(self):
        self.assertEqual(groups(["ab", "ac", "b"], lambda w: w[0]), [("a", ["ab", "ac"]), ("b", ["b"])])

    def test_one(self):
        self.assertEqual(groups([7], abs), [(7, [7])])

    def test_same(self):
        self.assertEqual(groups([2, -2, 2], abs), [(2, [2, -2, 2])])

    def test_empty(self):
        self.assertEqual(groups([], abs), [])

    def test_back(self):
        self.assertEqual(groups([1, 2, 1], abs), [(1, [1]), (2, [2]), (1, [1])])


class MergeTests(unittest.TestCase):
    def test_mixed(self):
        self.assertEqual(merge([1, 4], [2, 3]), [1, 2, 3, 4])

    def test_left_longer(self):
        self.assertEqual(merge([1, 5, 6], [2]), [1, 2, 5, 6])

    def test_right_longer(self):
        self.assertEqual(merge([3], [1, 4, 5]), [1, 3, 4, 5])

    def test_apart(self):
        self.assertEqual(merge([1, 2], [3, 4]), [1, 2, 3, 4])

    def test_apart_turned(self):
        self.assertEqual(merge([3, 4], [1, 2]), [1, 2, 3, 4])

    def test_empty_left(self):
        self.assertEqual(merge([], [1, 2]), [1, 2])

    def test_empty_right(self):
        self.assertEqual(merge([1, 2], []), [1, 2])

    def test_equals(self):
        self.assertEqual(merge([1, 2], [1, 2]), [1, 1, 2, 2])

    def test_equals_of_left_first(self):
        self.assertEqual([type(n) for n in merge([1], [1.0])], [int, float])

    def test_equals_inside(self):
        self.assertEqual([type(n) for n in merge([0, 1], [1.0, 2])], [int, int, float, int])


class SplitAtTests(unittest.TestCase):
    def test_middle(self):
        self.assertEqual(split_at([1, 2, 3], 2), ([1], [3]))

    def test_first_of_two(self):
        self.assertEqual(split_at([1, 2, 3, 2, 4], 2), ([1], [3, 2, 4]))

    def test_start(self):
        self.assertEqual(split_at("abc", "a"), ("", "bc"))

    def test_end(self):
        self.assertEqual(split_at([1, 2, 3], 3), ([1, 2], []))

    def test_missing(self):
        with self.assertRaises(KeyError):
            split_at([1], 2)

    def test_missing_of_none(self):
        with self.assertRaises(KeyError):
            split_at([], 2)


class FlatTests(unittest.TestCase):
    def test_nested(self):
        self.assertEqual(flat([1, [2, [3]], 4]), [1, 2, 3, 4])

    def test_flat(self):
        self.assertEqual(flat([1, 2]), [1, 2])

    def test_deep(self):
        self.assertEqual(flat([[[[5]]]]), [5])

    def test_tuples_stay(self):
        self.assertEqual(flat([(1, 2), [(3,)]]), [(1, 2), (3,)])

    def test_empty(self):
        self.assertEqual(flat([[], [[]]]), [])

    def test_text_stays(self):
        self.assertEqual(flat(["ab", ["cd"]]), ["ab", "cd"])


class TransposedTests(unittest.TestCase):
    def test_square(self):
        self.assertEqual(transposed([[1, 2], [3, 4]]), [[1, 3], [2, 4]])

    def test_row(self):
        self.assertEqual(transposed([[1, 2, 3]]), [[1], [2], [3]])

    def test_gap(self):
        self.assertEqual(transposed([[1, 2], [3]]), [[1, 3], [2, None]])

    def test_gap_first(self):
        self.assertEqual(transposed([[], [3, 4]]), [[None, 3], [None, 4]])

    def test_empty(self):
        self.assertEqual(transposed([]), [])

    def test_empty_rows(self):
        self.assertEqual(transposed([[], []]), [])


class CommonStartTests(unittest.TestCase):
    def test_two(self):
        self.assertEqual(common_start([[1, 2, 3], [1, 2, 4]]), [1, 2])

    def test_text(self):
        self.assertEqual(common_start(["abc", "abd", "ab"]), "ab")

    def test_nothing(self):
        self.assertEqual(common_start([[1], [2]]), [])

    def test_nothing_of_three(self):
        self.assertEqual(common_start(["x", "x", "y"]), "")

    def test_all(self):
        self.assertEqual(common_start([[1, 2], [1, 2, 3]]), [1, 2])

    def test_one(self):
        self.assertEqual(common_start([[4, 5]]), [4, 5])

    def test_no_lists(self):
        self.assertEqual(common_start([]), [])

    def test_late(self):
        self.assertEqual(common_start([[1, 2, 3, 9], [1, 2, 3, 8], [1, 2, 3]]), [1, 2, 3])


class RanksTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(ranks([30, 10, 20]), [3, 1, 2])

    def test_equals(self):
        self.assertEqual(ranks([5, 5, 1]), [2, 2, 1])

    def test_text(self):
        self.assertEqual(ranks("cab"), [3, 1, 2])

    def test_many_equals(self):
        self.assertEqual(ranks([2, 1, 2, 3, 1]), [2, 1, 2, 3, 1])

    def test_empty(self):
        self.assertEqual(ranks([]), [])

    def test_negative(self):
        self.assertEqual(ranks([0, -5]), [2, 1])


class LongestRiseTests(unittest.TestCase):
    def test_middle(self):
        self.assertEqual(longest_rise([3, 1, 2, 4, 0]), [1, 2, 4])

    def test_start(self):
        self.assertEqual(longest_rise([1, 2, 3, 1]), [1, 2, 3])

    def test_end(self):
        self.assertEqual(longest_rise([5, 1, 6, 7]), [1, 6, 7])

    def test_first_of_equals(self):
        self.assertEqual(longest_rise([1, 2, 0, 5]), [1, 2])

    def test_falling(self):
        self.assertEqual(longest_rise([3, 2, 1]), [3])

    def test_level(self):
        self.assertEqual(longest_rise([1, 1, 2]), [1, 2])

    def test_all(self):
        self.assertEqual(longest_rise([1, 2, 3, 4]), [1, 2, 3, 4])

    def test_empty(self):
        self.assertEqual(longest_rise([]), [])


class SummaryTests(unittest.TestCase):
    def test_odd(self):
        self.assertEqual(summary([3, 1, 2]), (1, 2, 3, 6))

    def test_even(self):
        self.assertEqual(summary([4, 1, 3, 2]), (1, 3, 4, 10))

    def test_one(self):
        self.assertEqual(summary([5]), (5, 5, 5, 5))

    def test_negative(self):
        self.assertEqual(summary([-1, 0, -4]), (-4, -1, 0, -5))

    def test_empty(self):
        with self.assertRaises(ValueError):
            summary([])

    def test_empty_text(self):
        with self.assertRaises(ValueError):
            summary("")


if __name__ == "__main__":
    unittest.main()
