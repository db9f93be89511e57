"""What daterange gives; expected values stay outside."""

import re

from daterange import (
    DateRange, add_days, add_months, age, day_of_year, from_number, is_date, is_leap, is_weekend,
    month_length, nth_weekday, parse, to_number, weekday, weekday_name,
)
from observe import outcome


def _said(words, function, *arguments):
    """The value of a call or, if it raises, the exception's class and some words of its message."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))[words]


def _march():
    return DateRange((2024, 3, 1), (2024, 3, 31))


def leap_years():
    return [year for year in (1600, 1800, 1900, 2000, *range(2001, 2005), 2023, 2024, 2100) if is_leap(year)]


def lengths_of_months():
    for year in (2023, 2024):
        yield [month_length(year, month) for month in range(1, 13)]


def dates_that_exist():
    dates = [
        (2024, 2, 29), (2023, 2, 29), (2023, 4, 30), (2023, 4, 31), (2023, 4, 0), (2023, 1, 1),
        (2023, 12, 1), (2023, 0, 1), (2023, 13, 1),
    ]
    yield [date for date in dates if is_date(*date)]
    yield [year for year in (-1, 0, 1, 2) if is_date(year, 1, 1)]
    yield [month for month in (0, 1, 12, 13) if is_date(2, month, 2)]
    yield [day for day in (0, 1, 28, 29) if is_date(2, 2, day)]


def days_of_years():
    for date in ((2023, 1, 1), (2023, 3, 1), (2024, 3, 1), (2024, 12, 31), (2019, 8, 17)):
        yield outcome(day_of_year, date)


def numbers_of_dates():
    for date in ((1, 1, 1), (1970, 1, 1), (2024, 2, 29), (1600, 3, 1), (1999, 12, 31), (400, 7, 9)):
        yield outcome(to_number, date)


def dates_of_numbers():
    for number in (719500, 738001, 1, 59, 60, 365, 366, 367, 1461, 146097, 146098):
        yield outcome(from_number, number)


def dates_some_days_away():
    for date, days in (
        ((2024, 2, 28), 2), ((2023, 1, 1), -1), ((2023, 6, 30), 0), ((2023, 12, 31), 1),
        ((2025, 1, 1), -1), ((2020, 5, 17), 1000),
    ):
        yield outcome(add_days, date, days)


def dates_some_months_away():
    for date, months in (
        ((2023, 11, 5), 3), ((2023, 1, 31), 1), ((2024, 1, 30), 1), ((2023, 11, 30), 1),
        ((2023, 1, 15), -1), ((2023, 5, 1), 12), ((2022, 8, 31), 18),
    ):
        yield outcome(add_months, date, months)


def weekdays():
    for date in ((2024, 1, 1), (1970, 1, 1), (2024, 2, 29), (2023, 12, 31), (1, 1, 1)):
        yield outcome(weekday, date)
    for date in ((2024, 2, 29), (2023, 12, 31), (2000, 1, 1), (1969, 7, 16)):
        yield outcome(weekday_name, date)


def weekends():
    return [day for day in range(1, 15) if is_weekend((2024, 1, day))]


def weekdays_of_months():
    for year, month, day, count in (
        (2024, 11, 3, 4), (2024, 1, 0, 1), (2024, 1, 6, 1), (2024, 5, 6, 2), (2024, 2, 3, 5),
        (2023, 2, 0, 5), (2023, 2, 0, 0), (2024, 2, 4, 5), (2024, 2, 3, -1), (2025, 9, 1, 3),
    ):
        yield outcome(nth_weekday, year, month, day, count)


def ages():
    for birth, today in (
        ((2000, 6, 15), (2024, 6, 14)), ((2000, 6, 15), (2024, 6, 15)), ((2000, 6, 15), (2024, 7, 1)),
        ((2000, 6, 15), (2024, 5, 20)),
    ):
        yield outcome(age, birth, today)


def dates_of_texts():
    for text in (
        "2024-02-29", "0999-12-01", "2021-07-08", "2024-02", "a-b-c", "", "2024-1-1-1", "24x-1-1", "2024",
        "2024-x-01", "2024-01-01-01", "2023-02-29", "2023-13-01", "24-01-01", "999-12-01", "20244-01-01",
    ):
        yield _said(slice(3), parse, text)


def lengths_of_ranges():
    for first, last in (
        ((2024, 3, 1), (2024, 3, 31)), ((2024, 3, 1), (2024, 3, 1)), ((2019, 12, 30), (2021, 1, 2)),
        ((2024, 3, 2), (2024, 3, 1)), ((2024, 3, 2), (2023, 3, 2)),
    ):
        yield outcome(lambda: len(DateRange(first, last)))


def dates_inside_of_a_range():
    dates = [
        (2024, 3, 1), (2024, 3, 31), (2024, 3, 15), (2024, 4, 1), (2024, 2, 29), (2023, 3, 15), (2025, 3, 15),
    ]
    return [date for date in dates if date in _march()]


def days_of_ranges():
    yield DateRange((2024, 2, 28), (2024, 3, 1)).days()
    yield DateRange((2024, 5, 5), (2024, 5, 5)).days()
    yield _march().days(7)


def shared_days():
    for first, last in (
        ((2024, 3, 20), (2024, 4, 9)), ((2024, 3, 31), (2024, 4, 9)), ((2024, 4, 1), (2024, 4, 9)),
        ((2024, 4, 5), (2024, 4, 9)),
    ):
        yield _march().overlap(DateRange(first, last))


def workdays_of_ranges():
    yield _march().workdays()
    yield DateRange((2024, 1, 1), (2024, 1, 7)).workdays()
