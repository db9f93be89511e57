"""Small functions of our own, with calls of them and what these return: `code_debug` breaks them.

In a template K and J stand for constants, V and R for names that say nothing. A parameter's name
says what it is called with (see `_argument`).
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
import sys
from dataclasses import dataclass
from functools import cache
from random import Random
from types import FrameType
from typing import Any

__all__ = ["OWNERS", "Snippet", "outcomes", "owner", "snippets"]

OWNERS = ("train",) * 10 + ("id",) * 3 + ("ood/difficulty",) * 3 + ("ood/composition",) * 4
"""Which split owns a snippet, by the hash of its key modulo 20."""
TIMED_OUT = "does not end"
_CONSTANTS = {"K": (2, 3, 4, 5, 6, 7), "J": (1, 2, 3, 5, 8, 9)}
_VERSIONS = 12
_CALLS, _DRAWS = 14, 60
_CALL_CHARS, _VALUE_CHARS = 44, 30
_MOST_LINES, _LARGEST = 1000, 10**15
_RAISED = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
_WORDS = ("red", "Blue", "green", "sky", "Oak", "pine", "42", "7", "level", "noon", "a", "tea")
_TEXTS = ("aabbc", "Hello you", "a-b-c", "x1y22", "noon", "  pad ", "Tea time", "AbBa", "k=v=w")

_TEMPLATES = """
def count_above(numbers):
    R = 0
    for V in numbers:
        if V > K:
            R += J
    return R

def sum_multiples(n):
    R = 0
    for V in range(n + 1):
        if V % K == 0:
            R += V * J
    return R

def digit_sum(n):
    R = 0
    while n > 0:
        R += n % 10
        n = n // 10
    return R * K

def steps_down(n):
    R = 0
    while n > 1:
        if n % K == 0:
            n = n // K
        else:
            n -= 1
        R += 1
    return R

def common(n, m):
    while m != 0:
        R = n % m
        n = m
        m = R
    return n * K

def clamp_all(numbers):
    R = []
    for V in numbers:
        V = min(V, 2 * K)
        V = max(V, J - 3)
        R.append(V)
    return R

def spread(numbers):
    R = max(numbers)
    V = min(numbers)
    if R - V > K:
        return R - V
    return 0

def longest(words):
    R = ""
    for V in words:
        if len(V) > len(R) and len(V) < K + 2:
            R = V
    return R.upper()

def initials(words):
    R = ""
    for V in words:
        if len(V) >= K - 1:
            R += V[0:1].upper()
    return R

def tails(words):
    R = []
    for V in words:
        if not V.isdigit():
            R.append(V[1:].lower())
    return R

def shift_left(numbers):
    R = K % len(numbers)
    V = numbers[R:]
    V.extend(numbers[:R])
    return V

def every_second(numbers):
    R = []
    for V in range(len(numbers)):
        if V % 2 == 1:
            R.append(numbers[V] + K)
    return R

def pair_sums(numbers):
    R = []
    for V in range(len(numbers) - 1):
        R.append(numbers[V] + numbers[V + 1] - J)
    return R

def rises(numbers):
    R = 0
    for V in range(1, len(numbers)):
        if numbers[V] > numbers[V - 1] + J:
            R += 1
    return R

def running(numbers):
    R = []
    V = J
    for number in numbers:
        V += number
        R.append(V)
    return R

def weighted(numbers):
    R = 0
    for place, V in enumerate(numbers):
        if V < 0:
            continue
        R += (place + J) * V
    return R

def first_over(numbers):
    for place, V in enumerate(numbers):
        if V >= 2 * K:
            return place
    return -1

def until_negative(numbers):
    R = 0
    for V in numbers:
        if V < 0:
            break
        R += V * K
    return R

def squeeze(text):
    R = ""
    for V in text:
        if not R.endswith(V):
            R += V
    return R.strip()

def count_vowels(text):
    R = 0
    for V in text.lower():
        if V in "aeiou":
            R += K
    return R

def caesar(word):
    R = ""
    for V in word.lower():
        place = (ord(V) - 97 + K) % 26
        R += chr(place + 97)
    return R

