"""Laying out plain text: wrapping, padding, indenting, cutting, counting."""


def wrap(text, width):
    """Lines of at most `width` letters; longer words are broken."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    lines, line = [], ""
    for word in text.split():
        while len(word) > width:
            if line != "":
                lines.append(line)
                line = ""
            lines.append(word[:width])
            word = word[width:]
        if line == "":
            line = word
        elif len(line) + 1 + len(word) <= width:
            line = line + " " + word
        else:
            lines.append(line)
            line = word
    if line != "":
        lines.append(line)
    return lines


def justify(line, width):
    """The line with spaces spread so that it fills the width, from the left."""
    words = line.split()
    if len(words) < 2:
        return line
    gaps = len(words) - 1
    spaces = width - sum(len(word) for word in words)
    each, extra = spaces // gaps, spaces % gaps
    filled = ""
    for index, word in enumerate(words[:-1]):
        filled += word + " " * (each + (1 if index < extra else 0))
    return filled + words[-1]


def align(text, width, side="left"):
    """Padded to the width; an odd space goes to the right of centred text."""
    missing = width - len(text)
    if missing <= 0:
        return text
    if side == "left":
        return text + " " * missing
    if side == "right":
        return " " * missing + text
    left = missing // 2
    return " " * left + text + " " * (missing - left)


def shorten(text, width, mark="..."):
    """The text cut to the width, with a mark where something was cut."""
    if len(text) <= width:
        return text
    if width <= len(mark):
        return mark[:width]
    return text[: width - len(mark)].rstrip() + mark


def middle(text, width, mark="..."):
    """The text with its middle cut out."""
    if len(text) <= width:
        return text
    room = width - len(mark)
    if room < 2:
        return text[:width]
    head = room - room // 2
    return text[:head] + mark + text[len(text) - room // 2 :]


def indent_of(line, tab=4):
    """Columns of white space in front."""
    column = 0
    for letter in line:
        if letter == " ":
            column += 1
        elif letter == "\t":
            column += tab - column % tab
        else:
            break
    return column


def dedent(text):
    """The text without the indentation that all its lines share; blank lines do not count."""
    lines = text.split("\n")
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip() != ""]
    shared = min(indents, default=0)
    return "\n".join(line[shared:] if line.strip() != "" else "" for line in lines)


def indent(text, columns, first=None):
    """Every line moved right; the first by `first` columns where that is given."""
    lines = text.split("\n")
    moved = []
    for index, line in enumerate(lines):
        count = first if index == 0 and first is not None else columns
        moved.append(" " * count + line if line != "" else line)
    return "\n".join(moved)


def paragraphs(text):
    """Blocks of lines between blank lines."""
    found, block = [], []
    for line in text.split("\n"):
        if line.strip() == "":
            if len(block) > 0:
                found.append(" ".join(block))
            block = []
        else:
            block.append(line.strip())
    if len(block) > 0:
        found.append(" ".join(block))
    return found


def box(lines):
    """Lines in a frame."""
    width = max((len(line) for line in lines), default=0)
    edge = "+" + "-" * (width + 2) + "+"
    return [edge, *(f"| {line.ljust(width)} |" for line in lines), edge]


def bullet(items, width, mark="- "):
    """A list whose long items hang under their first line."""
    lines = []
    for item in items:
        for index, line in enumerate(wrap(item, width - len(mark))):
            lines.append((mark if index == 0 else " " * len(mark)) + line)
    return lines


def common_prefix(words):
    """The longest text that all words start with."""
    if len(words) == 0:
        return ""
    first, last = min(words), max(words)
    for index, letter in enumerate(first):
        if index >= len(last) or letter != last[index]:
            return first[:index]
    return first
