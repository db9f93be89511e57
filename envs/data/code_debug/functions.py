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
