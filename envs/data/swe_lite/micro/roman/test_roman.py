import unittest

from roman import from_base, from_roman, grouped, ordinal, roman_value, to_base, to_roman, words


class RomanTests(unittest.TestCase):
    def test_single_letters(self):
        numbers = (1, 5, 10, 50, 100, 500, 1000)
        self.assertEqual("".join(map(to_roman, numbers)), "IVXLCDM")

    def test_repeats(self):
        self.assertEqual([to_roman(n) for n in (3, 30, 300, 3000)], ["III", "XXX", "CCC", "MMM"])

    def test_subtractive(self):
        self.assertEqual([to_roman(n) for n in (4, 9, 40, 90)], ["IV", "IX", "XL", "XC"])

    def test_years(self):
        self.assertEqual(to_roman(1994), "MCMXCIV")
        self.assertEqual(to_roman(2024), "MMXXIV")

    def test_limits(self):
        self.assertEqual(to_roman(3999), "MMMCMXCIX")
        self.assertEqual(to_roman(1), "I")

    def test_zero_and_below(self):
        for number in (0, -1):
            with self.assertRaises(ValueError):
                to_roman(number)

    def test_zero(self):
        with self.assertRaises(ValueError):
            to_roman(0)

    def test_too_large(self):
        for number in (4000, 5000):
            with self.assertRaises(ValueError):
                to_roman(number)

    def test_just_too_large(self):
        with self.assertRaises(ValueError):
            to_roman(4000)

    def test_value(self):
        self.assertEqual(roman_value("XIV"), 14)
        self.assertEqual(roman_value("VI"), 6)

    def test_value_of_equal_letters(self):
        self.assertEqual(roman_value("III"), 3)
        self.assertEqual(roman_value("XX"), 20)

    def test_value_of_subtraction(self):
        self.assertEqual([roman_value(t) for t in ("IX", "XC", "CD")], [9, 90, 400])

    def test_value_of_long(self):
        self.assertEqual(roman_value("MCMXCIV"), 1994)

    def test_parse(self):
        self.assertEqual(from_roman("MMXXIV"), 2024)

    def test_parse_lower(self):
        self.assertEqual(from_roman("xlii"), 42)

    def test_round_trip(self):
        for number in (1, 8, 19, 44, 99, 444, 1666, 3999):
            self.assertEqual(from_roman(to_roman(number)), number)

    def test_round_trip_of_all_small(self):
        for number in range(1, 60):
            self.assertEqual(from_roman(to_roman(number)), number)

    def test_malformed(self):
        for text in ("IIII", "VX", "IC", "LL"):
            with self.assertRaises(ValueError):
                from_roman(text)

    def test_malformed_order(self):
        for text in ("IM", "XXXX", "MMMM"):
            with self.assertRaises(ValueError):
                from_roman(text)

    def test_foreign(self):
        for text in ("", "ABC", "X1"):
            with self.assertRaises(ValueError):
                from_roman(text)

    def test_empty(self):
        with self.assertRaises(ValueError):
            from_roman("")


