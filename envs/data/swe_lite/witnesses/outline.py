"""What outline gives; expected values stay outside."""

from observe import outcome
from outline import (
    at, count, depth, done, find, height, leaves, number_of, numbered, parse, prune, show, sort, words,
)

_TREE = [
    ["Tools", [["saw", [["Fine one", []]]], ["Axe", []]]],
    ["Paint", [["[x] red", []]]],
]
_FLAT = [["a", []], ["b", []]]
_CHAIN = [["a", [["b", [["c", []]]]]]]
_BESIDE = [["d", [["f", []], ["E", []]]], ["C", []]]


def depths():
    for line in ("a", "  a", "    a b", "  a  ", "      ab", " a", "   a"):
        yield outcome(depth, line)


def trees_of_texts():
    for text in (
        "Fruit\n  apple\n    Red one\n  Pear\nDairy\n  [x] milk", "k\nl", "k\n  l", "a\n  b\n    c\nd",
        "a\n\n  b\n   \n", "a  \n  b ", "", "a\n  b\n  c", "a\n    b", "  a", "a\n  b\nc\n    d",
    ):
        yield outcome(parse, text)


def texts_of_trees():
    for tree in (_TREE, _FLAT, [["m", [["n", []]]]], [["a", [["b", [["c", []]]], ["e", []]]]], []):
        yield outcome(show, tree)
    yield outcome(show, [["a", []]], 1)


def sizes():
    for tree in (_TREE, _FLAT, [], _CHAIN, _BESIDE, [["a", []], ["b", [["c", []]]], ["d", []]]):
        yield outcome(count, tree), outcome(height, tree)


def ways_to_titles():
    for title in ("Tools", "Axe", "Fine one", "[x] red", "axe"):
        yield outcome(find, _TREE, title)
    yield outcome(find, [["a", [["b", []]]], ["b", []]], "b")
    yield outcome(find, [], "a")


def titles_with_nothing_below():
    for tree in (_TREE, _FLAT, _CHAIN, _BESIDE, []):
        yield outcome(leaves, tree)


def numbered_titles():
    for tree in (_TREE, _FLAT, _BESIDE, []):
        yield outcome(numbered, tree)
    yield outcome(numbered, [["a", []]], "4.")


def sorted_trees():
    for tree in (
        _TREE, [["b", []], ["a", []]], [["b", []], ["C", []], ["A", []]], _BESIDE,
        [["a", [["D", []], ["c", []]]]], [],
    ):
        yield outcome(sort, tree)


def upper_levels():
    for most in (1, 2, 3, 9, 0, -1):
        yield outcome(prune, _TREE, most)
        yield outcome(prune, _CHAIN, most)


def counts_of_words():
    for tree in (
        [["a b", []], ["b", []]], [["a", [["a c", []], ["c", []]]]], [["A", [["a", []]]]], _TREE,
        [["x", [["x", [["x", []]]]]]], [],
    ):
        yield outcome(words, tree)


def ticked_leaves():
    for tree in (
        _TREE, [["[x] a", []], ["b", []]], [["[X] a", []]], [["[x] a", [["b", []], ["c", []]]], ["d", []]],
        [["[x] a", [["[x] b", []], ["c", []]]]], [["a", [["b", []]]]], [], [["[x]a", []]],
    ):
        yield outcome(done, tree)


def parts_of_numbers():
    for text in ("3", "2.1.30", "1.2.", "4..", "1.a", "1..2", "", ".1"):
        yield outcome(number_of, text)


def titles_at_numbers():
    for number in ("2", "1", "1.2", "1.1.1", "2.1"):
        yield outcome(at, _TREE, number)


def numbers_without_a_title():
    for number in ("0", "3", "1.3", "2.1.1"):
        try:
            yield at(_TREE, number)
        except Exception as error:
            # Tests take any kind of the class that is raised.
            yield [kind.__name__ for kind in type(error).__mro__[-4:-3]]
