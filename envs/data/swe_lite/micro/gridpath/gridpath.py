"""Walking, filling and counting on a rectangular grid of letters."""

STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))


def read(text):
    """Rows of a grid; raises ValueError for rows of different length."""
    rows = text.split()
    if len(rows) == 0 or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("rows must be of one length, at least one row")
    return rows


def inside(grid, row, column):
    """True for a place on the grid."""
    return 0 <= row < len(grid) and 0 <= column < len(grid[0])


def find(grid, letter):
    """First place of a letter, None where there is none."""
    for row, line in enumerate(grid):
        for column, found in enumerate(line):
            if found == letter:
                return (row, column)
    return None


def neighbours(grid, place, wall="#"):
    """Free places beside one, clockwise from the top."""
    found = []
    for down, right in STEPS:
        row, column = place[0] + down, place[1] + right
        if inside(grid, row, column) and grid[row][column] != wall:
            found.append((row, column))
    return found


def distances(grid, start, wall="#"):
    """Steps to every place that can be reached."""
    steps = {start: 0}
    queue = [start]
    while len(queue) > 0:
        place = queue.pop(0)
        for following in neighbours(grid, place, wall):
            if following not in steps:
                steps[following] = steps[place] + 1
                queue.append(following)
    return steps


def shortest(grid, start="S", goal="G"):
    """Steps from one letter to another; None where there is no way."""
    first, last = find(grid, start), find(grid, goal)
    if first is None or last is None:
        raise ValueError(f"grid must hold {start!r} and {goal!r}")
    return distances(grid, first).get(last)


def regions(grid, wall="#"):
    """Sizes of the connected free parts, largest first."""
    seen, sizes = set(), []
    for row in range(len(grid)):
        for column in range(len(grid[0])):
            if grid[row][column] == wall or (row, column) in seen:
                continue
            part = distances(grid, (row, column), wall)
            seen.update(part)
            sizes.append(len(part))
    return sorted(sizes, reverse=True)


def around(grid, row, column, letter="#"):
    """How many of the eight places around one hold a letter."""
    count = 0
    for i in range(row - 1, row + 2):
        for j in range(column - 1, column + 2):
            if (i, j) != (row, column) and inside(grid, i, j) and grid[i][j] == letter:
                count += 1
    return count


def generation(grid, alive="#", dead="."):
    """The next grid of the game of life."""
    rows = []
    for row in range(len(grid)):
        line = ""
        for column in range(len(grid[0])):
            count = around(grid, row, column, alive)
            lives = count == 3 or (count == 2 and grid[row][column] == alive)
            line += alive if lives else dead
        rows.append(line)
    return rows


def largest_square(grid, letter="."):
    """Side of the largest square of one letter."""
    best = 0
    sides = {}
    for row in range(len(grid)):
        for column in range(len(grid[0])):
            if grid[row][column] != letter:
                continue
            before = [(row - 1, column), (row, column - 1), (row - 1, column - 1)]
            side = min(sides.get(place, 0) for place in before) + 1
            sides[(row, column)] = side
            if side > best:
                best = side
    return best


def manhattan(a, b):
    """Steps between two places without walls."""
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def line(a, b):
    """Places from one to another in a row, a column or a diagonal, ends included."""
    down, right = b[0] - a[0], b[1] - a[1]
    if down != 0 and right != 0 and abs(down) != abs(right):
        raise ValueError(f"{a} and {b} are not in line")
    length = max(abs(down), abs(right))
    if length == 0:
        return [a]
    return [(a[0] + down * i // length, a[1] + right * i // length) for i in range(length + 1)]


def visible(grid, row, column, letter="#"):
    """How many of the four directions show a letter before the edge."""
    count = 0
    for down, right in STEPS:
        i, j = row + down, column + right
        while inside(grid, i, j) and grid[i][j] != letter:
            i, j = i + down, j + right
        if inside(grid, i, j):
            count += 1
    return count
