"""Outlines: lines whose indentation says what belongs below what."""


def depth(line):
    """How many pairs of spaces a line begins with. Raises IndexError for an odd number."""
    spaces = len(line) - len(line.lstrip(" "))
    if spaces % 2 == 1:
        raise IndexError("odd indentation")
    return spaces // 2


def parse(text):
    """[[title, children]] of the lines; blank lines are left out."""
    levels = [[]]
    for line in text.split("\n"):
        if line.strip() == "":
            continue
        level = depth(line)
        if level >= len(levels):
            raise ValueError("too deep: " + line.strip())
        node = [line.strip(), []]
        levels[level].append(node)
        levels = levels[:level + 1]
        levels.append(node[1])
    return levels[0]


def show(nodes, level=0):
    """The inverse of `parse`."""
    lines = []
    for title, children in nodes:
        lines.append("  " * level + title)
        if children:
            lines.append(show(children, level + 1))
    return "\n".join(lines)


def count(nodes):
    """How many titles there are at all levels."""
    return len(nodes) + sum(count(children) for _, children in nodes)


def height(nodes):
    """The number of levels."""
    if not nodes:
        return 0
    return 1 + max(height(children) for _, children in nodes)


def find(nodes, title):
    """The titles from the top to the first node of that title. Raises KeyError."""
    for name, children in nodes:
        if name == title:
            return [name]
        try:
            return [name] + find(children, title)
        except KeyError:
            continue
    raise KeyError(title)


def leaves(nodes):
    """The titles that have nothing below, in order."""
    found = []
    for title, children in nodes:
        if children:
            found.extend(leaves(children))
        else:
            found.append(title)
    return found


def numbered(nodes, before=""):
    """(number, title) of every node in order, numbers as in 2.1.3."""
    found = []
    for place, (title, children) in enumerate(nodes, 1):
        number = before + str(place)
        found.append((number, title))
        found.extend(numbered(children, number + "."))
    return found


def sort(nodes):
    """The same with the titles of each level in the order of their lower case letters."""
    order = sorted(nodes, key=lambda node: node[0].lower())
    return [[title, sort(children)] for title, children in order]


def prune(nodes, most):
    """The upper `most` levels."""
    if most < 1:
        return []
    return [[title, prune(children, most - 1)] for title, children in nodes]


def words(nodes):
    """How often each word stands in titles, in lower case."""
    found = {}
    for title, children in nodes:
        for word in title.lower().split():
            found[word] = found.get(word, 0) + 1
        for word, times in words(children).items():
            found[word] = found.get(word, 0) + times
    return found


def done(nodes):
    """(ticked, all) of the leaves; "[x] " before a title ticks it, with all below."""
    ticked = total = 0
    for title, children in nodes:
        mark = title[:4].lower()
        own, below = done(children) if children else (0, 1)
        total += below
        ticked += below if mark == "[x] " else own
    return ticked, total


def number_of(text):
    """The parts of a number such as 2.1.3. Raises ValueError."""
    parts = text.rstrip(".").split(".")
    if not all(part.isdigit() for part in parts):
        raise ValueError("not a number: " + text)
    return tuple(int(part) for part in parts)


def at(nodes, number):
    """The title of a number such as 2.1. Raises LookupError where there is none."""
    found = ""
    for part in number_of(number):
        if not 1 <= part <= len(nodes):
            raise LookupError(number)
        found, nodes = nodes[part - 1]
    return found
