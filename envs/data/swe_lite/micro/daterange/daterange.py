"""Calendar arithmetic on (year, month, day) tuples, without a clock."""

LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def is_leap(year):
    """True for a Gregorian leap year."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def month_length(year, month):
    """Days of a month."""
    if month == 2 and is_leap(year):
        return 29
    return LENGTHS[month - 1]


def is_date(year, month, day):
    """True for a date that exists."""
    if year < 1 or not 1 <= month <= 12:
        return False
    return 1 <= day <= month_length(year, month)


def day_of_year(date):
    """1 for the first of January."""
    year, month, day = date
    return sum(month_length(year, earlier) for earlier in range(1, month)) + day


def to_number(date):
    """Days since the last day before year 1."""
    before = date[0] - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + day_of_year(date)


def from_number(number):
    """Inverse of to_number."""
    year = number // 366 + 1
    while to_number((year + 1, 1, 1)) <= number:
        year += 1
    rest = number - to_number((year, 1, 1)) + 1
    month = 1
    while rest > month_length(year, month):
        rest -= month_length(year, month)
        month += 1
    return (year, month, rest)


def add_days(date, days):
    return from_number(to_number(date) + days)


def add_months(date, months):
    """Same day of a later month, its last day where it is too short."""
    year, month, day = date
    total = year * 12 + (month - 1) + months
    year, month = total // 12, total % 12 + 1
    return (year, month, min(day, month_length(year, month)))


def weekday(date):
    """0 for Monday to 6 for Sunday."""
    return (to_number(date) - 1) % 7


def weekday_name(date):
    return NAMES[weekday(date)]


def is_weekend(date):
    return weekday(date) >= 5


def nth_weekday(year, month, day, count):
    """Date of the count-th given weekday of a month; None where there is none."""
    first = weekday((year, month, 1))
    number = 1 + (day - first) % 7 + (count - 1) * 7
    if count < 1 or number > month_length(year, month):
        return None
    return (year, month, number)


def age(birth, today):
    """Whole years between two dates."""
    years = today[0] - birth[0]
    if today[1:] < birth[1:]:
        years -= 1
    return years


def parse(text):
    """Date of `2024-02-29`; raises ValueError for anything else."""
    parts = text.split("-")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        raise ValueError(f"not a date: {text!r}")
    year, month, day = (int(part) for part in parts)
    if len(parts[0]) != 4 or not is_date(year, month, day):
        raise ValueError(f"no such date: {text!r}")
    return (year, month, day)


class DateRange:
    """Days from `first` to `last`, both inside."""

    def __init__(self, first, last):
        if first > last:
            raise ValueError(f"{first} is after {last}")
        self.first = first
        self.last = last

    def __len__(self):
        return to_number(self.last) - to_number(self.first) + 1

    def __contains__(self, date):
        return self.first <= date <= self.last

    def days(self, step=1):
        """Every step-th day."""
        start, stop = to_number(self.first), to_number(self.last)
        return [from_number(number) for number in range(start, stop + 1, step)]

    def overlap(self, other):
        """Days that two ranges share."""
        first, last = max(self.first, other.first), min(self.last, other.last)
        if first > last:
            return 0
        return to_number(last) - to_number(first) + 1

    def workdays(self):
        """Days that are not on a weekend."""
        return sum(1 for date in self.days() if weekday(date) < 5)
