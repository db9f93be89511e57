"""Sets of half-open integer intervals [start, stop)."""


def is_valid(interval):
    """True for a (start, stop) pair that holds at least one integer."""
    start, stop = interval
    return start < stop


def overlaps(a, b):
    """True where two intervals share an integer."""
    return a[0] < b[1] and b[0] < a[1]


def touches(a, b):
    """True where two intervals overlap or lie side by side."""
    return a[0] <= b[1] and b[0] <= a[1]


def normalize(intervals):
    """Sorted, disjoint, non-adjacent intervals that cover the same integers."""
    merged = []
    for start, stop in sorted(intervals):
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            last_start, last_stop = merged[-1]
            merged[-1] = (last_start, max(last_stop, stop))
        else:
            merged.append((start, stop))
    return merged


class IntervalSet:
    """A set of integers kept as few intervals."""

    def __init__(self, intervals=()):
        self.intervals = normalize(intervals)

    def __contains__(self, number):
        low, high = 0, len(self.intervals)
        while low < high:
            middle = (low + high) // 2
            start, stop = self.intervals[middle]
            if start <= number < stop:
                return True
            if number < start:
                high = middle
            else:
                low = middle + 1
        return False

    def __len__(self):
        return sum(stop - start for start, stop in self.intervals)

    def __iter__(self):
        for start, stop in self.intervals:
            yield from range(start, stop)

    def __eq__(self, other):
        return self.intervals == other.intervals

    def add(self, start, stop):
        """Puts [start, stop) in."""
        self.intervals = normalize([*self.intervals, (start, stop)])

    def remove(self, start, stop):
        """Takes [start, stop) out."""
        kept = []
        for low, high in self.intervals:
            if high <= start or low >= stop:
                kept.append((low, high))
                continue
            if low < start:
                kept.append((low, start))
            if high > stop:
                kept.append((stop, high))
        self.intervals = kept

    def union(self, other):
        return IntervalSet(self.intervals + other.intervals)

    def intersection(self, other):
        common = []
        i = j = 0
        while i < len(self.intervals) and j < len(other.intervals):
            a, b = self.intervals[i], other.intervals[j]
            start, stop = max(a[0], b[0]), min(a[1], b[1])
            if start < stop:
                common.append((start, stop))
            if a[1] < b[1]:
                i += 1
            else:
                j += 1
        return IntervalSet(common)

    def gaps(self):
        """The intervals between the first and the last covered integer that are not covered."""
        pairs = zip(self.intervals, self.intervals[1:])
        return [(left[1], right[0]) for left, right in pairs]

    def span(self):
        """Smallest interval that covers all, None for the empty set."""
        if len(self.intervals) == 0:
            return None
        return (self.intervals[0][0], self.intervals[-1][1])

    def longest(self):
        """The longest interval, the first of equals; None for the empty set."""
        best = None
        for start, stop in self.intervals:
            if best is None or stop - start > best[1] - best[0]:
                best = (start, stop)
        return best
