import unittest

from matrix import Matrix

SQUARE = Matrix([[1, 2], [3, 4]])
WIDE = Matrix([[1, 2, 3], [4, 5, 6]])
NINE = Matrix([[1, 2, 3], [4, 5, 6], [7, 8, 10]])


class BasicTests(unittest.TestCase):
    def test_ragged(self):
        for rows in ([[1, 2], [3]], []):
            with self.assertRaises(ValueError):
                Matrix(rows)

    def test_ragged_late(self):
        with self.assertRaises(ValueError):
            Matrix([[1], [2], [3, 4]])

    def test_shape(self):
        self.assertEqual(WIDE.shape, (2, 3))

    def test_shape_of_one(self):
        self.assertEqual(Matrix([[7]]).shape, (1, 1))

    def test_identity(self):
        self.assertEqual(Matrix.identity(2).rows, [[1, 0], [0, 1]])

    def test_identity_of_three(self):
        self.assertEqual(Matrix.identity(3).rows, [[1, 0, 0], [0, 1, 0], [0, 0, 1]])

    def test_zeros(self):
        self.assertEqual(Matrix.zeros(1, 3).rows, [[0, 0, 0]])

    def test_zeros_tall(self):
        self.assertEqual(Matrix.zeros(2, 1).rows, [[0], [0]])

    def test_zero_rows_are_apart(self):
        zeros = Matrix.zeros(2, 2)
        zeros.rows[0][0] = 1
        self.assertEqual(zeros.rows, [[1, 0], [0, 0]])

    def test_item(self):
        self.assertEqual(WIDE[1, 2], 6)
        self.assertEqual(WIDE[0, 1], 2)


class ArithmeticTests(unittest.TestCase):
    def test_add(self):
        self.assertEqual((SQUARE + SQUARE).rows, [[2, 4], [6, 8]])

    def test_add_other(self):
        self.assertEqual((SQUARE + Matrix([[5, 0], [1, -4]])).rows, [[6, 2], [4, 0]])

    def test_add_shapes(self):
        with self.assertRaises(ValueError):
            SQUARE + WIDE

    def test_subtract(self):
        self.assertEqual((SQUARE - Matrix([[1, 1], [1, 1]])).rows, [[0, 1], [2, 3]])

    def test_subtract_itself(self):
        self.assertEqual(WIDE - WIDE, Matrix.zeros(2, 3))

    def test_scaled(self):
        self.assertEqual(WIDE.scaled(3).rows, [[3, 6, 9], [12, 15, 18]])

    def test_scaled_by_zero(self):
        self.assertEqual(SQUARE.scaled(0), Matrix.zeros(2, 2))

    def test_multiply(self):
        self.assertEqual((SQUARE @ WIDE).rows, [[9, 12, 15], [19, 26, 33]])

    def test_multiply_identity(self):
        self.assertEqual(SQUARE @ Matrix.identity(2), SQUARE)

    def test_multiply_vector(self):
        self.assertEqual((WIDE @ Matrix([[1], [0], [2]])).rows, [[7], [16]])

    def test_multiply_shapes(self):
        with self.assertRaises(ValueError):
            WIDE @ WIDE

    def test_multiply_shapes_again(self):
        with self.assertRaises(ValueError):
            WIDE @ SQUARE

    def test_power(self):
        self.assertEqual((SQUARE**2).rows, [[7, 10], [15, 22]])

    def test_power_zero(self):
        self.assertEqual(SQUARE**0, Matrix.identity(2))

    def test_power_one(self):
        self.assertEqual(SQUARE**1, SQUARE)

    def test_power_fibonacci(self):
        self.assertEqual((Matrix([[1, 1], [1, 0]]) ** 10).rows, [[89, 55], [55, 34]])

    def test_power_five(self):
        self.assertEqual((Matrix([[2]]) ** 5).rows, [[32]])

    def test_power_negative(self):
        with self.assertRaises(ValueError):
            SQUARE**-1

    def test_power_more_negative(self):
        with self.assertRaises(ValueError):
            SQUARE**-2


