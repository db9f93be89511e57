"""What intervals gives; expected values stay outside."""

from intervals import IntervalSet, is_valid, normalize, overlaps, touches

_PAIRS = [
    ((0, 10), (3, 4)), ((3, 4), (0, 10)), ((1, 4), (1, 4)), ((0, 2), (2, 4)), ((2, 4), (0, 2)),
    ((0, 2), (5, 9)), ((5, 9), (0, 2)), ((0, 2), (3, 4)), ((3, 4), (0, 2)), ((1, 2), (1, 2)),
    ((0, 9), (3, 4)), ((10, 12), (0, 9)), ((0, 9), (10, 12)), ((0, 10), (10, 12)), ((10, 12), (0, 10)),
]
_SMALL = [(start, stop) for start in range(4) for stop in range(start + 1, 5)]


def _numbers():
    return IntervalSet([(0, 3), (5, 7), (10, 20)])


def valid_pairs():
    return [pair for pair in ((1, 2), (2, 2), (3, 2), (-5, 3), (3, -5), (0, 0)) if is_valid(pair)]


def pairs_that_overlap():
    yield [pair for pair in _PAIRS if overlaps(*pair)]
    for left in _SMALL:
        yield [right for right in _SMALL if overlaps(left, right)]


def pairs_that_touch():
    yield [pair for pair in _PAIRS if touches(*pair)]
    for left in _SMALL:
        yield [right for right in _SMALL if touches(left, right)]


def normal_lists():
    for intervals in (
        [(5, 6), (1, 2)], [(1, 4), (3, 6)], [(1, 3), (3, 6)], [(1, 3), (4, 6)], [(1, 9), (3, 4)],
        [(3, 3), (5, 4), (7, 8)], [(2, 2), (9, 1)], [(8, 9), (0, 2), (1, 3), (5, 8)],
    ):
        yield normalize(intervals)


def numbers_inside():
    yield [number for number in range(-3, 25) if number in _numbers()]
    for intervals in ([(4, 5)], [(-2, 0), (1, 2), (3, 5), (6, 9), (11, 12)], []):
        numbers = IntervalSet(intervals)
        yield [number for number in range(-3, 14) if number in numbers]


def lengths():
    for intervals in ([(0, 3), (5, 7), (10, 20)], [(4, 9)], []):
        yield len(IntervalSet(intervals))


def numbers_one_by_one():
    yield list(IntervalSet([(0, 2), (4, 6)]))
    yield list(_numbers())


def equal_sets():
    lists = [[(0, 2), (2, 4)], [(0, 4)], [(0, 2)], [(0, 3)]]
    for one in lists:
        yield [other for other in lists if IntervalSet(one) == IntervalSet(other)]


def added():
    numbers = _numbers()
    numbers.add(3, 5)
    yield numbers.intervals
    numbers.add(25, 30)
    yield numbers.intervals


def removed():
    for start, stop in ((12, 15), (1, 6), (5, 7), (7, 10), (0, 20), (15, 99), (-4, 2)):
        numbers = _numbers()
        numbers.remove(start, stop)
        yield numbers.intervals


def removed_twice():
    numbers = _numbers()
    numbers.remove(15, 99)
    numbers.remove(-4, 2)
    return numbers.intervals


def unions():
    yield _numbers().union(IntervalSet([(2, 12)])).intervals
    yield IntervalSet([(7, 8)]).union(_numbers()).intervals


def intersections():
    for left, right in (
        (_numbers(), IntervalSet([(2, 6), (8, 11)])), (IntervalSet([(0, 2)]), IntervalSet([(2, 4)])),
        (_numbers(), IntervalSet([(-5, 100)])), (IntervalSet([(-5, 100)]), _numbers()),
    ):
        yield left.intersection(right).intervals


def gaps_and_spans():
    for intervals in ([(0, 3), (5, 7), (10, 20)], [(1, 2), (8, 9)], [(1, 4)], [(4, 6)]):
        yield IntervalSet(intervals).gaps()
        yield IntervalSet(intervals).span()
    yield IntervalSet().span()


def longest_intervals():
    for intervals in ([(0, 3), (5, 7), (10, 20)], [(7, 9), (0, 2), (4, 5)], [(0, 9), (20, 21)], []):
        yield IntervalSet(intervals).longest()
