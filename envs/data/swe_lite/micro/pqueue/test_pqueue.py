import unittest

from pqueue import PriorityQueue, merge, shortest_path, smallest


def drained(queue):
    return [queue.pop() for _ in range(len(queue))]


class QueueTests(unittest.TestCase):
    def setUp(self):
        self.queue = PriorityQueue([("a", 5), ("b", 1), ("c", 3)])

    def test_order(self):
        self.assertEqual(drained(self.queue), ["b", "c", "a"])

    def test_length(self):
        self.assertEqual(len(self.queue), 3)
        self.assertEqual(len(PriorityQueue()), 0)

    def test_contains(self):
        self.assertIn("a", self.queue)
        self.assertNotIn("z", self.queue)

    def test_peek(self):
        self.assertEqual(self.queue.peek(), "b")
        self.assertEqual(len(self.queue), 3)

    def test_peek_empty(self):
        self.assertIsNone(PriorityQueue().peek())

    def test_peek_one(self):
        self.assertEqual(PriorityQueue([("x", 4)]).peek(), "x")

    def test_pop_empty(self):
        with self.assertRaisesRegex(IndexError, "empty"):
            PriorityQueue().pop()

    def test_pop_one(self):
        queue = PriorityQueue([("x", 1)])
        self.assertEqual(queue.pop(), "x")
        with self.assertRaisesRegex(IndexError, "empty"):
            queue.pop()

    def test_twice(self):
        with self.assertRaises(ValueError):
            self.queue.push("a", 2)

    def test_again_after_pop(self):
        self.queue.pop()
        self.queue.push("b", 9)
        self.assertEqual(drained(self.queue), ["c", "a", "b"])

    def test_equal_priorities(self):
        queue = PriorityQueue([(letter, 1) for letter in "zyxwv"])
        self.assertEqual(drained(queue), list("zyxwv"))

    def test_equal_among_others(self):
        queue = PriorityQueue([("d", 2), ("c", 1), ("b", 2), ("a", 1), ("e", 0)])
        self.assertEqual(drained(queue), list("ecadb"))

    def test_priority(self):
        self.assertEqual([self.queue.priority(i) for i in "abc"], [5, 1, 3])

    def test_raise(self):
        self.queue.change("a", 0)
        self.assertEqual(drained(self.queue), ["a", "b", "c"])

    def test_lower(self):
        self.queue.change("b", 4)
        self.assertEqual(drained(self.queue), ["c", "b", "a"])

    def test_change_to_same(self):
        self.queue.change("c", 3)
        self.assertEqual(self.queue.priority("c"), 3)
        self.assertTrue(self.queue.is_heap())

    def test_remove_first(self):
        self.queue.remove("b")
        self.assertEqual(drained(self.queue), ["c", "a"])

    def test_remove_last(self):
        self.queue.remove("c")
        self.assertEqual(drained(self.queue), ["b", "a"])

    def test_remove_only(self):
        queue = PriorityQueue([("x", 1)])
        queue.remove("x")
        self.assertEqual((len(queue), queue.peek()), (0, None))

    def test_remove_unknown(self):
        with self.assertRaises(KeyError):
            self.queue.remove("z")


