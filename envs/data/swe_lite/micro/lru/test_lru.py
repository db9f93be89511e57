import unittest

from lru import LRUCache, memoize


class Clock:
    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


class BasicTests(unittest.TestCase):
    def setUp(self):
        self.cache = LRUCache(3)
        for key in "abc":
            self.cache.put(key, key.upper())

    def test_get(self):
        self.assertEqual(self.cache.get("a"), "A")

    def test_get_default(self):
        self.assertEqual(self.cache.get("z", 9), 9)
        self.assertIsNone(self.cache.get("z"))

    def test_length(self):
        self.assertEqual(len(self.cache), 3)

    def test_put_evicts_oldest(self):
        self.assertTrue(self.cache.put("d", "D"))
        self.assertEqual(self.cache.keys(), ["b", "c", "d"])

    def test_get_refreshes(self):
        self.cache.get("a")
        self.cache.put("d", "D")
        self.assertEqual(self.cache.keys(), ["c", "a", "d"])

    def test_put_refreshes(self):
        self.cache.put("a", 1)
        self.assertEqual(self.cache.keys(), ["b", "c", "a"])
        self.assertEqual(self.cache.get("a"), 1)

    def test_peek_does_not_refresh(self):
        self.assertEqual(self.cache.peek("a"), "A")
        self.assertEqual(self.cache.keys(), ["a", "b", "c"])

    def test_peek_default(self):
        self.assertEqual(self.cache.peek("z", 5), 5)

    def test_contains(self):
        self.assertIn("a", self.cache)
        self.assertNotIn("z", self.cache)

    def test_evict(self):
        self.assertEqual(self.cache.evict(), "a")
        self.assertEqual(self.cache.keys(), ["b", "c"])

    def test_hit_rate(self):
        self.cache.get("a")
        self.cache.get("b")
        self.cache.get("c")
        self.cache.get("z")
        self.assertEqual(self.cache.hit_rate(), 0.75)

    def test_hit_rate_all(self):
        self.cache.get("a")
        self.assertEqual(self.cache.hit_rate(), 1.0)
        self.assertEqual(self.cache.misses, 0)

    def test_hit_rate_half(self):
        self.cache.get("a")
        self.cache.get("y")
        self.assertEqual(self.cache.hit_rate(), 0.5)

    def test_hit_rate_before(self):
        self.assertEqual(self.cache.hit_rate(), 0.0)
        self.assertEqual(self.cache.hits, 0)

    def test_counts(self):
        self.cache.get("a")
        self.cache.get("a")
        self.cache.get("q")
        self.assertEqual((self.cache.hits, self.cache.misses), (2, 1))

    def test_popular(self):
        for key in "ccabcb":
            self.cache.get(key)
        self.assertEqual(self.cache.popular(), ["c", "b", "a"])
        self.assertEqual(self.cache.popular(3), ["c"])

    def test_popular_needs_hits(self):
        self.cache.get("b")
        self.assertEqual(self.cache.popular(), ["b"])
        self.assertEqual(self.cache.popular(2), [])

    def test_popular_two(self):
        for key in "aabb":
            self.cache.get(key)
        self.assertEqual(sorted(self.cache.popular(2)), ["a", "b"])
        self.assertEqual(self.cache.popular(3), [])


