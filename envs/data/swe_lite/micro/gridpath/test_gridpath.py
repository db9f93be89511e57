import unittest

from gridpath import (
    around, distances, find, generation, inside, largest_square, line, manhattan, neighbours, read,
    regions, shortest, visible,
)

OPEN = ["...", "...", "..."]
MAZE = ["S#.", "..#", "#.G"]


class GridTests(unittest.TestCase):
    def test_read(self):
        self.assertEqual(read("ab\ncd"), ["ab", "cd"])

    def test_read_one(self):
        self.assertEqual(read("a"), ["a"])

    def test_read_ragged(self):
        for text in ("ab\nc", "a\nb\ncd"):
            with self.assertRaises(ValueError):
                read(text)

    def test_read_empty(self):
        with self.assertRaises(ValueError):
            read(" ")

    def test_inside(self):
        self.assertTrue(inside(["ab"], 0, 0))
        self.assertTrue(inside(["ab"], 0, 1))

    def test_outside(self):
        for place in ((-1, 0), (1, 0), (0, -1), (0, 2)):
            self.assertFalse(inside(["ab"], *place))

    def test_inside_rows(self):
        self.assertEqual([inside(["a", "b"], row, 0) for row in range(-1, 4)], [False, True, True, False, False])

    def test_inside_columns(self):
        self.assertEqual([inside(["abc"], 0, c) for c in range(-2, 5)], [False] * 2 + [True] * 3 + [False] * 2)

    def test_find(self):
        self.assertEqual(find(MAZE, "G"), (2, 2))

    def test_find_first(self):
        self.assertEqual(find(MAZE, "#"), (0, 1))

    def test_find_none(self):
        self.assertIsNone(find(MAZE, "x"))

    def test_find_start(self):
        self.assertEqual(find(MAZE, "S"), (0, 0))

    def test_neighbours(self):
        self.assertEqual(neighbours(OPEN, (1, 1)), [(0, 1), (1, 2), (2, 1), (1, 0)])

    def test_neighbours_corner(self):
        self.assertEqual(neighbours(OPEN, (0, 0)), [(0, 1), (1, 0)])

    def test_neighbours_wall(self):
        self.assertEqual(neighbours(MAZE, (0, 0)), [(1, 0)])
        self.assertEqual(neighbours(MAZE, (1, 1)), [(2, 1), (1, 0)])

    def test_neighbours_far_corner(self):
        self.assertEqual(neighbours(OPEN, (2, 2)), [(1, 2), (2, 1)])


class PathTests(unittest.TestCase):
    def test_distances(self):
        self.assertEqual(distances(["..", ".."], (0, 0)), {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 2})

    def test_distances_row(self):
        self.assertEqual(list(distances(["...."], (0, 0)).values()), [0, 1, 2, 3])

    def test_distances_walled(self):
        self.assertEqual(distances([".#."], (0, 0)), {(0, 0): 0})

    def test_shortest(self):
        self.assertEqual(shortest(MAZE), 4)

    def test_shortest_straight(self):
        self.assertEqual(shortest(["S..G"]), 3)

    def test_shortest_around(self):
        self.assertEqual(shortest(["S#G", "...", "..."]), 4)

    def test_no_way(self):
        self.assertIsNone(shortest(["S#G"]))

    def test_missing(self):
        for grid in (["S."], [".G"], [".."]):
            with self.assertRaisesRegex(ValueError, "must hold"):
                shortest(grid)

    def test_missing_goal(self):
        with self.assertRaisesRegex(ValueError, "'X'"):
            shortest(["S.G"], goal="X")

    def test_regions(self):
        self.assertEqual(regions([".#.", ".#.", ".##"]), [3, 2])

    def test_regions_one(self):
        self.assertEqual(regions(OPEN), [9])

    def test_regions_none(self):
        self.assertEqual(regions(["##"]), [])

    def test_regions_many(self):
        self.assertEqual(regions([".#.#", "#.#.", ".#.."]), [3, 1, 1, 1, 1])

    def test_manhattan(self):
        self.assertEqual(manhattan((0, 0), (3, 4)), 7)

    def test_manhattan_back(self):
        self.assertEqual(manhattan((5, 1), (2, 2)), 4)

    def test_manhattan_here(self):
        self.assertEqual(manhattan((2, 2), (2, 2)), 0)
        self.assertEqual(manhattan((2, 5), (2, 2)), 3)


