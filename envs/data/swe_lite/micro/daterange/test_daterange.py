import unittest

from daterange import (
    DateRange, add_days, add_months, age, day_of_year, from_number, is_date, is_leap, is_weekend,
    month_length, nth_weekday, parse, to_number, weekday, weekday_name,
)


class CalendarTests(unittest.TestCase):
    def test_leap(self):
        self.assertTrue(is_leap(2024))
        self.assertFalse(is_leap(2023))

    def test_leap_by_four(self):
        self.assertEqual([is_leap(y) for y in (2001, 2002, 2003, 2004)], [False, False, False, True])

    def test_century(self):
        self.assertFalse(is_leap(1900))
        self.assertFalse(is_leap(2100))

    def test_fourth_century(self):
        self.assertTrue(is_leap(2000))
        self.assertTrue(is_leap(1600))
        self.assertFalse(is_leap(1800))

    def test_february(self):
        self.assertEqual(month_length(2024, 2), 29)
        self.assertEqual(month_length(2023, 2), 28)

    def test_lengths(self):
        self.assertEqual([month_length(2023, m) for m in (1, 4, 12)], [31, 30, 31])

    def test_leap_lengths(self):
        self.assertEqual([month_length(2024, m) for m in (1, 3, 6, 11)], [31, 31, 30, 30])

    def test_dates(self):
        self.assertTrue(is_date(2024, 2, 29))
        self.assertFalse(is_date(2023, 2, 29))

    def test_days_of_month(self):
        self.assertTrue(is_date(2023, 4, 30))
        self.assertFalse(is_date(2023, 4, 31))
        self.assertFalse(is_date(2023, 4, 0))

    def test_months(self):
        self.assertTrue(is_date(2023, 1, 1))
        self.assertTrue(is_date(2023, 12, 1))
        self.assertFalse(is_date(2023, 0, 1))
        self.assertFalse(is_date(2023, 13, 1))

    def test_first_year(self):
        self.assertTrue(is_date(1, 1, 1))
        self.assertFalse(is_date(0, 1, 1))

    def test_first_date_and_before(self):
        self.assertEqual([is_date(y, 1, 1) for y in (-1, 0, 1, 2)], [False, False, True, True])
        self.assertEqual([is_date(2, m, 2) for m in (0, 1, 12, 13)], [False, True, True, False])
        self.assertEqual([is_date(2, 2, d) for d in (0, 1, 28, 29)], [False, True, True, False])

    def test_day_of_year(self):
        self.assertEqual(day_of_year((2023, 1, 1)), 1)
        self.assertEqual(day_of_year((2023, 3, 1)), 60)

    def test_day_of_leap_year(self):
        self.assertEqual(day_of_year((2024, 3, 1)), 61)
        self.assertEqual(day_of_year((2024, 12, 31)), 366)


class NumberTests(unittest.TestCase):
    def test_first(self):
        self.assertEqual(to_number((1, 1, 1)), 1)

    def test_known(self):
        self.assertEqual(to_number((1970, 1, 1)), 719163)

    def test_leap_day(self):
        self.assertEqual(to_number((2024, 2, 29)), 738945)

    def test_back(self):
        self.assertEqual(from_number(719163), (1970, 1, 1))

    def test_back_to_leap_day(self):
        self.assertEqual(from_number(738945), (2024, 2, 29))

    def test_round_trip(self):
        for number in (1, 59, 60, 365, 366, 367, 1461, 146097, 146098):
            self.assertEqual(to_number(from_number(number)), number)

    def test_year_ends(self):
        self.assertEqual(from_number(to_number((2023, 12, 31)) + 1), (2024, 1, 1))
        self.assertEqual(from_number(to_number((2025, 1, 1)) - 1), (2024, 12, 31))

    def test_add_days(self):
        self.assertEqual(add_days((2024, 2, 28), 2), (2024, 3, 1))

    def test_subtract_days(self):
        self.assertEqual(add_days((2023, 1, 1), -1), (2022, 12, 31))

    def test_add_no_days(self):
        self.assertEqual(add_days((2023, 6, 30), 0), (2023, 6, 30))

    def test_add_months(self):
        self.assertEqual(add_months((2023, 11, 5), 3), (2024, 2, 5))

    def test_add_months_short(self):
        self.assertEqual(add_months((2023, 1, 31), 1), (2023, 2, 28))
        self.assertEqual(add_months((2024, 1, 30), 1), (2024, 2, 29))

    def test_add_months_to_december(self):
        self.assertEqual(add_months((2023, 11, 30), 1), (2023, 12, 30))

    def test_subtract_months(self):
        self.assertEqual(add_months((2023, 1, 15), -1), (2022, 12, 15))

    def test_add_a_year(self):
        self.assertEqual(add_months((2023, 5, 1), 12), (2024, 5, 1))


