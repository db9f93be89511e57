"""Versions of the form 1.2.3-beta.1, their order and their ranges."""


def parse(text):
    """(major, minor, patch, tags) of a version; tags are numbers or text."""
    core, dash, suffix = text.partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(number.isdigit() for number in numbers):
        raise ValueError(f"not a version: {text!r}")
    if dash == "-" and suffix == "":
        raise ValueError(f"empty tag: {text!r}")
    tags = [int(tag) if tag.isdigit() else tag for tag in suffix.split(".")] if suffix else []
    return (int(numbers[0]), int(numbers[1]), int(numbers[2]), tags)


def show(version):
    """Text of a parsed version."""
    text = ".".join(str(number) for number in version[:3])
    if len(version[3]) > 0:
        text += "-" + ".".join(str(tag) for tag in version[3])
    return text


def compare_tags(left, right):
    """-1, 0 or 1; no tags come after any, numbers come before text."""
    if left == right:
        return 0
    if len(left) == 0 or len(right) == 0:
        return 1 if len(left) == 0 else -1
    for a, b in zip(left, right):
        if a == b:
            continue
        if isinstance(a, int) != isinstance(b, int):
            return -1 if isinstance(a, int) else 1
        return -1 if a < b else 1
    return -1 if len(left) < len(right) else 1


def compare(left, right):
    """-1, 0 or 1 for two version texts."""
    a, b = parse(left), parse(right)
    if a[:3] != b[:3]:
        return -1 if a[:3] < b[:3] else 1
    return compare_tags(a[3], b[3])


def newest(texts):
    """The latest of some versions, the first of equals; None for none."""
    best = None
    for text in texts:
        if best is None or compare(text, best) > 0:
            best = text
    return best


def ordered(texts):
    """Versions from the oldest to the latest."""
    done = []
    for text in texts:
        place = len(done)
        while place > 0 and compare(done[place - 1], text) > 0:
            place -= 1
        done.insert(place, text)
    return done


def bump(text, part):
    """The next version; smaller parts start at 0, tags go."""
    major, minor, patch, tags = parse(text)
    if part == "major":
        return show((major + 1, 0, 0, []))
    if part == "minor":
        return show((major, minor + 1, 0, []))
    if part != "patch":
        raise ValueError(f"part must be major, minor or patch, got {part!r}")
    return show((major, minor, patch if len(tags) > 0 else patch + 1, []))


def is_stable(text):
    """True from 1.0.0 on, without tags."""
    major, _, _, tags = parse(text)
    return major >= 1 and len(tags) == 0


def caret_limit(text):
    """First version that is not compatible."""
    major, minor, patch, _ = parse(text)
    if major > 0:
        return show((major + 1, 0, 0, []))
    if minor > 0:
        return show((0, minor + 1, 0, []))
    return show((0, 0, patch + 1, []))


def satisfies(text, rule):
    """True where a version keeps one rule: ^1.2.3, >=1.0.0, <2.0.0, =1.0.0, !=1.0.0."""
    if rule[0] == "^":
        base = rule[1:]
        return compare(text, base) >= 0 and compare(text, caret_limit(base)) < 0
    sign = rule[:2] if rule[1] == "=" else rule[:1]
    order = compare(text, rule[len(sign) :])
    if sign == "=":
        return order == 0
    if sign == "!=":
        return order != 0
    if sign == ">=":
        return order >= 0
    if sign == "<=":
        return order <= 0
    return order > 0 if sign == ">" else order < 0


def matching(texts, rules):
    """Versions that keep every rule of `>=1.0.0 <2.0.0`, oldest first."""
    kept = []
    for text in ordered(texts):
        if all(satisfies(text, rule) for rule in rules.split()):
            kept.append(text)
    return kept


def distance(left, right):
    """(which, how far) for the first part that differs; ("none", 0) where all are equal."""
    names = ("major", "minor", "patch")
    for name, a, b in zip(names, parse(left), parse(right)):
        if a != b:
            return (name, abs(a - b))
    return ("none", 0)