def is_mirror(word):
    R = word.lower()
    for V in range(len(R) // 2):
        if R[V] != R[len(R) - 1 - V]:
            return False
    return True

def parts(text):
    R = text.strip().split("-")
    V = len(R)
    if V > 1 and len(R[0]) < K:
        return R[1:]
    return R[:V]

def halves(text):
    R = len(text) // 2
    V = text[:R].upper()
    return V + "|" + text[R:].lower()

def before_last(text):
    R = text.rfind("=")
    V = text.find("=")
    if R == V:
        return text[:K]
    return text[V:R]

def key_of(text):
    R = text.strip().partition("=")
    if R[1] == "":
        return R[0].lower()
    return R[0] + R[2][:J]

def numbers_in(words):
    R = []
    for V in words:
        try:
            R.append(int(V) + K)
        except ValueError:
            R.append(len(V))
    return R

def safe_ratio(n, m):
    try:
        R = n * K // (m - J)
    except ZeroDivisionError:
        return 0
    return R - 1

def lookup(table, word):
    try:
        R = table[word] * K
    except KeyError:
        R = len(word)
    return R + J

def total_of(table):
    R = 0
    for word, V in table.items():
        if len(word) > 2 or V > J:
            R += V
    return R

def best_key(table):
    R = ""
    for word in sorted(table.keys()):
        if table[word] > table.get(R, K):
            R = word
    return R

def inverted(table):
    R = {}
    for word, V in table.items():
        if V >= J and word not in R:
            R[V] = word
    return R

def tally(words):
    R = {}
    for V in words:
        size = min(len(V), K)
        R[size] = R.get(size, 0) + 1
    return R

def unique(numbers):
    R = []
    for V in numbers:
        V = V % (K + 1)
        if V not in R:
            R.append(V)
    return sorted(R)

def top(numbers):
    R = sorted(numbers)
    V = len(R) - K
    if V < 0:
        V = 0
    return R[V:]

def middle(numbers):
    R = sorted(numbers)
    V = len(R) // 2
    if len(R) % 2 == 0:
        return R[V - 1] + K
    return R[V] - J

def all_within(numbers):
    R = all(V < 3 * K for V in numbers)
    if R and any(V > J for V in numbers):
        return "some"
    return "none" if R else "over"

def grid_total(grid):
    R = 0
    for row in grid:
        for V in row:
            if V > J or V < 0:
                R += V
    return R

def diagonal(grid):
    R = []
    for V in range(min(len(grid), len(grid[0]))):
        R.append(grid[V][V] * K)
    return R

def column_tops(grid):
    R = []
    for V in range(len(grid[0])):
        R.append(max(row[V] for row in grid) - J)
    return R

def flatten(grid):
    R = []
    for row in grid:
        R.extend(row[:K])
        R.append(sum(row) + J)
    return R

def fibonacci(m):
    R = J
    V = K
    for _ in range(m):
        R, V = V, R + V
    return R

def power_mod(n, m):
    R = 1
    for V in range(m):
        R = R * n % (10 * K + J)
    return R

def divisors(n):
    R = []
    for V in range(1, n + 1):
        if n % V == 0 and V != K:
            R.append(V)
    return R

def is_prime_like(n):
    if n < K:
        return False
    for V in range(2, n):
        if n % V == 0 and V != J:
            return False
    return True

def change(n):
    R = []
    for V in (10, K, 1):
        R.append(n // V)
        n = n % V
    return R

def grade(n):
    if n >= 4 * K:
        return "high"
    if n > K + J or n == 1:
        return "middle"
    return "low"

def fare(n, m):
    R = K + n * J
    if m < 4 or n > 20:
        R = R // 2
    if m >= 10:
        R -= 1
    return R

def padded(word):
    R = word.strip().upper()
    while len(R) < K + 3:
        R = R + "."
    return R[:K + 2]

def zigzag(word):
    R = ""
    for place, V in enumerate(word):
        if place % 2 == 0:
            R += V.upper()
        else:
            R += V.lower()
    return R

def chunks(numbers):
    R = []
    for V in range(0, len(numbers), K):
        R.append(sum(numbers[V:V + K]) - J)
    return R

def merge_words(words):
    R = []
    for V in words:
        if V.startswith(("a", "t")) or V.isdigit():
            R.append(V)
        elif len(V) > K:
            R.append(V[:J].upper())
    return "-".join(R)
"""


@dataclass(frozen=True)
class Snippet:
    """A right function, and calls of it.

    | field | meaning |
    |---|---|
    | key | name and constants; nothing else shares it |
    | code | source, whose names V and R are open |
    | calls | expressions, none twice |
    | values | what each gives, as `repr` writes it |
    """

    key: str
    code: str
    calls: tuple[str, ...]
    values: tuple[str, ...]


def owner(key: str) -> str:
    """The only split whose scripts hold the snippet."""
    return OWNERS[int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(OWNERS)]


@cache
def snippets(split: str) -> tuple[Snippet, ...]:
    """Every snippet that a split owns, in the templates' order."""
    found = (one for text in _TEMPLATES.strip().split("\n\n") for one in _versions(text, split))
    return tuple(one for one in found if len(one.calls) == _CALLS)


def outcomes(code: str, calls: tuple[str, ...]) -> tuple[str, ...]:
    """What each call gives, `raises <exception>` or `does not end`; for our own code only."""
    space: dict[str, Any] = {}
    exec(compile(code, "snippet", "exec"), space)
    return tuple(_outcome(call, space, "while" in code) for call in calls)


def _versions(template: str, split: str) -> list[Snippet]:
    name = template[4 : template.index("(")]
    holes = [hole for hole in _CONSTANTS if re.search(rf"\b{hole}\b", template)]
    every = list(itertools.product(*(_CONSTANTS[hole] for hole in holes)))
    chosen = Random(name).sample(every, min(_VERSIONS, len(every)))
    found: list[Snippet] = []
    for values in chosen:
        key = "-".join([name, *map(str, values)])
        code = template.strip()
        for hole, value in zip(holes, values, strict=True):
            code = re.sub(rf"\b{hole}\b", str(value), code)
        if owner(key) == split:
            found.append(Snippet(key, code, *_called(key, name, code)))
    return found


def _called(key: str, name: str, code: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rng = Random(key)
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef)
    parameters = [argument.arg for argument in function.args.args]
    drawn = dict.fromkeys(
        f"{name}({', '.join(repr(_argument(one, rng)) for one in parameters)})"
        for _ in range(_DRAWS)
    )
    calls = tuple(call for call in drawn if len(call) <= _CALL_CHARS)
    pairs = [
        (call, value)
        for call, value in zip(calls, outcomes(code, calls), strict=True)
        if len(value) <= _VALUE_CHARS and not value.startswith("raises") and value != TIMED_OUT
    ][:_CALLS]
    return tuple(call for call, _ in pairs), tuple(value for _, value in pairs)


def _argument(name: str, rng: Random) -> Any:
    """A value for a parameter of that name."""
    if name == "numbers":
        return [rng.randint(-6, 20) for _ in range(rng.randint(4, 6))]
    if name == "grid":
        width = rng.randint(2, 3)
        return [[rng.randint(-3, 9) for _ in range(width)] for _ in range(rng.randint(2, 3))]
    if name == "words":
        return rng.sample(_WORDS, 4)
    if name == "word":
        letters = rng.choices("abcdxyz", k=rng.randint(2, 4))
        return rng.choice([*(w for w in _WORDS if w.isalpha()), "".join(letters)])
    if name == "text":
        cut = rng.randint(0, 2)
        return rng.choice(_TEXTS)[cut:] + rng.choice(("", "-e", "=z", "oo", " Q"))
    if name == "table":
        return {word: rng.randint(0, 12) for word in rng.sample(_WORDS, 3)}
    return rng.randint(*{"n": (0, 40), "m": (1, 12)}[name])


def _outcome(call: str, space: dict[str, Any], loops: bool) -> str:
    lines = 0

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        # A product that grows in a loop takes forever in few lines.
        large = any(isinstance(one, int) and one > _LARGEST for one in frame.f_locals.values())
        if large or lines > _MOST_LINES:
            raise TimeoutError
        return count

    before = sys.gettrace()
    try:
        if loops:
            sys.settrace(count)
        return repr(eval(call, space))
    except TimeoutError:
        return TIMED_OUT
    except (*_RAISED, NameError) as error:
        return f"raises {type(error).__name__}"
    finally:
        sys.settrace(before)