class HeapTests(unittest.TestCase):
    NUMBERS = [(i * 37 + 11) % 53 for i in range(50)]

    def test_many(self):
        queue = PriorityQueue((n, n) for n in self.NUMBERS)
        self.assertEqual(drained(queue), sorted(self.NUMBERS))

    def test_descending(self):
        queue = PriorityQueue((n, n) for n in range(20, 0, -1))
        self.assertEqual(drained(queue), list(range(1, 21)))

    def test_heap_after_push(self):
        queue = PriorityQueue()
        for n in self.NUMBERS:
            queue.push(n, n)
            self.assertTrue(queue.is_heap())

    def test_heap_after_pop(self):
        queue = PriorityQueue((n, n) for n in self.NUMBERS)
        while len(queue):
            queue.pop()
            self.assertTrue(queue.is_heap())

    def test_heap_after_remove(self):
        queue = PriorityQueue((n, n) for n in self.NUMBERS)
        for n in sorted(self.NUMBERS)[::3]:
            queue.remove(n)
            self.assertTrue(queue.is_heap())

    def test_heap_after_change(self):
        queue = PriorityQueue((n, n) for n in self.NUMBERS)
        for n in self.NUMBERS[::2]:
            queue.change(n, (n * 29) % 61)
            self.assertTrue(queue.is_heap())

    def test_changes_then_order(self):
        queue = PriorityQueue((n, n) for n in self.NUMBERS)
        for n in self.NUMBERS:
            queue.change(n, -n)
        self.assertEqual(drained(queue), sorted(self.NUMBERS, reverse=True))

    def test_no_heap(self):
        queue = PriorityQueue([("a", 1), ("b", 2), ("c", 3)])
        queue.heap[0], queue.heap[1] = queue.heap[1], queue.heap[0]
        self.assertFalse(queue.is_heap())

    def test_no_heap_deep(self):
        queue = PriorityQueue((n, n) for n in range(6))
        queue.heap[5] = (-1, 0, 5)
        self.assertFalse(queue.is_heap())

    def test_wrong_places(self):
        queue = PriorityQueue([("a", 1), ("b", 2)])
        queue.places["b"] = 0
        self.assertFalse(queue.is_heap())

    def test_swap(self):
        queue = PriorityQueue([("a", 1), ("b", 2)])
        queue.swap(0, 1)
        self.assertEqual(queue.places, {"a": 1, "b": 0})
        self.assertEqual(queue.peek(), "b")


class SmallestTests(unittest.TestCase):
    def test_three(self):
        self.assertEqual(smallest([5, 1, 4, 2, 3], 3), [1, 2, 3])

    def test_one(self):
        self.assertEqual(smallest([5, 1, 4], 1), [1])

    def test_equal(self):
        self.assertEqual(smallest([2, 2, 1, 2], 3), [1, 2, 2])

    def test_more_than_there_are(self):
        self.assertEqual(smallest([2, 1], 5), [1, 2])

    def test_none(self):
        self.assertEqual(smallest([], 2), [])
        self.assertEqual(smallest([3, 1], 0), [])


class MergeTests(unittest.TestCase):
    def test_two(self):
        self.assertEqual(merge([1, 4, 6], [2, 3, 7]), [1, 2, 3, 4, 6, 7])

    def test_three(self):
        self.assertEqual(merge([1], [0, 5], [2, 2]), [0, 1, 2, 2, 5])

    def test_one(self):
        self.assertEqual(merge([1, 2]), [1, 2])

    def test_empty(self):
        self.assertEqual(merge(), [])
        self.assertEqual(merge([], [1], []), [1])

    def test_lengths(self):
        self.assertEqual(merge([1, 2, 3, 4], [0]), [0, 1, 2, 3, 4])


class PathTests(unittest.TestCase):
    GRAPH = {
        "a": {"b": 1, "c": 5},
        "b": {"c": 2, "d": 7},
        "c": {"d": 3, "a": 1},
        "e": {"a": 1},
    }

    def test_direct(self):
        self.assertEqual(shortest_path(self.GRAPH, "a", "b"), (1, ["a", "b"]))

    def test_around(self):
        self.assertEqual(shortest_path(self.GRAPH, "a", "c"), (3, ["a", "b", "c"]))

    def test_far(self):
        self.assertEqual(shortest_path(self.GRAPH, "a", "d"), (6, ["a", "b", "c", "d"]))

    def test_longer(self):
        self.assertEqual(shortest_path(self.GRAPH, "e", "d"), (7, ["e", "a", "b", "c", "d"]))

    def test_here(self):
        self.assertEqual(shortest_path(self.GRAPH, "a", "a"), (0, ["a"]))

    def test_none(self):
        self.assertIsNone(shortest_path(self.GRAPH, "a", "e"))
        self.assertIsNone(shortest_path(self.GRAPH, "d", "a"))

    def test_tie(self):
        graph = {"a": {"b": 1, "c": 1}, "b": {"d": 1}, "c": {"d": 1}}
        self.assertEqual(shortest_path(graph, "a", "d"), (2, ["a", "b", "d"]))

    def test_change_on_the_way(self):
        graph = {"a": {"d": 9, "b": 4, "c": 1}, "c": {"b": 1}, "b": {"d": 1}}
        self.assertEqual(shortest_path(graph, "a", "d"), (3, ["a", "c", "b", "d"]))
