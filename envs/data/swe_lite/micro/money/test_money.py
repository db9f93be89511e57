import unittest

from money import (
    allocate, change, compound, discount, gcd, mixed, parse, percent, reduced, round_half_even,
    settle, show, split, ways, with_tax, years_to,
)


class FractionTests(unittest.TestCase):
    def test_gcd(self):
        self.assertEqual([gcd(12, 18), gcd(7, 5), gcd(10, 5)], [6, 1, 5])

    def test_gcd_zero(self):
        self.assertEqual([gcd(4, 0), gcd(0, 4)], [4, 4])

    def test_gcd_negative(self):
        self.assertEqual([gcd(-12, 18), gcd(12, -18)], [6, 6])

    def test_reduced(self):
        self.assertEqual(reduced(6, 8), (3, 4))

    def test_reduced_sign(self):
        self.assertEqual(reduced(3, -6), (-1, 2))
        self.assertEqual(reduced(-3, -6), (1, 2))

    def test_reduced_whole(self):
        self.assertEqual(reduced(9, 3), (3, 1))

    def test_reduced_minus_one(self):
        self.assertEqual(reduced(5, -1), (-5, 1))

    def test_reduced_zero(self):
        with self.assertRaisesRegex(ValueError, "zero"):
            reduced(1, 0)
        self.assertEqual(reduced(0, 5), (0, 1))

    def test_reduced_no_denominator(self):
        with self.assertRaisesRegex(ValueError, "denominator"):
            reduced(0, 0)

    def test_mixed(self):
        self.assertEqual(mixed(7, 3), "2 1/3")

    def test_mixed_small(self):
        self.assertEqual(mixed(2, 6), "1/3")
        self.assertEqual(mixed(-1, 2), "-1/2")

    def test_mixed_whole(self):
        self.assertEqual([mixed(8, 2), mixed(0, 3), mixed(-6, 3)], ["4", "0", "-2"])

    def test_mixed_negative(self):
        self.assertEqual(mixed(-7, 3), "-2 1/3")

    def test_mixed_one(self):
        self.assertEqual(mixed(3, 2), "1 1/2")
        self.assertEqual(mixed(5, 4), "1 1/4")

    def test_round(self):
        self.assertEqual([round_half_even(n, 10) for n in (14, 16, 20)], [1, 2, 2])

    def test_round_half(self):
        self.assertEqual([round_half_even(n, 2) for n in (1, 3, 5, 7)], [0, 2, 2, 4])

    def test_round_ten_half(self):
        self.assertEqual([round_half_even(n, 10) for n in (5, 15, 25, 35)], [0, 2, 2, 4])

    def test_round_negative(self):
        self.assertEqual([round_half_even(n, 10) for n in (-14, -15, -16, -25)], [-1, -2, -2, -2])


class TextTests(unittest.TestCase):
    def test_parse(self):
        self.assertEqual([parse(t) for t in ("1", "1.5", "1.50", "0.05")], [100, 150, 150, 5])

    def test_parse_commas(self):
        self.assertEqual(parse("1,234.56"), 123456)

    def test_parse_negative(self):
        self.assertEqual(parse("-3.20"), -320)

    def test_parse_more(self):
        self.assertEqual([parse(t) for t in ("-1", "12.3", "0")], [-100, 1230, 0])

    def test_parse_bad(self):
        for text in ("", "x", "1.234", "1.", ".5"):
            with self.assertRaises(ValueError):
                parse(text)

    def test_parse_bad_cents(self):
        for text in ("1.x", "1.2.3", "1.005"):
            with self.assertRaisesRegex(ValueError, "not an amount"):
                parse(text)

    def test_show(self):
        self.assertEqual([show(5), show(123), show(10000)], ["0.05", "1.23", "100.00"])

    def test_show_commas(self):
        self.assertEqual(show(123456789), "1,234,567.89")

    def test_show_negative(self):
        self.assertEqual(show(-320, "$"), "-$3.20")

    def test_show_zero(self):
        self.assertEqual(show(0), "0.00")
        self.assertEqual(show(-1), "-0.01")