class LifeTests(unittest.TestCase):
    BLINKER = ["...", "###", "..."]
    BLOCK = ["....", ".##.", ".##.", "...."]

    def test_around(self):
        self.assertEqual(around(self.BLINKER, 0, 1), 3)

    def test_around_itself(self):
        self.assertEqual(around(self.BLINKER, 1, 1), 2)

    def test_around_corner(self):
        self.assertEqual(around(self.BLOCK, 0, 0), 1)
        self.assertEqual(around(self.BLOCK, 3, 3), 1)

    def test_around_full(self):
        self.assertEqual(around(["###", "###", "###"], 1, 1), 8)
        self.assertEqual(around(["###", "###", "###"], 0, 0), 3)

    def test_blinker(self):
        self.assertEqual(generation(self.BLINKER), [".#.", ".#.", ".#."])

    def test_blinker_again(self):
        self.assertEqual(generation(generation(self.BLINKER)), self.BLINKER)

    def test_block(self):
        self.assertEqual(generation(self.BLOCK), self.BLOCK)

    def test_dies(self):
        self.assertEqual(generation(["#"]), ["."])
        self.assertEqual(generation(["##"]), [".."])

    def test_born(self):
        self.assertEqual(generation(["#.#", "...", ".#."]), ["...", ".#.", "..."])


class SquareTests(unittest.TestCase):
    def test_whole(self):
        self.assertEqual(largest_square(OPEN), 3)

    def test_none(self):
        self.assertEqual(largest_square(["##"]), 0)

    def test_one(self):
        self.assertEqual(largest_square(["#.", ".#"]), 1)

    def test_two(self):
        self.assertEqual(largest_square(["..#", "..#", "###"]), 2)

    def test_low_right(self):
        self.assertEqual(largest_square(["#...", "#...", "#...", "...."]), 3)

    def test_strip(self):
        self.assertEqual(largest_square(["....", "...."]), 2)
        self.assertEqual(largest_square(["...."]), 1)


class LineTests(unittest.TestCase):
    def test_row(self):
        self.assertEqual(line((1, 1), (1, 3)), [(1, 1), (1, 2), (1, 3)])

    def test_column_up(self):
        self.assertEqual(line((2, 0), (0, 0)), [(2, 0), (1, 0), (0, 0)])

    def test_diagonal(self):
        self.assertEqual(line((0, 0), (2, 2)), [(0, 0), (1, 1), (2, 2)])

    def test_other_diagonal(self):
        self.assertEqual(line((0, 2), (2, 0)), [(0, 2), (1, 1), (2, 0)])

    def test_here(self):
        self.assertEqual(line((1, 1), (1, 1)), [(1, 1)])

    def test_bent(self):
        for end in ((1, 2), (3, 1)):
            with self.assertRaises(ValueError):
                line((0, 0), end)

    def test_bent_back(self):
        with self.assertRaisesRegex(ValueError, "not in line"):
            line((2, 2), (1, 0))

    def test_visible(self):
        self.assertEqual(visible([".#.", "#..", ".#."], 1, 1), 3)

    def test_visible_far(self):
        self.assertEqual(visible(["#...#"], 0, 2), 2)

    def test_visible_none(self):
        self.assertEqual(visible(OPEN, 1, 1), 0)

    def test_visible_edge(self):
        self.assertEqual(visible(["..#", "...", "#.."], 0, 0), 2)
        self.assertEqual(visible(["..#", "...", "#.."], 2, 2), 2)
