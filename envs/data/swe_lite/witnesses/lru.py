"""What lru gives; expected values stay outside."""

from lru import LRUCache, memoize
from observe import outcome


class _Clock:
    now = 0

    def __call__(self):
        return self.now


def _letters(keys="abc", capacity=3):
    cache = LRUCache(capacity)
    for key in keys:
        cache.put(key, key.upper())
    return cache


def _aged():
    """A cache with a limit of age 10, filled at 0 and at 4."""
    clock = _Clock()
    cache = LRUCache(5, max_age=10, clock=clock)
    cache.put("a", 1)
    clock.now = 4
    cache.put("b", 2)
    return cache, clock


def _counted():
    """A cached function and the calls that reach it."""
    calls = []

    @memoize(2)
    def double(number):
        calls.append(number)
        return number * 2

    return double, calls


def values():
    cache = _letters()
    yield len(cache)
    yield [key for key in "abz" if key in cache]
    yield [cache.get("a"), cache.get("z", 9), cache.get("z")]
    yield [cache.peek("a"), cache.peek("b"), cache.peek("z", 5)]


def order_after_a_value_is_put():
    for key in "da":
        cache = _letters()
        yield bool(cache.put(key, "new"))
        yield cache.keys()
        yield cache.get(key)


def order_after_a_value_is_seen():
    cache = _letters()
    cache.get("a")
    yield cache.keys()
    cache.put("d", "D")
    yield cache.keys()
    cache.peek("c")
    yield cache.keys()


def evicted():
    cache = _letters()
    yield cache.evict(), cache.keys()
    yield cache.evict(), cache.keys()


def hit_rates():
    for keys in ("abcz", "a", "ay", "", "aaq", "zzzb"):
        cache = _letters()
        for key in keys:
            cache.get(key)
        yield cache.hits, cache.misses, cache.hit_rate()


def popular_keys():
    for keys in ("ccabcb", "b", "cccaab"):
        cache = _letters()
        for key in keys:
            cache.get(key)
        yield [cache.popular(), cache.popular(2), cache.popular(3)]
    cache = _letters()
    for key in "aabb":
        cache.get(key)
    yield [sorted(cache.popular(2)), cache.popular(3)]


def capacities():
    for capacity in (2, 1, 0, -1):
        yield outcome(lambda: LRUCache(capacity).capacity)
    yield _letters("ab", 1).keys()
    yield LRUCache(7).free()


def weights():
    for weights in ((4, 5), (6, 4), (2, 2, 2, 2, 7), (11,), (0,), (10, 1)):
        cache = LRUCache(10)
        yield [bool(cache.put(key, key, weight=weight)) for key, weight in zip("abcde", weights)]
        yield cache.keys()
        yield len(cache), cache.weight(), cache.free()


def resized():
    for keys, before, after in (
        ("abcd", 4, 2), ("a", 2, 5), ("ab", 2, 2), ("ab", 2, 1), ("abcdefg", 7, 3),
    ):
        cache = _letters(keys, before)
        yield outcome(cache.resize, after)
        yield cache.keys()
        yield cache.free()
    for after in (0, -3):
        yield outcome(LRUCache(2).resize, after)


def values_by_age():
    for now in (9, 10, 11, 12, 14, 15):
        cache, clock = _aged()
        clock.now = now
        yield [key for key in "ab" if key in cache], [cache.peek("a"), cache.peek("b")]
        yield [cache.get("a"), cache.get("b")]
        yield cache.keys()


def expired():
    for now in (10, 12, 20):
        cache, clock = _aged()
        clock.now = now
        yield cache.expire(), cache.keys(), len(cache)


def values_without_a_limit_of_age():
    clock = _Clock()
    cache = LRUCache(2, clock=clock)
    cache.put("a", 1)
    clock.now = 10**9
    yield [key for key in "a" if cache.is_stale(key)]
    yield cache.get("a")


def limits_of_age():
    for age in (1, 0, -1):
        yield outcome(lambda: LRUCache(2, max_age=age).max_age)


def calls_of_a_cached_function():
    for numbers in ((3, 3), (1, 2, 3, 1), (1, 1, 2, 1), (1, 2), (5, 6, 5, 7, 5, 6)):
        double, calls = _counted()
        yield [double(number) for number in numbers]
        yield calls
        yield double.cache.hits, double.cache.misses
