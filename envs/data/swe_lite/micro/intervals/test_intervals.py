import unittest

from intervals import IntervalSet, is_valid, normalize, overlaps, touches


class PairTests(unittest.TestCase):
    def test_valid_pair(self):
        self.assertTrue(is_valid((1, 2)))

    def test_empty_pair(self):
        self.assertFalse(is_valid((2, 2)))

    def test_reversed_pair(self):
        self.assertFalse(is_valid((3, 2)))

    def test_valid_negative(self):
        self.assertTrue(is_valid((-5, 3)))
        self.assertFalse(is_valid((3, -5)))
        self.assertFalse(is_valid((0, 0)))

    def test_overlaps_inside(self):
        self.assertTrue(overlaps((0, 10), (3, 4)))
        self.assertTrue(overlaps((3, 4), (0, 10)))

    def test_overlaps_equal(self):
        self.assertTrue(overlaps((1, 4), (1, 4)))

    def test_side_by_side_is_no_overlap(self):
        self.assertFalse(overlaps((0, 2), (2, 4)))
        self.assertFalse(overlaps((2, 4), (0, 2)))

    def test_apart_is_no_overlap(self):
        self.assertFalse(overlaps((0, 2), (5, 9)))
        self.assertFalse(overlaps((5, 9), (0, 2)))

    def test_overlap_is_symmetric(self):
        pairs = [(a, b) for a in range(4) for b in range(a + 1, 5)]
        for left in pairs:
            for right in pairs:
                shared = set(range(*left)) & set(range(*right))
                self.assertEqual(overlaps(left, right), bool(shared))

    def test_touches_side_by_side(self):
        self.assertTrue(touches((0, 2), (2, 4)))
        self.assertTrue(touches((2, 4), (0, 2)))

    def test_touches_apart(self):
        self.assertFalse(touches((0, 2), (3, 4)))
        self.assertFalse(touches((3, 4), (0, 2)))

    def test_touches_same_and_inside(self):
        self.assertTrue(touches((1, 2), (1, 2)))
        self.assertTrue(touches((0, 9), (3, 4)))

    def test_touches_far(self):
        self.assertFalse(touches((10, 12), (0, 9)))
        self.assertFalse(touches((0, 9), (10, 12)))
        self.assertTrue(touches((0, 10), (10, 12)))
        self.assertTrue(touches((10, 12), (0, 10)))


class NormalizeTests(unittest.TestCase):
    def test_sorts(self):
        self.assertEqual(normalize([(5, 6), (1, 2)]), [(1, 2), (5, 6)])

    def test_merges_overlap(self):
        self.assertEqual(normalize([(1, 4), (3, 6)]), [(1, 6)])

    def test_merges_neighbours(self):
        self.assertEqual(normalize([(1, 3), (3, 6)]), [(1, 6)])

    def test_keeps_gap_of_one(self):
        self.assertEqual(normalize([(1, 3), (4, 6)]), [(1, 3), (4, 6)])

    def test_swallows_inner(self):
        self.assertEqual(normalize([(1, 9), (3, 4)]), [(1, 9)])

    def test_drops_empty(self):
        self.assertEqual(normalize([(3, 3), (5, 4), (7, 8)]), [(7, 8)])

    def test_drops_all_empty(self):
        self.assertEqual(normalize([(2, 2), (9, 1)]), [])

    def test_many(self):
        self.assertEqual(normalize([(8, 9), (0, 2), (1, 3), (5, 8)]), [(0, 3), (5, 9)])


