"""Numerals of several cultures: Roman, any base, English ordinals and words."""

ROMAN = [
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
]
VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def to_roman(number):
    """Roman numeral of 1..3999."""
    if number < 1 or number > 3999:
        raise ValueError(f"no Roman numeral for {number}")
    letters = []
    for value, letter in ROMAN:
        while number >= value:
            letters.append(letter)
            number -= value
    return "".join(letters)


def roman_value(text):
    """Number that a Roman numeral adds up to, well-formed or not."""
    total = 0
    for index, letter in enumerate(text):
        value = VALUES[letter]
        following = VALUES[text[index + 1]] if index + 1 < len(text) else 0
        if value < following:
            total -= value
        else:
            total += value
    return total


def from_roman(text):
    """Number of a well-formed Roman numeral, in either case."""
    upper = text.upper()
    if not upper or any(letter not in VALUES for letter in upper):
        raise ValueError(f"not a Roman numeral: {text!r}")
    number = roman_value(upper)
    if number > 3999 or to_roman(number) != upper:
        raise ValueError(f"not a Roman numeral: {text!r}")
    return number


def to_base(number, base):
    """Digits of an integer in base 2..36."""
    if base < 2 or base > 36:
        raise ValueError(f"base must be 2 to 36, got {base}")
    if number == 0:
        return "0"
    digits = []
    rest = abs(number)
    while rest > 0:
        digits.append(DIGITS[rest % base])
        rest //= base
    if number < 0:
        digits.append("-")
    return "".join(reversed(digits))


def from_base(text, base):
    """Integer of digits in base 2..36."""
    sign = -1 if text[:1] == "-" else 1
    digits = text[1:] if sign == -1 else text
    number = 0
    for digit in digits.lower():
        value = DIGITS.index(digit)
        if value >= base:
            raise ValueError(f"{digit!r} is no digit of base {base}")
        number = number * base + value
    return sign * number


def ordinal(number):
    """English ordinal: 1st, 2nd, 3rd, 4th, 11th, 21st."""
    if 10 < number % 100 < 14:
        return f"{number}th"
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def words(number):
    """English words of 0..999999."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return TENS[tens] if rest == 0 else f"{TENS[tens]}-{ONES[rest]}"
    if number < 1000:
        hundreds, rest = number // 100, number % 100
        head = f"{ONES[hundreds]} hundred"
        return head if rest == 0 else f"{head} and {words(rest)}"
    thousands, rest = number // 1000, number % 1000
    head = f"{words(thousands)} thousand"
    if rest == 0:
        return head
    return f"{head} and {words(rest)}" if rest < 100 else f"{head} {words(rest)}"


def grouped(number, size=3, separator=","):
    """Digits of a whole number in groups from the right."""
    text = str(abs(number))
    groups = []
    while len(text) > size:
        groups.append(text[-size:])
        text = text[:-size]
    groups.append(text)
    sign = "-" if number < 0 else ""
    return sign + separator.join(reversed(groups))
