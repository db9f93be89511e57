"""What roman gives; expected values stay outside."""

from observe import outcome
from roman import from_base, from_roman, grouped, ordinal, roman_value, to_base, to_roman, words


def roman_numerals():
    for number in (
        1, 5, 10, 50, 100, 500, 1000, 3, 30, 300, 3000, 4, 9, 40, 90, 1994, 2024, 3999, 8, 19, 44, 99, 444,
        1666, 0, -1, 4000, 5000,
    ):
        yield outcome(to_roman, number)


def small_roman_numerals():
    for number in range(1, 60):
        yield outcome(to_roman, number)


def values_of_letters():
    for text in ("XIV", "VI", "III", "XX", "IX", "XC", "CD", "MCDLXXVI", "DCCXCIX"):
        yield outcome(roman_value, text)


def numbers_of_roman_numerals():
    for text in ("MMXIX", "xlvii", "CCLXIV", "dcccxcviii", "MMMDXXXII", "mcmlxxxiv", "LXXVI", "CDLV"):
        yield outcome(from_roman, text)


def roman_numerals_that_are_wrong():
    for text in ("IIII", "VX", "IC", "LL", "IM", "XXXX", "MMMM", "", "ABC", "X1"):
        yield outcome(from_roman, text)


def digits_in_bases():
    for number, base in (
        (1, 2), (2, 2), (5, 2), (8, 2), (255, 16), (4096, 16), (35, 36), (0, 7), (0, 2), (-10, 3), (-1, 10),
        (-35, 36), (3, 2), (-70, 2), (1000, 3), (36, 10), (-70, 16), (1000, 36), (987654321, 36),
    ):
        yield outcome(to_base, number, base)


def bases_that_are_wrong():
    for base in (1, 0, 37, 40):
        yield outcome(to_base, 5, base)


def numbers_of_digits():
    for text, base in (
        ("1101", 2), ("fe", 16), ("FE", 16), ("zy", 36), ("-102", 3), ("-1", 8), ("-y", 36), ("7", 8),
        ("-1011101", 2), ("Cafe", 16), ("-2020", 10), ("1", 2), ("0", 5), ("102", 2), ("8", 8),
    ):
        yield outcome(from_base, text, base)


def ordinals():
    for number in (
        *range(1, 5), *range(10, 15), *range(20, 24), 101, 111, 113, 122, 1001, 1011, 1003,
    ):
        yield outcome(ordinal, number)


def english_words():
    for number in (
        0, 7, 13, 19, 20, 21, 90, 30, 45, 99, 100, 342, 900, 101, 999, 1000, 2345, 1001, 1100, 21000, 7099,
        7100, 58, 616, 840512,
    ):
        yield outcome(words, number)


def grouped_digits():
    for number in (1234567, 999, 0, 1000, 100000, -1234, -5, -987654):
        yield outcome(grouped, number)
    yield outcome(grouped, 12345678, size=4, separator="_")
    yield outcome(grouped, 0, size=1)
    yield outcome(grouped, -31415, size=2, separator=" ")