class SetTests(unittest.TestCase):
    def setUp(self):
        self.numbers = IntervalSet([(0, 3), (5, 7), (10, 20)])

    def test_contains_every_number(self):
        inside = {0, 1, 2, 5, 6, *range(10, 20)}
        for number in range(-3, 25):
            self.assertEqual(number in self.numbers, number in inside)

    def test_contains_edges(self):
        self.assertIn(0, self.numbers)
        self.assertNotIn(3, self.numbers)
        self.assertIn(5, self.numbers)
        self.assertNotIn(7, self.numbers)
        self.assertIn(19, self.numbers)
        self.assertNotIn(20, self.numbers)

    def test_contains_single_and_empty(self):
        self.assertIn(4, IntervalSet([(4, 5)]))
        self.assertNotIn(4, IntervalSet())

    def test_length(self):
        self.assertEqual(len(self.numbers), 15)

    def test_length_of_one_and_none(self):
        self.assertEqual(len(IntervalSet([(4, 9)])), 5)
        self.assertEqual(len(IntervalSet()), 0)

    def test_iterates(self):
        self.assertEqual(list(IntervalSet([(0, 2), (4, 6)])), [0, 1, 4, 5])

    def test_equality(self):
        self.assertEqual(IntervalSet([(0, 2), (2, 4)]), IntervalSet([(0, 4)]))
        self.assertFalse(IntervalSet([(0, 2)]) == IntervalSet([(0, 3)]))

    def test_add(self):
        self.numbers.add(3, 5)
        self.assertEqual(self.numbers.intervals, [(0, 7), (10, 20)])

    def test_remove_middle(self):
        self.numbers.remove(12, 15)
        self.assertEqual(self.numbers.intervals, [(0, 3), (5, 7), (10, 12), (15, 20)])

    def test_remove_across(self):
        self.numbers.remove(1, 6)
        self.assertEqual(self.numbers.intervals, [(0, 1), (6, 7), (10, 20)])

    def test_remove_exactly_one(self):
        self.numbers.remove(5, 7)
        self.assertEqual(self.numbers.intervals, [(0, 3), (10, 20)])

    def test_remove_nothing(self):
        self.numbers.remove(7, 10)
        self.assertEqual(self.numbers.intervals, [(0, 3), (5, 7), (10, 20)])

    def test_remove_all(self):
        self.numbers.remove(0, 20)
        self.assertEqual(self.numbers.intervals, [])

    def test_remove_tail_and_head(self):
        self.numbers.remove(15, 99)
        self.numbers.remove(-4, 2)
        self.assertEqual(self.numbers.intervals, [(2, 3), (5, 7), (10, 15)])

    def test_union(self):
        self.assertEqual(self.numbers.union(IntervalSet([(2, 12)])).intervals, [(0, 20)])

    def test_intersection(self):
        both = self.numbers.intersection(IntervalSet([(2, 6), (8, 11)]))
        self.assertEqual(both.intervals, [(2, 3), (5, 6), (10, 11)])

    def test_intersection_of_neighbours_is_empty(self):
        both = IntervalSet([(0, 2)]).intersection(IntervalSet([(2, 4)]))
        self.assertEqual(both.intervals, [])

    def test_intersection_with_wide(self):
        wide = IntervalSet([(-5, 100)])
        self.assertEqual(self.numbers.intersection(wide), self.numbers)
        self.assertEqual(wide.intersection(self.numbers), self.numbers)

    def test_gaps(self):
        self.assertEqual(self.numbers.gaps(), [(3, 5), (7, 10)])

    def test_gaps_of_two(self):
        self.assertEqual(IntervalSet([(1, 2), (8, 9)]).gaps(), [(2, 8)])

    def test_no_gaps(self):
        self.assertEqual(IntervalSet([(1, 4)]).gaps(), [])

    def test_span(self):
        self.assertEqual(self.numbers.span(), (0, 20))

    def test_span_of_one(self):
        self.assertEqual(IntervalSet([(4, 6)]).span(), (4, 6))

    def test_span_of_none(self):
        self.assertIsNone(IntervalSet().span())

    def test_longest(self):
        self.assertEqual(self.numbers.longest(), (10, 20))

    def test_longest_first_of_equals(self):
        self.assertEqual(IntervalSet([(7, 9), (0, 2), (4, 5)]).longest(), (0, 2))

    def test_longest_in_front(self):
        self.assertEqual(IntervalSet([(0, 9), (20, 21)]).longest(), (0, 9))
        self.assertIsNone(IntervalSet().longest())
