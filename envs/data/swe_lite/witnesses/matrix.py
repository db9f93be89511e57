"""What matrix gives; expected values stay outside."""

import operator

from matrix import Matrix
from observe import outcome


def _square():
    return Matrix([[1, 2], [3, 4]])


def _wide():
    return Matrix([[1, 2, 3], [4, 5, 6]])


def _nine():
    return Matrix([[1, 2, 3], [4, 5, 6], [7, 8, 10]])


def _rows(function, *arguments):
    return outcome(lambda: function(*arguments).rows)


def shapes():
    for rows in ([[1, 2, 3], [4, 5, 6]], [[7]], [[1], [2]], [[1, 2], [3]], [], [[1], [2], [3, 4]]):
        yield outcome(lambda: Matrix(rows).shape)


def identities_and_zeros():
    for size in (2, 3, 4):
        yield _rows(Matrix.identity, size)
    for height, width in ((1, 3), (2, 1), (2, 3)):
        yield _rows(Matrix.zeros, height, width)


def zeros_with_one_changed():
    zeros = Matrix.zeros(2, 2)
    zeros.rows[0][0] = 1
    return zeros.rows


def items():
    wide = _wide()
    return [wide[row, column] for row, column in ((1, 2), (0, 1), (1, 0))]


def equal_matrices():
    lists = [[[1, 2], [3, 4]], [[1, 2], [3, 5]], [[0, 0], [0, 0]], [[1], [3]]]
    for one in lists:
        yield [other for other in lists if Matrix(one) == Matrix(other)]


def sums():
    for left, right in (
        (_square(), _square()), (_square(), Matrix([[5, 0], [1, -4]])), (_wide(), _wide()),
        (_square(), _wide()),
    ):
        yield _rows(operator.add, left, right)


def differences():
    for left, right in (
        (_square(), Matrix([[1, 1], [1, 1]])), (_wide(), _wide()), (_nine(), _nine().transposed()),
    ):
        yield _rows(operator.sub, left, right)


def scaled():
    for matrix, factor in ((_wide(), 3), (_square(), 0), (_square(), -2)):
        yield _rows(matrix.scaled, factor)


def products():
    for left, right in (
        (_square(), _wide()), (_square(), Matrix.identity(2)), (_wide(), Matrix([[1], [0], [2]])),
        (_nine(), _nine()), (_wide(), _wide()), (_wide(), _square()),
    ):
        yield _rows(operator.matmul, left, right)


def powers():
    for matrix, exponent in (
        (_square(), 2), (_square(), 0), (_square(), 1), (Matrix([[1, 1], [1, 0]]), 10),
        (Matrix([[2]]), 5), (_nine(), 3), (_square(), -1), (_square(), -2),
    ):
        yield _rows(operator.pow, matrix, exponent)


def transposed():
    for matrix in (_wide(), _square(), _nine()):
        yield _rows(matrix.transposed)


def traces():
    for matrix in (_square(), _nine(), _wide()):
        yield outcome(matrix.trace)


def minors():
    for row, column in ((0, 0), (1, 1), (2, 2), (0, 2)):
        yield _rows(_nine().minor, row, column)


def determinants():
    for matrix in (
        Matrix([[7]]), Matrix([[-3]]), _square(), Matrix([[5, 7], [2, 3]]), _nine(), Matrix.identity(4),
        Matrix([[0, 1, 0], [1, 0, 0], [0, 0, 1]]), _wide(), _wide().transposed(),
    ):
        yield outcome(matrix.determinant)


def symmetric_matrices():
    return [
        rows
        for rows in (
            [[1, 2], [2, 5]], [[1, 2], [3, 4]], [[1, 2, 3], [4, 5, 6]], [[1], [1]],
            [[1, 2, 3], [2, 4, 5], [3, 5, 6]], [[1, 2, 3], [2, 4, 5], [3, 9, 6]],
        )
        if Matrix(rows).is_symmetric()
    ]


def rotated():
    for matrix, quarters in (
        (_wide(), 1), (_wide(), 2), (_square(), -1), (_square(), 4), (_square(), 5), (_square(), 3),
    ):
        yield _rows(matrix.rotated, quarters)
    yield _rows(_wide().rotated)


def spirals():
    sixteen = Matrix([[4 * row + column for column in range(4)] for row in range(4)])
    for matrix in (
        _wide(), _nine(), Matrix([[1, 2, 3]]), Matrix([[1], [2], [3]]), _square(), sixteen,
        _wide().transposed(),
    ):
        yield outcome(matrix.spiral)


def neighbours():
    for row in range(3):
        for column in range(3):
            yield outcome(_nine().neighbours, row, column)
