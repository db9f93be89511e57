"""Reading and writing delimited text, quotes included."""


def split_line(line, separator=",", quote='"'):
    """Fields of one line; a doubled quote inside quotes is a quote."""
    fields, field, quoted = [], "", False
    position = 0
    while position < len(line):
        letter = line[position]
        if quoted:
            if letter != quote:
                field += letter
            elif line[position + 1 : position + 2] == quote:
                field += quote
                position += 1
            else:
                quoted = False
        elif letter == quote and field == "":
            quoted = True
        elif letter == separator:
            fields.append(field)
            field = ""
        else:
            field += letter
        position += 1
    if quoted:
        raise ValueError(f"quote is not closed: {line!r}")
    return [*fields, field]


def needs_quotes(field, separator=",", quote='"'):
    """True where a field can only be written in quotes."""
    return separator in field or quote in field or field != field.strip()


def join_fields(fields, separator=",", quote='"'):
    """One line from fields, with quotes where they are needed."""
    written = []
    for field in fields:
        if needs_quotes(field, separator, quote):
            field = quote + field.replace(quote, quote * 2) + quote
        written.append(field)
    return separator.join(written)


def parse(text, separator=","):
    """Rows of a text; blank lines and lines that start with # are skipped."""
    rows = []
    for line in text.splitlines():
        if line.strip() == "" or line[0] == "#":
            continue
        rows.append(split_line(line, separator))
    return rows


def records(text, separator=","):
    """Dictionaries keyed by the first row; short rows are filled with empty text."""
    rows = parse(text, separator)
    if len(rows) == 0:
        return []
    header = rows[0]
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) > len(header):
            raise ValueError(f"row {number} has {len(row)} fields, header has {len(header)}")
        filled = row + [""] * (len(header) - len(row))
        found.append(dict(zip(header, filled)))
    return found


def convert(field):
    """Number, truth value, None for empty text, else the text itself."""
    if field == "":
        return None
    if field in ("true", "false"):
        return field == "true"
    digits = field[1:] if field[0] in "+-" else field
    if digits.isdigit():
        return int(field)
    whole, dot, fraction = digits.partition(".")
    if dot == "." and (whole + fraction).isdigit():
        return float(field)
    return field


def widths(rows):
    """Width of every column."""
    columns = max((len(row) for row in rows), default=0)
    found = [0] * columns
    for row in rows:
        for index, field in enumerate(row):
            if len(field) > found[index]:
                found[index] = len(field)
    return found


def table(rows, gap=2):
    """Rows as aligned columns; numbers to the right."""
    sizes = widths(rows)
    lines = []
    for row in rows:
        cells = []
        for field, size in zip(row, sizes):
            is_number = isinstance(convert(field), (int, float))
            cells.append(field.rjust(size) if is_number else field.ljust(size))
        lines.append((" " * gap).join(cells).rstrip())
    return lines


def guess_separator(text, candidates=",;\t|"):
    """The candidate that splits most lines alike; the first of equals."""
    lines = [line for line in text.splitlines() if line.strip() != ""]
    best, best_count = candidates[0], 0
    for candidate in candidates:
        counts = [line.count(candidate) for line in lines]
        if counts and min(counts) > best_count and min(counts) == max(counts):
            best, best_count = candidate, counts[0]
    return best


def column_total(rows, index, start=1):
    """Sum of the numbers of a column, from row `start` on; other fields are skipped."""
    total = 0
    for row in rows[start:]:
        if index >= len(row):
            continue
        value = convert(row[index])
        if value is not None and not isinstance(value, (str, bool)):
            total += value
    return total
