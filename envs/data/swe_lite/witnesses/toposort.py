"""What orders of dependencies are; expected values stay outside.

The calls follow the tests of toposort 1.10, Apache License 2.0.
"""

import toposort
from observe import outcome
from toposort import toposort_flatten

_NUMBERS = {2: {11}, 9: {11, 8}, 10: {11, 3}, 11: {7, 5}, 8: {7, 3}}
_SELF = {2: {2, 11}, 9: {11, 8}, 10: {10, 11, 3}, 11: {7, 5}, 8: {7, 3, 8}}
_DATA = (
    _NUMBERS,
    _SELF,
    {1: set()},
    {1: {1}},
    {1: {2}, 3: {4}, 5: {6}},
    {1: set(), 3: set(), 5: set()},
    {},
    {str(key): {str(value) for value in values} for key, values in _NUMBERS.items()},
)
_CYCLIC = (
    {1: {2}, 2: {1}},
    {1: {2}, 2: {3}, 3: {1}},
    {1: {2}, 2: {3}, 3: {1}, 5: {4}, 4: {6}},
    {1: {2}, 2: {1}, 3: {4}},
)


class _Item:
    """Can be hashed, and not ordered."""


def _groups(data):
    return list(toposort.toposort(data))


def _named(data):
    """The groups of items that are objects, which are numbered in the data."""
    items = {number: _Item() for key, values in data.items() for number in (key, *values)}
    numbers = {item: number for number, item in items.items()}
    found = _groups({items[key]: {items[v] for v in values} for key, values in data.items()})
    return [{numbers[item] for item in group} for group in found]


def groups():
    for data in _DATA:
        yield outcome(_groups, data)


def groups_of_objects():
    for data in (_SELF, {1: {2}, 2: {3}}, {1: set(), 2: set(), 3: set()}, *_CYCLIC[:2]):
        yield outcome(_named, data)


def circular_data():
    for data in _CYCLIC:
        yield outcome(_groups, data)
        try:
            _groups(data)
        except toposort.CircularDependencyError as error:
            yield isinstance(error, ValueError), error.data
        yield data


def data_after_a_call():
    data = {key: set(values) for key, values in _SELF.items()}
    yield outcome(_groups, data)
    yield data


def flat_orders():
    for data in _DATA:
        yield outcome(toposort_flatten, data)
    flat = outcome(toposort_flatten, _SELF, False)
    yield [set(flat[:3]), set(flat[3:5]), set(flat[5:])]


def public_names():
    yield sorted(toposort.__all__)
    yield sorted(name for name in dir(toposort) if not name.startswith("_"))