class LinearTests(unittest.TestCase):
    def test_transposed(self):
        self.assertEqual(WIDE.transposed().rows, [[1, 4], [2, 5], [3, 6]])

    def test_trace(self):
        self.assertEqual(SQUARE.trace(), 5)

    def test_trace_of_nine(self):
        self.assertEqual(NINE.trace(), 16)

    def test_trace_wide(self):
        self.assertEqual(WIDE.trace(), 6)

    def test_minor(self):
        self.assertEqual(NINE.minor(0, 0).rows, [[5, 6], [8, 10]])

    def test_minor_middle(self):
        self.assertEqual(NINE.minor(1, 1).rows, [[1, 3], [7, 10]])

    def test_minor_last(self):
        self.assertEqual(NINE.minor(2, 2).rows, [[1, 2], [4, 5]])

    def test_determinant_of_one(self):
        self.assertEqual(Matrix([[7]]).determinant(), 7)

    def test_determinant_of_small(self):
        self.assertEqual(Matrix([[-3]]).determinant(), -3)

    def test_determinant_of_two(self):
        self.assertEqual(SQUARE.determinant(), -2)

    def test_determinant_of_two_more(self):
        self.assertEqual(Matrix([[5, 7], [2, 3]]).determinant(), 1)

    def test_determinant_of_three(self):
        self.assertEqual(NINE.determinant(), -3)

    def test_determinant_of_identity(self):
        self.assertEqual(Matrix.identity(4).determinant(), 1)

    def test_determinant_of_permutation(self):
        self.assertEqual(Matrix([[0, 1, 0], [1, 0, 0], [0, 0, 1]]).determinant(), -1)

    def test_determinant_shape(self):
        with self.assertRaises(ValueError):
            WIDE.determinant()

    def test_determinant_tall(self):
        with self.assertRaises(ValueError):
            WIDE.transposed().determinant()

    def test_symmetric(self):
        self.assertTrue(Matrix([[1, 2], [2, 5]]).is_symmetric())
        self.assertFalse(SQUARE.is_symmetric())

    def test_symmetric_wide(self):
        self.assertFalse(WIDE.is_symmetric())

    def test_symmetric_three(self):
        self.assertTrue(Matrix([[1, 2, 3], [2, 4, 5], [3, 5, 6]]).is_symmetric())
        self.assertFalse(Matrix([[1, 2, 3], [2, 4, 5], [3, 9, 6]]).is_symmetric())

    def test_symmetric_tall(self):
        self.assertFalse(Matrix([[1], [1]]).is_symmetric())


class ShapeTests(unittest.TestCase):
    def test_rotated(self):
        self.assertEqual(WIDE.rotated().rows, [[4, 1], [5, 2], [6, 3]])

    def test_rotated_twice(self):
        self.assertEqual(WIDE.rotated(2).rows, [[6, 5, 4], [3, 2, 1]])

    def test_rotated_back(self):
        self.assertEqual(SQUARE.rotated(-1).rows, [[2, 4], [1, 3]])
        self.assertEqual(SQUARE.rotated(4), SQUARE)

    def test_rotated_five(self):
        self.assertEqual(SQUARE.rotated(5), SQUARE.rotated(1))

    def test_spiral(self):
        self.assertEqual(WIDE.spiral(), [1, 2, 3, 6, 5, 4])

    def test_spiral_nine(self):
        self.assertEqual(NINE.spiral(), [1, 2, 3, 6, 10, 8, 7, 4, 5])

    def test_spiral_row(self):
        self.assertEqual(Matrix([[1, 2, 3]]).spiral(), [1, 2, 3])

    def test_spiral_column(self):
        self.assertEqual(Matrix([[1], [2], [3]]).spiral(), [1, 2, 3])

    def test_spiral_two(self):
        self.assertEqual(SQUARE.spiral(), [1, 2, 4, 3])

    def test_spiral_sixteen(self):
        square = Matrix([[4 * i + j for j in range(4)] for i in range(4)])
        self.assertEqual(square.spiral(), [0, 1, 2, 3, 7, 11, 15, 14, 13, 12, 8, 4, 5, 6, 10, 9])

    def test_neighbours_middle(self):
        self.assertEqual(NINE.neighbours(1, 1), [1, 2, 3, 4, 6, 7, 8, 10])

    def test_neighbours_corner(self):
        self.assertEqual(NINE.neighbours(0, 0), [2, 4, 5])

    def test_neighbours_other_corner(self):
        self.assertEqual(NINE.neighbours(2, 2), [5, 6, 8])

    def test_neighbours_edge(self):
        self.assertEqual(NINE.neighbours(1, 0), [1, 2, 5, 7, 8])
        self.assertEqual(NINE.neighbours(0, 1), [1, 3, 4, 5, 6])

    def test_neighbours_other_edge(self):
        self.assertEqual(NINE.neighbours(2, 1), [4, 5, 6, 7, 10])
        self.assertEqual(NINE.neighbours(1, 2), [2, 3, 5, 8, 10])