class WeekTests(unittest.TestCase):
    def test_monday(self):
        self.assertEqual(weekday((2024, 1, 1)), 0)

    def test_epoch(self):
        self.assertEqual(weekday((1970, 1, 1)), 3)

    def test_names(self):
        self.assertEqual(weekday_name((2024, 2, 29)), "Thu")

    def test_sunday(self):
        self.assertEqual(weekday_name((2023, 12, 31)), "Sun")

    def test_weekend(self):
        week = [is_weekend((2024, 1, day)) for day in range(1, 8)]
        self.assertEqual(week, [False] * 5 + [True] * 2)

    def test_saturday(self):
        self.assertTrue(is_weekend((2024, 1, 6)))
        self.assertTrue(is_weekend((2024, 1, 7)))
        self.assertFalse(is_weekend((2024, 1, 5)))

    def test_nth(self):
        self.assertEqual(nth_weekday(2024, 11, 3, 4), (2024, 11, 28))

    def test_nth_first(self):
        self.assertEqual(nth_weekday(2024, 1, 0, 1), (2024, 1, 1))
        self.assertEqual(nth_weekday(2024, 1, 6, 1), (2024, 1, 7))

    def test_nth_second(self):
        self.assertEqual(nth_weekday(2024, 5, 6, 2), (2024, 5, 12))

    def test_nth_none(self):
        self.assertIsNone(nth_weekday(2023, 2, 0, 5))
        self.assertIsNone(nth_weekday(2023, 2, 0, 0))

    def test_nth_fifth(self):
        self.assertEqual(nth_weekday(2024, 2, 3, 5), (2024, 2, 29))
        self.assertIsNone(nth_weekday(2024, 2, 4, 5))
        self.assertIsNone(nth_weekday(2024, 2, 3, -1))


class AgeTests(unittest.TestCase):
    def test_before_birthday(self):
        self.assertEqual(age((2000, 6, 15), (2024, 6, 14)), 23)

    def test_on_birthday(self):
        self.assertEqual(age((2000, 6, 15), (2024, 6, 15)), 24)

    def test_after_birthday(self):
        self.assertEqual(age((2000, 6, 15), (2024, 7, 1)), 24)

    def test_earlier_month(self):
        self.assertEqual(age((2000, 6, 15), (2024, 5, 20)), 23)


class ParseTests(unittest.TestCase):
    def test_date(self):
        self.assertEqual(parse("2024-02-29"), (2024, 2, 29))

    def test_another_date(self):
        self.assertEqual(parse("0999-12-01"), (999, 12, 1))

    def test_no_date(self):
        for text in ("2024-02", "a-b-c", "", "2024-1-1-1", "24x-1-1"):
            with self.assertRaisesRegex(ValueError, "not a date"):
                parse(text)

    def test_parts(self):
        for text in ("2024", "2024-x-01", "2024-01-01-01"):
            with self.assertRaisesRegex(ValueError, "not a date"):
                parse(text)

    def test_missing_date(self):
        for text in ("2023-02-29", "2023-13-01", "24-01-01"):
            with self.assertRaisesRegex(ValueError, "no such date"):
                parse(text)

    def test_short_year(self):
        for text in ("999-12-01", "20244-01-01"):
            with self.assertRaisesRegex(ValueError, "no such date"):
                parse(text)


class RangeTests(unittest.TestCase):
    def setUp(self):
        self.march = DateRange((2024, 3, 1), (2024, 3, 31))

    def test_length(self):
        self.assertEqual(len(self.march), 31)

    def test_length_of_one(self):
        self.assertEqual(len(DateRange((2024, 3, 1), (2024, 3, 1))), 1)

    def test_backwards(self):
        with self.assertRaises(ValueError):
            DateRange((2024, 3, 2), (2024, 3, 1))

    def test_backwards_year(self):
        with self.assertRaises(ValueError):
            DateRange((2024, 3, 2), (2023, 3, 2))

    def test_contains(self):
        self.assertIn((2024, 3, 1), self.march)
        self.assertIn((2024, 3, 31), self.march)

    def test_contains_not(self):
        self.assertNotIn((2024, 4, 1), self.march)
        self.assertNotIn((2024, 2, 29), self.march)

    def test_contains_middle_only(self):
        self.assertIn((2024, 3, 15), self.march)
        self.assertNotIn((2023, 3, 15), self.march)
        self.assertNotIn((2025, 3, 15), self.march)

    def test_days(self):
        days = DateRange((2024, 2, 28), (2024, 3, 1)).days()
        self.assertEqual(days, [(2024, 2, 28), (2024, 2, 29), (2024, 3, 1)])

    def test_days_of_one(self):
        self.assertEqual(DateRange((2024, 5, 5), (2024, 5, 5)).days(), [(2024, 5, 5)])

    def test_step(self):
        self.assertEqual([day for _, _, day in self.march.days(7)], [1, 8, 15, 22, 29])

    def test_overlap(self):
        self.assertEqual(self.march.overlap(DateRange((2024, 3, 20), (2024, 4, 9))), 12)

    def test_overlap_of_one(self):
        self.assertEqual(self.march.overlap(DateRange((2024, 3, 31), (2024, 4, 9))), 1)

    def test_no_overlap(self):
        self.assertEqual(self.march.overlap(DateRange((2024, 4, 1), (2024, 4, 9))), 0)
        self.assertEqual(self.march.overlap(DateRange((2024, 4, 5), (2024, 4, 9))), 0)

    def test_workdays(self):
        self.assertEqual(self.march.workdays(), 21)

    def test_workdays_of_week(self):
        self.assertEqual(DateRange((2024, 1, 1), (2024, 1, 7)).workdays(), 5)
