"""Taking web addresses apart and putting them together, for plain ASCII."""

HEX = "0123456789ABCDEF"
PLAIN = "-._~"


def split(text):
    """(scheme, host, path, query, fragment) of an address; missing parts are empty."""
    rest, _, fragment = text.partition("#")
    rest, _, query = rest.partition("?")
    scheme, found, after = rest.partition("://")
    if found == "":
        return "", "", rest, query, fragment
    host, slash, path = after.partition("/")
    return scheme.lower(), host.lower(), slash + path, query, fragment


def join(parts):
    """The inverse of `split`."""
    scheme, host, path, query, fragment = parts
    text = path
    if scheme:
        text = scheme + "://" + host + path
    if query:
        text += "?" + query
    return text + ("#" + fragment if fragment else "")


def port(host):
    """The number after a host's last colon; 80 where there is none."""
    place = host.rfind(":")
    if place < 0:
        return 80
    digits = host[place + 1:]
    if not digits.isdigit():
        raise ValueError("not a port: " + digits)
    if int(digits) > 65535:
        raise OverflowError(digits)
    return int(digits)


def escape(text):
    """The text with %XX for what is no letter, no digit and not in `PLAIN`."""
    found = []
    for letter in text:
        if letter.isalnum() or letter in PLAIN:
            found.append(letter)
        else:
            code = ord(letter)
            found.append("%" + HEX[code // 16] + HEX[code % 16])
    return "".join(found)


def unescape(text):
    """The inverse of `escape`; a plus is a space."""
    found = []
    place = 0
    while place < len(text):
        letter = text[place]
        if letter == "%":
            digits = text[place + 1:place + 3].upper()
            if len(digits) < 2 or not all(digit in HEX for digit in digits):
                raise ValueError("bad escape: " + digits)
            letter = chr(int(digits, 16))
            place += 2
        elif letter == "+":
            letter = " "
        found.append(letter)
        place += 1
    return "".join(found)


def pairs(query):
    """[(name, value)] of a query such as a=1&b=2; a part without a sign has an empty value."""
    found = []
    for part in query.split("&"):
        if part == "":
            continue
        name, _, value = part.partition("=")
        if name == "":
            raise KeyError(part)
        found.append((unescape(name), unescape(value)))
    return found


def query(values):
    """A query of a dictionary, by name; a list gives its name several times."""
    found = []
    for name in sorted(values):
        value = values[name]
        several = value if isinstance(value, list) else [value]
        found.extend(escape(name) + "=" + escape(str(one)) for one in several)
    return "&".join(found)


def normal(path):
    """A path without empty, . and .. steps. Raises IndexError above the root."""
    steps = []
    for step in path.split("/"):
        if step == "..":
            steps.pop()
        elif step not in ("", "."):
            steps.append(step)
    end = "/" if path.endswith("/") and steps else ""
    return "/" + "/".join(steps) + end


def resolve(base, link):
    """The address that a link on the page `base` leads to."""
    scheme, host, path, _, _ = split(base)
    other = split(link)
    if other[0]:
        return link
    if other[2].startswith("/"):
        path = other[2]
    elif other[2]:
        path = path[:path.rfind("/") + 1] + other[2]
    return join((scheme, host, normal(path), other[3], other[4]))


def ending(path):
    """The letters after the last dot of the last step, in lower case; empty for none."""
    name = path[path.rfind("/") + 1:]
    stem, dot, last = name.rpartition(".")
    return last.lower() if dot and stem else ""


def site(host):
    """The last two names of a host without its port."""
    names = host.lower().split(":")[0].split(".")
    if any(name == "" for name in names):
        raise ValueError("empty name in " + host)
    return ".".join(names[-2:])
