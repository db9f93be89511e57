"""What pqueue gives; expected values stay outside."""

import re

from observe import outcome
from pqueue import PriorityQueue, merge, shortest_path, smallest

_NUMBERS = [(place * 37 + 11) % 53 for place in range(50)]
_GRAPH = {
    "a": {"b": 1, "c": 5},
    "b": {"c": 2, "d": 7},
    "c": {"d": 3, "a": 1},
    "e": {"a": 1},
}


def _said(words, function, *arguments):
    """The value of a call or, if it raises, the exception's class and some words of its message."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))[words]


def _letters():
    return PriorityQueue([("a", 5), ("b", 1), ("c", 3)])


def _filled():
    return PriorityQueue((number, number) for number in _NUMBERS)


def _drained(queue):
    return [queue.pop() for _ in range(len(queue))]


def order_of_items():
    for items in (
        [("a", 5), ("b", 1), ("c", 3)], [("x", 4)], [(letter, 1) for letter in "zyxwv"],
        [("d", 2), ("c", 1), ("b", 2), ("a", 1), ("e", 0)], [(number, number) for number in range(20, 0, -1)],
        [(number, number) for number in _NUMBERS], [(number, number % 7) for number in _NUMBERS],
    ):
        queue = PriorityQueue(items)
        yield len(queue), queue.peek(), len(queue)
        yield _drained(queue)


def items_inside():
    queue = _letters()
    yield [item for item in "abcz" if item in queue]
    yield [queue.priority(item) for item in "abc"]
    queue.pop()
    yield [item for item in "abcz" if item in queue]


def empty_queue():
    queue = PriorityQueue()
    yield len(queue), queue.peek()
    yield _said(slice(-2, -1), queue.pop)
    queue.push("x", 1)
    yield queue.pop()
    yield _said(slice(-2, -1), queue.pop)


def items_pushed_again():
    queue = _letters()
    yield outcome(queue.push, "a", 2)
    queue.pop()
    queue.push("b", 9)
    yield _drained(queue)


def order_after_a_change():
    for item, priority in (("a", 0), ("b", 4), ("c", 3), ("c", 0), ("b", 8)):
        queue = _letters()
        queue.change(item, priority)
        yield queue.priority(item), bool(queue.is_heap())
        yield _drained(queue)


def order_after_a_removal():
    for item in "bca":
        queue = _letters()
        queue.remove(item)
        yield _drained(queue)
    queue = PriorityQueue([("x", 1)])
    queue.remove("x")
    yield len(queue), queue.peek()
    yield outcome(_letters().remove, "z")


def pushes_that_keep_a_heap():
    queue, kept = PriorityQueue(), []
    for number in _NUMBERS:
        queue.push(number, number)
        if queue.is_heap():
            kept.append(number)
    yield kept
    yield _drained(queue)


def pops_that_keep_a_heap():
    queue, kept = _filled(), []
    while len(queue):
        number = queue.pop()
        if queue.is_heap():
            kept.append(number)
    yield kept


def removals_that_keep_a_heap():
    queue, kept = _filled(), []
    for number in sorted(_NUMBERS)[::3]:
        queue.remove(number)
        if queue.is_heap():
            kept.append(number)
    yield kept
    yield _drained(queue)


def changes_that_keep_a_heap():
    queue, kept = _filled(), []
    for number in _NUMBERS[::2]:
        queue.change(number, (number * 29) % 61)
        if queue.is_heap():
            kept.append(number)
    yield kept
    yield [queue.priority(number) for number in _NUMBERS]


def order_after_many_changes():
    queue = _filled()
    for number in _NUMBERS:
        queue.change(number, -number)
    yield _drained(queue)


def breaks_that_leave_a_heap():
    kept = []
    for place in range(6):
        first, second, third = (PriorityQueue((number, number) for number in range(6)) for _ in range(3))
        first.heap[0], first.heap[place] = first.heap[place], first.heap[0]
        second.heap[place] = (-1, 0, place)
        third.places[place] = 0
        kept.append([bool(queue.is_heap()) for queue in (first, second, third)])
    return kept


def swapped():
    queue = PriorityQueue([("a", 1), ("b", 2)])
    queue.swap(0, 1)
    yield queue.places
    yield queue.peek()


def smallest_numbers():
    for numbers, count in (
        ([5, 1, 4, 2, 3], 3), ([5, 1, 4], 1), ([2, 2, 1, 2], 3), ([2, 1], 5), ([], 2), ([3, 1], 0),
        (_NUMBERS, 12),
    ):
        yield outcome(smallest, numbers, count)


def merged_lists():
    for lists in (
        ([1, 4, 6], [2, 3, 7]), ([1], [0, 5], [2, 2]), ([1, 2],), (), ([], [1], []), ([1, 2, 3, 4], [0]),
        ([3, 8, 21], [1, 9], [], [2, 8, 8, 34]),
    ):
        yield outcome(merge, *lists)


def cheapest_ways():
    for start, goal in ("ab", "ac", "ad", "ed", "aa", "ae", "da", "bc", "ca"):
        yield outcome(shortest_path, _GRAPH, start, goal)
    graph = {"a": {"b": 1, "c": 1}, "b": {"d": 1}, "c": {"d": 1}}
    yield outcome(shortest_path, graph, "a", "d")
    graph = {"a": {"d": 9, "b": 4, "c": 1}, "c": {"b": 1}, "b": {"d": 1}}
    yield outcome(shortest_path, graph, "a", "d")
