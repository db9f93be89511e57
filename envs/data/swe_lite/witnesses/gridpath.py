"""What gridpath gives; expected values stay outside."""

import re

from gridpath import (
    around, distances, find, generation, inside, largest_square, line, manhattan, neighbours, read,
    regions, shortest, visible,
)
from observe import outcome

_OPEN = ["...", "...", "..."]
_MAZE = ["S#.", "..#", "#.G"]
_BLINKER = ["...", "###", "..."]
_BLOCK = ["....", ".##.", ".##.", "...."]
_GLIDER = [".#...", "..#..", "###..", ".....", "....."]


def _said(words, function, *arguments, **options):
    """The value of a call or, if it raises, the exception's class and some words of its message."""
    try:
        return function(*arguments, **options)
    except Exception as error:
        return type(error).__name__, re.split("[ :,]+", str(error))[words]


def grids_of_texts():
    for text in ("ab\ncd", "a", "xyz\n...\n#.#\n", "ab\nc", "a\nb\ncd", " "):
        yield outcome(read, text)


def places_inside():
    yield [place for place in ((-1, 0), (0, -1), (0, 0), (0, 1), (0, 2), (1, 0)) if inside(["ab"], *place)]
    yield [row for row in range(-1, 4) if inside(["a", "b"], row, 0)]
    yield [column for column in range(-2, 5) if inside(["abc"], 0, column)]


def first_places():
    for letter in "GS#x.":
        yield outcome(find, _MAZE, letter)


def free_places_beside():
    for place in ((1, 1), (0, 0), (2, 2), (0, 1)):
        yield outcome(neighbours, _OPEN, place)
    for place in ((0, 0), (1, 1)):
        yield outcome(neighbours, _MAZE, place)


def steps_to_places():
    yield distances(["..", ".."], (0, 0))
    yield list(distances(["...."], (0, 0)).values())
    yield distances([".#."], (0, 0))
    yield distances(_MAZE, (2, 2))


def steps_between_letters():
    for grid in (_MAZE, ["S..G"], ["S#G", "...", "..."], ["S#G"], ["S.#G.", "..#..", "....."]):
        yield outcome(shortest, grid)


def letters_that_are_missing():
    for grid in (["S."], [".G"], [".."]):
        yield _said(slice(1, 3), shortest, grid)
    yield _said(slice(-1, None), shortest, ["S.G"], goal="X")


def sizes_of_regions():
    for grid in (
        [".#.", ".#.", ".##"], _OPEN, ["##"], [".#.#", "#.#.", ".#.."], ["..#...", "###.#.", ".#.##."],
    ):
        yield outcome(regions, grid)


def steps_without_walls():
    for a, b in (
        ((0, 0), (3, 4)), ((5, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 5), (2, 2)), ((7, 9), (-1, 3)),
    ):
        yield outcome(manhattan, a, b)


def counts_around_places():
    for grid in (_BLINKER, _BLOCK, ["###", "###", "###"]):
        yield [around(grid, row, column) for row in range(len(grid)) for column in range(len(grid[0]))]


def generations():
    for grid in (_BLINKER, _BLOCK, ["#"], ["##"], ["#.#", "...", ".#."]):
        yield outcome(generation, grid)
    grid = _GLIDER
    for _ in range(3):
        grid = generation(grid)
        yield grid


def sides_of_largest_squares():
    for grid in (
        _OPEN, ["##"], ["#.", ".#"], ["..#", "..#", "###"], ["#...", "#...", "#...", "...."],
        ["....", "...."], ["...."],
    ):
        yield outcome(largest_square, grid)


def places_in_line():
    for a, b in (
        ((1, 1), (1, 3)), ((2, 0), (0, 0)), ((0, 0), (2, 2)), ((0, 2), (2, 0)), ((1, 1), (1, 1)),
        ((6, 1), (2, 5)), ((0, 0), (1, 2)), ((0, 0), (3, 1)),
    ):
        yield outcome(line, a, b)
    yield _said(slice(-3, None), line, (2, 2), (1, 0))


def directions_that_show_a_letter():
    for grid, row, column in (
        ([".#.", "#..", ".#."], 1, 1), (["#...#"], 0, 2), (_OPEN, 1, 1),
        (["..#", "...", "#.."], 0, 0), (["..#", "...", "#.."], 2, 2),
    ):
        yield outcome(visible, grid, row, column)