class CapacityTests(unittest.TestCase):
    def test_capacity_of_one(self):
        cache = LRUCache(1)
        cache.put("a", 1)
        cache.put("b", 2)
        self.assertEqual(cache.keys(), ["b"])

    def test_bad_capacity(self):
        for capacity in (0, -1):
            with self.assertRaises(ValueError):
                LRUCache(capacity)

    def test_zero_capacity(self):
        with self.assertRaises(ValueError):
            LRUCache(0)
        self.assertEqual(LRUCache(2).capacity, 2)

    def test_weights_add_up(self):
        cache = LRUCache(10)
        cache.put("a", 1, weight=4)
        cache.put("b", 2, weight=5)
        self.assertEqual((cache.weight(), cache.free()), (9, 1))

    def test_free_of_empty(self):
        self.assertEqual(LRUCache(7).free(), 7)

    def test_exact_fit(self):
        cache = LRUCache(10)
        self.assertTrue(cache.put("a", 1, weight=6))
        self.assertTrue(cache.put("b", 2, weight=4))
        self.assertEqual(cache.keys(), ["a", "b"])

    def test_heavy_evicts_several(self):
        cache = LRUCache(10)
        for key in "abcd":
            cache.put(key, key, weight=2)
        cache.put("e", 5, weight=7)
        self.assertEqual(cache.keys(), ["d", "e"])

    def test_never_fits(self):
        cache = LRUCache(10)
        self.assertFalse(cache.put("a", 1, weight=11))
        self.assertFalse(cache.put("a", 1, weight=0))
        self.assertEqual(len(cache), 0)

    def test_fills_whole(self):
        cache = LRUCache(10)
        self.assertTrue(cache.put("a", 1, weight=10))
        self.assertTrue(cache.put("b", 1, weight=1))
        self.assertEqual(cache.keys(), ["b"])

    def test_resize(self):
        cache = LRUCache(4)
        for key in "abcd":
            cache.put(key, key)
        self.assertEqual(cache.resize(2), ["a", "b"])
        self.assertEqual(cache.keys(), ["c", "d"])

    def test_resize_up(self):
        cache = LRUCache(2)
        cache.put("a", 1)
        self.assertEqual(cache.resize(5), [])
        self.assertEqual(cache.free(), 4)

    def test_resize_same_and_one(self):
        cache = LRUCache(2)
        cache.put("a", 1)
        cache.put("b", 1)
        self.assertEqual(cache.resize(2), [])
        self.assertEqual(cache.resize(1), ["a"])

    def test_resize_bad(self):
        for capacity in (0, -3):
            with self.assertRaises(ValueError):
                LRUCache(2).resize(capacity)

    def test_resize_to_zero(self):
        with self.assertRaises(ValueError):
            LRUCache(2).resize(0)


class AgeTests(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        self.cache = LRUCache(5, max_age=10, clock=self.clock)
        self.cache.put("a", 1)
        self.clock.now = 4
        self.cache.put("b", 2)

    def test_fresh(self):
        self.clock.now = 9
        self.assertEqual(self.cache.get("a"), 1)

    def test_at_the_limit(self):
        self.clock.now = 10
        self.assertEqual(self.cache.get("a"), 1)
        self.assertIn("a", self.cache)

    def test_past_the_limit(self):
        self.clock.now = 11
        self.assertIsNone(self.cache.get("a"))
        self.assertEqual(self.cache.get("b"), 2)

    def test_stale_is_not_inside(self):
        self.clock.now = 12
        self.assertNotIn("a", self.cache)
        self.assertIsNone(self.cache.peek("a"))
        self.assertIn("b", self.cache)

    def test_get_drops_stale(self):
        self.clock.now = 12
        self.cache.get("a")
        self.assertEqual(self.cache.keys(), ["b"])

    def test_expire(self):
        self.clock.now = 12
        self.assertEqual(self.cache.expire(), 1)
        self.assertEqual(self.cache.keys(), ["b"])

    def test_expire_all(self):
        self.clock.now = 20
        self.assertEqual(self.cache.expire(), 2)

    def test_expire_none(self):
        self.clock.now = 10
        self.assertEqual(self.cache.expire(), 0)
        self.assertEqual(len(self.cache), 2)

    def test_no_age(self):
        cache = LRUCache(2, clock=self.clock)
        cache.put("a", 1)
        self.clock.now = 10**9
        self.assertEqual(cache.get("a"), 1)
        self.assertFalse(cache.is_stale("a"))

    def test_bad_age(self):
        for age in (0, -1):
            with self.assertRaises(ValueError):
                LRUCache(2, max_age=age)

    def test_small_age(self):
        self.assertEqual(LRUCache(2, max_age=1).max_age, 1)
        with self.assertRaises(ValueError):
            LRUCache(2, max_age=0)


class MemoizeTests(unittest.TestCase):
    def setUp(self):
        self.calls = []

        @memoize(2)
        def double(number):
            self.calls.append(number)
            return number * 2

        self.double = double

    def test_same_value(self):
        self.assertEqual([self.double(3), self.double(3)], [6, 6])

    def test_called_once(self):
        self.double(3)
        self.double(3)
        self.assertEqual(self.calls, [3])

    def test_forgets(self):
        for number in (1, 2, 3, 1):
            self.double(number)
        self.assertEqual(self.calls, [1, 2, 3, 1])

    def test_counts(self):
        for number in (1, 1, 2, 1):
            self.double(number)
        self.assertEqual((self.double.cache.hits, self.double.cache.misses), (2, 2))

    def test_misses(self):
        self.double(1)
        self.double(2)
        self.assertEqual(self.double.cache.misses, 2)
