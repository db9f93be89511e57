"""What sequences gives; expected values stay outside."""

from observe import outcome
from sequences import (
    chunks, common_start, distinct, flat, groups, longest_rise, merge, ranks, rotated, split_at,
    summary, transposed, windows,
)


def pieces():
    for items, size in (
        ([1, 2, 3, 4], 2), ([1, 2, 3], 2), ("abc", 1), ([1, 2], 5), ([], 3), ([1, 2, 3, 4, 5, 6, 7], 3),
        ([1], 0), ([], -1),
    ):
        yield outcome(chunks, items, size)


def runs_of_neighbours():
    for items, size in (
        ([1, 2, 3], 2), ([1, 2, 3], 3), ("ab", 1), ([4, 3, 2, 1], 3), ([1, 2], 3), ([1, 2], 0),
    ):
        yield outcome(windows, items, size)


def rotated_items():
    for items, by in (
        ([1, 2, 3], 1), ([1, 2, 3, 4, 5], 2), ([1, 2, 3], 0), ([1, 2, 3], 3), ([1, 2, 3], -1),
        ([1, 2, 3], 7), ([], 2),
    ):
        yield outcome(rotated, items, by)


def distinct_items():
    for items in ([3, 1, 3, 2], [1, 1, 1], "abca", [5, 4, 5, 4, 6], []):
        yield outcome(distinct, items)


def groups_of_neighbours():
    for items, key in (
        ([1, 3, 2, 5], lambda number: number % 2), (["ab", "ac", "b"], lambda word: word[0]),
        ([7], abs), ([2, -2, 2], abs), ([], abs), ([1, 2, 1], abs), (["x", "yy", "zz", "w"], len),
    ):
        yield outcome(groups, items, key)


def merged_lists():
    for left, right in (
        ([1, 4], [2, 3]), ([1, 5, 6], [2]), ([3], [1, 4, 5]), ([1, 2], [3, 4]), ([3, 4], [1, 2]),
        ([], [1, 2]), ([1, 2], []), ([1, 2], [1, 2]),
    ):
        yield outcome(merge, left, right)


def types_of_merged_items():
    for left, right in (([1], [1.0]), ([0, 1], [1.0, 2])):
        yield [type(item).__name__ for item in merge(left, right)]


def before_and_after_an_item():
    for items, wanted in (
        ([1, 2, 3], 2), ([1, 2, 3, 2, 4], 2), ("abc", "a"), ([1, 2, 3], 3), ([1], 2), ([], 2),
    ):
        yield outcome(split_at, items, wanted)


def flat_lists():
    for items in (
        [1, [2, [3]], 4], [1, 2], [[[[5]]]], [(1, 2), [(3,)]], [[], [[]]], ["ab", ["cd"]],
    ):
        yield outcome(flat, items)


def columns_of_tables():
    for rows in (
        [[1, 2], [3, 4]], [[1, 2, 3]], [[1, 2], [3]], [[], [3, 4]], [], [[], []],
        [["a", "b"], [], ["c", "d", "e"]],
    ):
        yield outcome(transposed, rows)


def common_starts():
    for lists in (
        [[1, 2, 3], [1, 2, 4]], ["abc", "abd", "ab"], [[1], [2]], ["x", "x", "y"], [[1, 2], [1, 2, 3]],
        [[4, 5]], [], [[1, 2, 3, 9], [1, 2, 3, 8], [1, 2, 3]],
    ):
        yield outcome(common_start, lists)


def places_in_order():
    for items in ([30, 10, 20], [5, 5, 1], "cab", [2, 1, 2, 3, 1], [], [0, -5]):
        yield outcome(ranks, items)


def longest_rises():
    for items in (
        [3, 1, 2, 4, 0], [1, 2, 3, 1], [5, 1, 6, 7], [1, 2, 0, 5], [3, 2, 1], [1, 1, 2], [1, 2, 3, 4], [],
    ):
        yield outcome(longest_rise, items)


def summaries():
    for items in ([3, 1, 2], [4, 1, 3, 2], [5], [-1, 0, -4], [8, 6, 7, 5, 3, 0, 9], [], ""):
        yield outcome(summary, items)
