"""Blocks of `Name: value` lines, as mail and the web have them."""


def parse(text):
    """(name, value) of every line; a line that begins with a space continues the one before."""
    found = []
    for line in text.split("\n"):
        if line.strip() == "":
            break
        if line.startswith(" "):
            if not found:
                raise ValueError("nothing to continue")
            name, value = found.pop()
            found.append((name, value + " " + line.strip()))
            continue
        name, colon, value = line.partition(":")
        if colon == "":
            raise KeyError(line)
        found.append((name.rstrip(), value.strip()))
    return found


def show(pairs):
    """The inverse of `parse`."""
    return "\n".join(name + ": " + str(value) for name, value in pairs)


def first(pairs, wanted, other=None):
    """The first value of a name in any case, `other` where there is none."""
    for name, value in pairs:
        if name.lower() == wanted.lower():
            return value
    return other


def every(pairs, wanted):
    """All values of a name in any case."""
    return list(value for name, value in pairs if name.lower() == wanted.lower())


def merged(pairs):
    """One value for each name in lower case, several ones with commas between."""
    found = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return {name: ", ".join(values) for name, values in found.items()}


def without(pairs, *names):
    """The pairs whose names are not among some."""
    gone = set(name.lower() for name in names)
    return [pair for pair in pairs if pair[0].lower() not in gone]


def length(pairs):
    """The number in Content-Length, 0 where there is none."""
    value = first(pairs, "Content-Length", "0").strip()
    if not value.isdigit():
        raise ValueError("not a length: " + value)
    return int(value)


def parameters(value):
    """The word before the first semicolon, and what `name=value` parts follow it."""
    parts = [part.strip() for part in value.split(";")]
    found = {}
    for part in parts[1:]:
        name, sign, text = part.partition("=")
        if sign == "":
            raise ValueError("no value: " + part)
        if text.startswith('"') and text.endswith('"') and len(text) > 1:
            text = text[1:-1]
        found[name.lower()] = text
    return parts[0].lower(), found


def accepted(value):
    """The words of a list such as `b;q=0.5, a`, best first; the first of equals first."""
    found = []
    for part in value.split(","):
        word, rest = parameters(part)
        try:
            quality = float(rest.get("q", "1"))
        except ValueError:
            raise TypeError("not a quality: " + rest["q"])
        if quality > 0:
            found.append((-quality, len(found), word))
    return [word for _, _, word in sorted(found)]


def titled(name):
    """A name as it is mostly written: Content-Type."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
