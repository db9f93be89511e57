"""Cutting, joining and comparing lists."""


def chunks(items, size):
    """Pieces of `size`, the last one shorter where they do not come out even."""
    if size < 1:
        raise ValueError("size must be positive")
    return [items[start:start + size] for start in range(0, len(items), size)]


def windows(items, size):
    """Every run of `size` neighbours."""
    if not 1 <= size <= len(items):
        raise IndexError("no such window")
    return [items[start:start + size] for start in range(len(items) - size + 1)]


def rotated(items, by):
    """The items moved to the right, those that fall off come first."""
    if not items:
        return []
    cut = -by % len(items)
    return items[cut:] + items[:cut]


def distinct(items):
    """Each item once, in the order of the first times."""
    seen, found = set(), []
    for item in items:
        if item not in seen:
            seen.add(item)
            found.append(item)
    return found


def groups(items, key):
    """(key, items) for runs of neighbours with equal keys."""
    found = []
    for item in items:
        if found and found[-1][0] == key(item):
            found[-1][1].append(item)
        else:
            found.append((key(item), [item]))
    return found


def merge(left, right):
    """Two sorted lists as one, the left one's items first among equals."""
    done = []
    i = j = 0
    while i < len(left) and j < len(right):
        if right[j] < left[i]:
            done.append(right[j])
            j += 1
        else:
            done.append(left[i])
            i += 1
    done.extend(left[i:])
    done.extend(right[j:])
    return done


def split_at(items, wanted):
    """What stands before and after the first item that equals `wanted`."""
    try:
        place = items.index(wanted)
    except ValueError:
        raise KeyError(wanted)
    return items[:place], items[place + 1:]


def flat(items):
    """The items with those of inner lists in their places."""
    found = []
    for item in items:
        if isinstance(item, list):
            found.extend(flat(item))
        else:
            found.append(item)
    return found


def transposed(rows):
    """Columns of a table whose rows may have different lengths; gaps are None."""
    width = max([len(row) for row in rows], default=0)
    return [[row[n] if n < len(row) else None for row in rows] for n in range(width)]


def common_start(lists):
    """The items that all lists begin with."""
    if not lists:
        return []
    short = min(lists, key=len)
    for place, item in enumerate(short):
        if any(other[place] != item for other in lists):
            return short[:place]
    return short[:]


def ranks(items):
    """The place of each item among the sorted distinct ones, from 1."""
    order = sorted(set(items))
    return [order.index(item) + 1 for item in items]


def longest_rise(items):
    """The longest run of neighbours each greater than the one before, the first of equals."""
    best, start = [], 0
    for end in range(1, len(items) + 1):
        if end == len(items) or items[end] <= items[end - 1]:
            if end - start > len(best):
                best = items[start:end]
            start = end
    return best


def summary(items):
    """Smallest, middle and greatest item and the sum."""
    if not items:
        raise ValueError("no items")
    order = sorted(items)
    return min(items), order[len(order) // 2], max(items), sum(items)
