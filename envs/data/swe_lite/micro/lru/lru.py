"""A cache that forgets what was used least recently, with ages and weights."""


class Entry:
    """A cached value with its bookkeeping."""

    def __init__(self, value, weight, stored_at):
        self.value = value
        self.weight = weight
        self.stored_at = stored_at
        self.hits = 0


class LRUCache:
    """At most `capacity` units of weight; entries older than `max_age` are gone.

    `clock` is called without arguments and returns the time; it never goes back.
    """

    def __init__(self, capacity, max_age=None, clock=lambda: 0):
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        if max_age is not None and max_age <= 0:
            raise ValueError(f"max_age must be positive, got {max_age}")
        self.capacity = capacity
        self.max_age = max_age
        self.clock = clock
        self.entries = {}
        self.hits = 0
        self.misses = 0

    def __len__(self):
        return len(self.entries)

    def __contains__(self, key):
        return key in self.entries and not self.is_stale(key)

    def is_stale(self, key):
        """True where the entry is older than the cache's limit."""
        if self.max_age is None:
            return False
        return self.clock() - self.entries[key].stored_at > self.max_age

    def weight(self):
        """Sum of the weights held."""
        return sum(entry.weight for entry in self.entries.values())

    def get(self, key, default=None):
        """The value, which becomes the most recent; `default` where there is none."""
        if key not in self.entries or self.is_stale(key):
            self.misses += 1
            self.entries.pop(key, None)
            return default
        entry = self.entries.pop(key)
        self.entries[key] = entry
        entry.hits += 1
        self.hits += 1
        return entry.value

    def peek(self, key, default=None):
        """The value, leaving order and counts as they are."""
        return self.entries[key].value if key in self else default

    def put(self, key, value, weight=1):
        """Stores a value and forgets old ones until it fits. False where it never fits."""
        if weight < 1 or weight > self.capacity:
            return False
        self.entries.pop(key, None)
        while self.weight() + weight > self.capacity:
            self.evict()
        self.entries[key] = Entry(value, weight, self.clock())
        return True

    def evict(self):
        """Forgets the least recent entry and returns its key."""
        key = next(iter(self.entries))
        del self.entries[key]
        return key

    def expire(self):
        """Forgets every stale entry; returns how many."""
        stale = [key for key in self.entries if self.is_stale(key)]
        for key in stale:
            del self.entries[key]
        return len(stale)

    def resize(self, capacity):
        """Changes the capacity; returns the keys that were forgotten."""
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        forgotten = []
        while self.weight() > self.capacity:
            forgotten.append(self.evict())
        return forgotten

    def hit_rate(self):
        """Share of `get` calls that found something, 0.0 before the first."""
        total = self.hits + self.misses
        if total == 0:
            return 0.0
        return self.hits / total

    def keys(self):
        """Keys from the least to the most recent."""
        return list(self.entries)

    def popular(self, least=1):
        """Keys with at least `least` hits, most hits first."""
        keys = [key for key, entry in self.entries.items() if entry.hits >= least]
        return sorted(keys, key=lambda key: -self.entries[key].hits)

    def free(self):
        """Weight that still fits."""
        return self.capacity - self.weight()


def memoize(capacity):
    """Decorator: caches a function of positional arguments."""

    def decorate(function):
        cache = LRUCache(capacity)

        def wrapper(*arguments):
            if arguments not in cache:
                cache.misses += 1
                cache.put(arguments, function(*arguments))
                return cache.peek(arguments)
            return cache.get(arguments)

        wrapper.cache = cache
        return wrapper

    return decorate