class BaseTests(unittest.TestCase):
    def test_binary(self):
        self.assertEqual([to_base(n, 2) for n in (1, 2, 5, 8)], ["1", "10", "101", "1000"])

    def test_hexadecimal(self):
        self.assertEqual(to_base(255, 16), "ff")
        self.assertEqual(to_base(4096, 16), "1000")

    def test_base_36(self):
        self.assertEqual(to_base(35, 36), "z")
        self.assertEqual(from_base("zz", 36), 1295)

    def test_zero(self):
        self.assertEqual(to_base(0, 7), "0")

    def test_zero_in_two(self):
        self.assertEqual(to_base(0, 2), "0")
        self.assertEqual(to_base(1, 2), "1")

    def test_negative(self):
        self.assertEqual(to_base(-10, 3), "-101")

    def test_negative_one(self):
        self.assertEqual(to_base(-1, 10), "-1")
        self.assertEqual(to_base(-35, 36), "-z")

    def test_bad_bases(self):
        for base in (1, 0, 37, 40):
            with self.assertRaises(ValueError):
                to_base(5, base)

    def test_edge_bases(self):
        for base in (1, 37):
            with self.assertRaises(ValueError):
                to_base(5, base)
        self.assertEqual(to_base(3, 2), "11")

    def test_parse(self):
        self.assertEqual(from_base("101", 2), 5)
        self.assertEqual(from_base("ff", 16), 255)

    def test_parse_upper(self):
        self.assertEqual(from_base("FF", 16), 255)

    def test_parse_negative(self):
        self.assertEqual(from_base("-101", 3), -10)

    def test_parse_minus_one(self):
        self.assertEqual(from_base("-1", 8), -1)
        self.assertEqual(from_base("-z", 36), -35)

    def test_parse_foreign_digit(self):
        with self.assertRaises(ValueError):
            from_base("102", 2)

    def test_parse_digit_of_base(self):
        with self.assertRaises(ValueError):
            from_base("8", 8)
        self.assertEqual(from_base("7", 8), 7)

    def test_round_trip(self):
        for base in (2, 3, 10, 16, 36):
            for number in (-70, -1, 0, 1, 36, 1000):
                self.assertEqual(from_base(to_base(number, base), base), number)


class EnglishTests(unittest.TestCase):
    def test_ordinals(self):
        self.assertEqual([ordinal(n) for n in (1, 2, 3, 4)], ["1st", "2nd", "3rd", "4th"])

    def test_teens(self):
        self.assertEqual([ordinal(n) for n in (11, 12, 13)], ["11th", "12th", "13th"])

    def test_around_teens(self):
        self.assertEqual([ordinal(n) for n in (10, 14, 20)], ["10th", "14th", "20th"])

    def test_after_twenty(self):
        self.assertEqual([ordinal(n) for n in (21, 22, 23)], ["21st", "22nd", "23rd"])

    def test_hundreds(self):
        self.assertEqual([ordinal(n) for n in (101, 111, 113, 122)], ["101st", "111th", "113th", "122nd"])

    def test_thousand(self):
        self.assertEqual([ordinal(n) for n in (1001, 1011, 1003)], ["1001st", "1011th", "1003rd"])

    def test_small_words(self):
        self.assertEqual([words(n) for n in (0, 7, 13, 19)], ["zero", "seven", "thirteen", "nineteen"])

    def test_tens(self):
        self.assertEqual([words(n) for n in (20, 21, 90)], ["twenty", "twenty-one", "ninety"])

    def test_two_digits(self):
        self.assertEqual([words(n) for n in (30, 45, 99)], ["thirty", "forty-five", "ninety-nine"])

    def test_hundred(self):
        self.assertEqual(words(100), "one hundred")
        self.assertEqual(words(342), "three hundred and forty-two")

    def test_hundreds_words(self):
        self.assertEqual(words(900), "nine hundred")
        self.assertEqual(words(101), "one hundred and one")
        self.assertEqual(words(999), "nine hundred and ninety-nine")

    def test_thousands(self):
        self.assertEqual(words(1000), "one thousand")
        self.assertEqual(words(2345), "two thousand three hundred and forty-five")

    def test_thousand_and(self):
        self.assertEqual(words(1001), "one thousand and one")
        self.assertEqual(words(1100), "one thousand one hundred")

    def test_many_thousands(self):
        self.assertEqual(words(21000), "twenty-one thousand")
        self.assertEqual(words(7099), "seven thousand and ninety-nine")
        self.assertEqual(words(7100), "seven thousand one hundred")

    def test_grouped(self):
        self.assertEqual(grouped(1234567), "1,234,567")
        self.assertEqual(grouped(999), "999")

    def test_grouped_edges(self):
        self.assertEqual([grouped(n) for n in (0, 1000, 100000)], ["0", "1,000", "100,000"])

    def test_grouped_negative(self):
        self.assertEqual(grouped(-1234), "-1,234")

    def test_grouped_otherwise(self):
        self.assertEqual(grouped(12345678, size=4, separator="_"), "1234_5678")
        self.assertEqual(grouped(-5), "-5")
        self.assertEqual(grouped(0, size=1), "0")
