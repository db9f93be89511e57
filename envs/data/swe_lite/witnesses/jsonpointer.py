"""What JSON pointers find and change; expected values stay outside.

The calls follow the tests of jsonpointer 3.0.0, modified BSD licence.
"""

import copy

from jsonpointer import JsonPointer, resolve_pointer, set_pointer
from observe import outcome

_DOC = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6,
    " ": 7, "m~n": 8,
}
_PATHS = (
    "", "/foo", "/foo/0", "/", "/a~1b", "/c%d", "/e^f", "/g|h", "/i\\j", '/k"l', "/ ", "/m~0n", "/\xee"
)


class _Node:
    def __init__(self, name, left=None, right=None):
        self.name = name
        self.children = {"left": left, "right": right}

    def __getitem__(self, key):
        return self.children[key]

    def __setitem__(self, key, value):
        self.children[key] = value


class _Lookup:
    def __init__(self, data):
        self.data = data

    def __getitem__(self, key):
        return self.data[key]


def _found(doc, path, *default):
    """What a path leads to: objects as the name of their class and what they hold."""
    value = outcome(resolve_pointer, doc, path, *default)
    if isinstance(value, _Node):
        return "node", value.name
    return (type(value).__name__, value.list_) if hasattr(value, "list_") else value


def _tree():
    return _Node("root", _Node("a", _Node("aa"), _Node("ab")), _Node("b", _Node("ba"), _Node("bb")))


def found_in_a_document():
    for path in (*_PATHS[:-1], "/foo/-", "/foo/-/1"):
        yield path, _found(_DOC, path)


def parts_and_texts():
    for path in _PATHS:
        pointer = outcome(JsonPointer, path)
        yield outcome(lambda p=pointer: (p.path, str(p), repr(p)))
        yield outcome(lambda p=pointer: (p.parts, p.get_parts()))
        yield outcome(lambda p=pointer: JsonPointer.from_parts(p.get_parts()).path)
    for parts in ([], ["a/b"], ["m~n", "0"], ["a", "~", "/", 0]):
        yield outcome(lambda parts=parts: JsonPointer.from_parts(parts).path)
        yield outcome(lambda parts=parts: JsonPointer.from_parts(parts).parts)


def comparisons():
    paths = ("/something/1/b", "/something/1/b", "/something/1.0/b")
    one, other, third = (JsonPointer(path) for path in paths)
    yield [one == other, one == third, other == third, one != other, one != third, one == paths[0]]
    yield [hash(one) == hash(other), hash(one) == hash(third), hash(other) == hash(third)]


def pointers_in_pointers():
    pointers = [JsonPointer(path) for path in ("/a/b/c", "/a/b", "/b/c", "/a/a/c")]
    for one in pointers:
        yield [outcome(one.contains, other) for other in pointers]
        yield [outcome(lambda one=one, other=other: other in one) for other in pointers]


def joined_pointers():
    one, other = JsonPointer("/a/b/c"), JsonPointer("/a/b")
    for suffix in (other, other.parts, other.parts[0:1], "/a/b", ["a", "b"], 0):
        yield outcome(lambda suffix=suffix: one.join(suffix).path)
        yield outcome(lambda suffix=suffix: (one / suffix).path)


def wrong_pointers():
    for path in ("some/thing", "/foo/bar~", "/foo/bar~2"):
        yield outcome(lambda path=path: JsonPointer(path).parts)
    for path in ("/a", "/10"):
        yield _found([0, 1, 2], path)


def last_steps():
    yield outcome(JsonPointer("").to_last, {"a": [1, 2, 3]})
    for path in ("/a/0/b", "/a/1", "/a/-", "/a"):
        yield outcome(JsonPointer(path).to_last, {"a": [{"b": 1, "c": 2}, 5]})


def documents_after_a_change():
    for inplace in (False, True):
        for path, value in (("/foo/1", "cod"), ("/foo/-", "xyz"), ("/", 9), ("/fud", {}), ("", 9)):
            doc = copy.deepcopy(_DOC)
            yield path, outcome(set_pointer, doc, path, value, inplace=inplace), doc
        doc = {"foo": [1]}
        doc = outcome(set_pointer, doc, "/fud", {}, inplace=inplace)
        yield outcome(set_pointer, doc, "/fud/gaw", [1, 2, 3], inplace=inplace)
    yield outcome(set_pointer, {"foo": [1]}, "/fud/gaw", 9)


def other_kinds_of_documents():
    root = _tree()
    paths = ("/left", "/left/right", "/right", "/right/left")
    yield [_found(root, path) for path in paths]
    changed = outcome(set_pointer, root, "/left/right", _Node("AB"), inplace=False)
    yield [_found(root, path) for path in paths], [_found(changed, path) for path in paths]
    outcome(set_pointer, root, "/left/right", _Node("AB"))
    yield [_found(root, path) for path in paths]


def defaults():
    doc = _Lookup({"root": {"1": {"2": "3"}}})
    for path in ("/root", "/root/1", "/root/1/2", "/foo", "/x/y/z/d"):
        yield path, _found(doc, path, None), _found(doc, path, "default"), _found(doc, path)
    yield _found(doc, "/root/1/2/3/4")
