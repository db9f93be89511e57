"""Small matrices of numbers, row by row."""


class Matrix:
    """A rectangular matrix; rows are lists of equal length."""

    def __init__(self, rows):
        self.rows = [list(row) for row in rows]
        if not self.rows or any(len(row) != len(self.rows[0]) for row in self.rows):
            raise ValueError("rows must be of one length, at least one row")

    @classmethod
    def identity(cls, size):
        return cls([[1 if i == j else 0 for j in range(size)] for i in range(size)])

    @classmethod
    def zeros(cls, height, width):
        return cls([[0] * width for _ in range(height)])

    @property
    def shape(self):
        return len(self.rows), len(self.rows[0])

    def __eq__(self, other):
        return self.rows == other.rows

    def __getitem__(self, place):
        row, column = place
        return self.rows[row][column]

    def __add__(self, other):
        if self.shape != other.shape:
            raise ValueError(f"shapes differ: {self.shape} and {other.shape}")
        pairs = zip(self.rows, other.rows)
        return Matrix([[a + b for a, b in zip(left, right)] for left, right in pairs])

    def __sub__(self, other):
        return self + other.scaled(-1)

    def scaled(self, factor):
        return Matrix([[value * factor for value in row] for row in self.rows])

    def __matmul__(self, other):
        height, inner = self.shape
        if inner != other.shape[0]:
            raise ValueError(f"cannot multiply {self.shape} by {other.shape}")
        product = Matrix.zeros(height, other.shape[1])
        for i in range(height):
            for j in range(other.shape[1]):
                for k in range(inner):
                    product.rows[i][j] += self.rows[i][k] * other.rows[k][j]
        return product

    def __pow__(self, exponent):
        if exponent < 0:
            raise ValueError(f"exponent must not be negative, got {exponent}")
        result, square = Matrix.identity(len(self.rows)), self
        while exponent > 0:
            if exponent % 2 == 1:
                result = result @ square
            square = square @ square
            exponent //= 2
        return result

    def transposed(self):
        return Matrix([list(column) for column in zip(*self.rows)])

    def trace(self):
        """Sum of the diagonal."""
        return sum(self.rows[i][i] for i in range(min(self.shape)))

    def minor(self, row, column):
        """Without one row and one column."""
        kept = [r for i, r in enumerate(self.rows) if i != row]
        return Matrix([r[:column] + r[column + 1 :] for r in kept])

    def determinant(self):
        height, width = self.shape
        if height != width:
            raise ValueError(f"no determinant of shape {self.shape}")
        if height == 1:
            return self.rows[0][0]
        if height == 2:
            return self.rows[0][0] * self.rows[1][1] - self.rows[0][1] * self.rows[1][0]
        total = 0
        for column in range(width):
            sign = 1 if column % 2 == 0 else -1
            total += sign * self.rows[0][column] * self.minor(0, column).determinant()
        return total

    def is_symmetric(self):
        height, width = self.shape
        if height != width:
            return False
        return all(self.rows[i][j] == self.rows[j][i] for i in range(height) for j in range(i))

    def rotated(self, quarters=1):
        """Turned clockwise."""
        rows = self.rows
        for _ in range(quarters % 4):
            rows = [list(column) for column in zip(*rows[::-1])]
        return Matrix(rows)

    def spiral(self):
        """Values from the outside in, clockwise from the top left."""
        found = []
        top, left = 0, 0
        bottom, right = self.shape[0] - 1, self.shape[1] - 1
        while top <= bottom and left <= right:
            found += self.rows[top][left : right + 1]
            found += [self.rows[i][right] for i in range(top + 1, bottom + 1)]
            if top < bottom:
                found += [self.rows[bottom][j] for j in range(right - 1, left - 1, -1)]
            if left < right:
                found += [self.rows[i][left] for i in range(bottom - 1, top, -1)]
            top, left, bottom, right = top + 1, left + 1, bottom - 1, right - 1
        return found

    def neighbours(self, row, column):
        """Values of the up to eight cells around one."""
        height, width = self.shape
        found = []
        for i in range(max(row - 1, 0), min(row + 2, height)):
            for j in range(max(column - 1, 0), min(column + 2, width)):
                if i != row or j != column:
                    found.append(self.rows[i][j])
        return found
