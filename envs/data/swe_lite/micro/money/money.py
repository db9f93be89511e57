"""Amounts in whole cents: parsing, printing, sharing, interest."""


def gcd(a, b):
    """Greatest common divisor, never negative."""
    while b != 0:
        a, b = b, a % b
    return abs(a)


def reduced(numerator, denominator):
    """Fraction in lowest terms with a positive denominator."""
    if denominator == 0:
        raise ValueError("denominator is zero")
    divisor = gcd(numerator, denominator)
    if denominator < 0:
        divisor = -divisor
    return (numerator // divisor, denominator // divisor)


def mixed(numerator, denominator):
    """Text such as `2 1/3`, `-1/2` or `4`."""
    top, bottom = reduced(numerator, denominator)
    sign = "-" if top < 0 else ""
    whole, rest = abs(top) // bottom, abs(top) % bottom
    if rest == 0:
        return f"{sign}{whole}"
    if whole == 0:
        return f"{sign}{rest}/{bottom}"
    return f"{sign}{whole} {rest}/{bottom}"


def round_half_even(numerator, denominator):
    """Nearest whole number; halves go to the even one. The denominator is positive."""
    whole, rest = numerator // denominator, numerator % denominator
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1):
        return whole + 1
    return whole


def parse(text):
    """Cents of `-1,234.5`."""
    sign = -1 if text[:1] == "-" else 1
    digits = text.lstrip("-").replace(",", "")
    units, dot, cents = digits.partition(".")
    if not units.isdigit() or len(cents) > 2 or (dot == "." and not cents.isdigit()):
        raise ValueError(f"not an amount: {text!r}")
    return sign * (int(units) * 100 + int(cents.ljust(2, "0")))


def show(cents, symbol=""):
    """Text of an amount, with commas."""
    units, rest = abs(cents) // 100, abs(cents) % 100
    sign = "-" if cents < 0 else ""
    return f"{sign}{symbol}{units:,}.{rest:02d}"


def split(cents, people):
    """Shares that differ by at most one cent, the larger ones first."""
    if people < 1:
        raise ValueError(f"people must be at least 1, got {people}")
    share, rest = cents // people, cents % people
    return [share + 1 if index < rest else share for index in range(people)]


def allocate(cents, weights):
    """Shares by weight that add up exactly; left-over cents go to the first."""
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError(f"weights must be positive, got {weights}")
    shares = [cents * weight // total for weight in weights]
    missing = cents - sum(shares)
    for index in range(missing):
        shares[index] += 1
    return shares


def percent(cents, rate):
    """A whole percentage of an amount, rounded half to even."""
    return round_half_even(cents * rate, 100)


def with_tax(cents, rate):
    return cents + percent(cents, rate)


def discount(cents, rate, least=0):
    """The amount less a percentage, from `least` cents on."""
    if cents < least:
        return cents
    return cents - percent(cents, rate)


def compound(cents, rate, years):
    """The amount after yearly interest, rounded each year."""
    for _ in range(years):
        cents = cents + percent(cents, rate)
    return cents


def years_to(cents, goal, rate):
    """Years of interest until the goal is reached; None where it never is."""
    years = 0
    while cents < goal:
        grown = cents + percent(cents, rate)
        if grown <= cents:
            return None
        cents = grown
        years += 1
    return years


def change(cents, coins=(200, 100, 50, 20, 10, 5, 2, 1)):
    """Fewest coins, largest first; raises ValueError where they do not fit."""
    if cents < 0:
        raise ValueError(f"amount must not be negative, got {cents}")
    given = []
    for coin in coins:
        while cents >= coin:
            given.append(coin)
            cents -= coin
    if cents != 0:
        raise ValueError(f"{cents} cents are left")
    return given


def ways(cents, coins):
    """In how many ways coins make an amount."""
    counts = [1] + [0] * cents
    for coin in coins:
        for amount in range(coin, cents + 1):
            counts[amount] += counts[amount - coin]
    return counts[cents]


def settle(balances):
    """Payments (from, to, cents) after which all balances are zero."""
    debtors = sorted((cents, name) for name, cents in balances.items() if cents < 0)
    lenders = sorted(((-cents, name) for name, cents in balances.items() if cents > 0))
    payments = []
    i = j = 0
    while i < len(debtors) and j < len(lenders):
        debt, debtor = debtors[i]
        credit, lender = lenders[j]
        paid = min(-debt, -credit)
        payments.append((debtor, lender, paid))
        debtors[i], lenders[j] = (debt + paid, debtor), (credit + paid, lender)
        i += 1 if debt + paid == 0 else 0
        j += 1 if credit + paid == 0 else 0
    return payments