class ShareTests(unittest.TestCase):
    def test_split(self):
        self.assertEqual(split(100, 3), [34, 33, 33])

    def test_split_even(self):
        self.assertEqual(split(100, 4), [25] * 4)

    def test_split_one(self):
        self.assertEqual(split(7, 1), [7])

    def test_split_two_left(self):
        self.assertEqual(split(11, 3), [4, 4, 3])

    def test_split_nobody(self):
        for people in (0, -1):
            with self.assertRaises(ValueError):
                split(7, people)

    def test_split_zero(self):
        with self.assertRaisesRegex(ValueError, "people"):
            split(7, 0)

    def test_allocate(self):
        self.assertEqual(allocate(100, [1, 1, 2]), [25, 25, 50])

    def test_allocate_rest(self):
        self.assertEqual(allocate(100, [1, 1, 1]), [34, 33, 33])

    def test_allocate_two_left(self):
        self.assertEqual(allocate(5, [1, 1, 1]), [2, 2, 1])

    def test_allocate_zero_weight(self):
        self.assertEqual(allocate(10, [1, 0]), [10, 0])

    def test_allocate_bad(self):
        for weights in ([0, 0], [2, -1]):
            with self.assertRaises(ValueError):
                allocate(10, weights)

    def test_allocate_negative(self):
        for weights in ([3, -1], [0], [-2]):
            with self.assertRaisesRegex(ValueError, "weights"):
                allocate(10, weights)


class RateTests(unittest.TestCase):
    def test_percent(self):
        self.assertEqual(percent(1000, 19), 190)

    def test_percent_rounds(self):
        self.assertEqual([percent(150, 1), percent(250, 1), percent(251, 1)], [2, 2, 3])

    def test_tax(self):
        self.assertEqual(with_tax(1000, 7), 1070)

    def test_no_tax(self):
        self.assertEqual(with_tax(555, 0), 555)
        self.assertEqual(with_tax(200, 50), 300)

    def test_discount(self):
        self.assertEqual(discount(1000, 10), 900)

    def test_discount_least(self):
        self.assertEqual([discount(c, 10, least=100) for c in (90, 100, 110)], [90, 90, 99])

    def test_discount_at_least(self):
        self.assertEqual(discount(500, 50, least=500), 250)
        self.assertEqual(discount(499, 50, least=500), 499)

    def test_compound(self):
        self.assertEqual(compound(10000, 10, 2), 12100)

    def test_compound_none(self):
        self.assertEqual(compound(10000, 10, 0), 10000)
        self.assertEqual(compound(10000, 5, 1), 10500)

    def test_years(self):
        self.assertEqual(years_to(10000, 12100, 10), 2)

    def test_years_over(self):
        self.assertEqual(years_to(10000, 12101, 10), 3)

    def test_years_there(self):
        self.assertEqual(years_to(100, 100, 5), 0)
        self.assertEqual(years_to(100, 101, 5), 1)

    def test_years_never(self):
        self.assertIsNone(years_to(10, 100, 1))
        self.assertIsNone(years_to(100, 200, 0))

    def test_years_slow(self):
        self.assertEqual(years_to(100, 103, 1), 3)
        self.assertIsNone(years_to(0, 1, 50))


class CoinTests(unittest.TestCase):
    def test_change(self):
        self.assertEqual(change(388), [200, 100, 50, 20, 10, 5, 2, 1])

    def test_change_repeats(self):
        self.assertEqual(change(44), [20, 20, 2, 2])

    def test_change_none(self):
        self.assertEqual(change(0), [])

    def test_change_one(self):
        self.assertEqual(change(1), [1])
        self.assertEqual(change(400), [200, 200])

    def test_change_negative(self):
        for cents in (-1, -5):
            with self.assertRaisesRegex(ValueError, "negative"):
                change(cents)

    def test_change_negative_one(self):
        with self.assertRaisesRegex(ValueError, "must not be negative, got -1"):
            change(-1)

    def test_change_left(self):
        with self.assertRaisesRegex(ValueError, "3 cents are left"):
            change(13, coins=(10, 5))

    def test_change_left_one(self):
        with self.assertRaisesRegex(ValueError, "1 cents"):
            change(11, coins=(10,))

    def test_ways(self):
        self.assertEqual(ways(10, (1, 5, 10)), 4)

    def test_ways_two(self):
        self.assertEqual(ways(6, (1, 2)), 4)

    def test_ways_none(self):
        self.assertEqual(ways(3, (2,)), 0)
        self.assertEqual(ways(0, (2,)), 1)

    def test_ways_many(self):
        self.assertEqual(ways(100, (50, 25, 10, 5, 1)), 292)


class SettleTests(unittest.TestCase):
    def test_two(self):
        self.assertEqual(settle({"a": -5, "b": 5}), [("a", "b", 5)])

    def test_three(self):
        self.assertEqual(settle({"a": -5, "b": 3, "c": 2}), [("a", "b", 3), ("a", "c", 2)])

    def test_two_debtors(self):
        self.assertEqual(settle({"a": -1, "b": -4, "c": 5}), [("b", "c", 4), ("a", "c", 1)])

    def test_even(self):
        self.assertEqual(settle({"a": 0, "b": 0}), [])

    def test_chain(self):
        payments = settle({"a": -7, "b": -2, "c": 4, "d": 5})
        self.assertEqual(payments, [("a", "d", 5), ("a", "c", 2), ("b", "c", 2)])
