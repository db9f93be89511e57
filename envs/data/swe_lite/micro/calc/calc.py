"""An arithmetic expression: tokens, tree walk, value and printing."""

OPERATORS = "+-*/%^()"
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}


def is_digit(letter):
    """True for the letters that numbers are made of."""
    return "0" <= letter <= "9" or letter == "."


def is_name(letter):
    """True for the letters that names are made of."""
    return "a" <= letter <= "z" or "A" <= letter <= "Z" or letter == "_"


def tokens(text):
    """Numbers as int or float, names and operators as text."""
    found = []
    position = 0
    while position < len(text):
        letter = text[position]
        start = position
        if letter == " ":
            position += 1
        elif is_digit(letter):
            while position < len(text) and is_digit(text[position]):
                position += 1
            digits = text[start:position]
            found.append(float(digits) if "." in digits else int(digits))
        elif is_name(letter):
            while position < len(text) and is_name(text[position]):
                position += 1
            found.append(text[start:position])
        elif letter in OPERATORS:
            found.append(letter)
            position += 1
        else:
            raise ValueError(f"unexpected {letter!r} at {position}")
    return found


def apply(operator, left, right):
    """Value of one operation."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "%":
        return left % right
    if operator == "^":
        return left**right
    if right == 0:
        raise ValueError("division by zero")
    return left / right


class Parser:
    """Precedence climbing over a list of tokens."""

    def __init__(self, found, names=None):
        self.tokens = found
        self.names = names or {}
        self.position = 0

    def peek(self):
        """The next token, None at the end."""
        if self.position >= len(self.tokens):
            return None
        return self.tokens[self.position]

    def take(self):
        token = self.peek()
        self.position += 1
        return token

    def operand(self):
        """A number, a name, a sign with its operand, or brackets."""
        token = self.take()
        if token == "-":
            return -self.expression(3)
        if token == "(":
            value = self.expression(1)
            if self.take() != ")":
                raise ValueError("bracket is not closed")
            return value
        if isinstance(token, (int, float)):
            return token
        if token in self.names:
            return self.names[token]
        raise ValueError(f"expected a value, got {token!r}")

    def expression(self, lowest):
        """Value of everything that binds at least as tightly as `lowest`."""
        left = self.operand()
        while self.peek() in PRECEDENCE and PRECEDENCE[self.peek()] >= lowest:
            operator = self.take()
            level = PRECEDENCE[operator]
            right = self.expression(level if operator == "^" else level + 1)
            left = apply(operator, left, right)
        return left


def evaluate(text, **names):
    """Value of an expression."""
    parser = Parser(tokens(text), names)
    value = parser.expression(1)
    if parser.peek() is not None:
        raise ValueError(f"unexpected {parser.peek()!r}")
    return value


def depth(text):
    """Deepest nesting of brackets; raises ValueError where they do not match."""
    deepest = level = 0
    for letter in text:
        if letter == "(":
            level += 1
            deepest = max(deepest, level)
        elif letter == ")":
            level -= 1
            if level < 0:
                raise ValueError("bracket closed before it was opened")
    if level != 0:
        raise ValueError(f"{level} brackets are not closed")
    return deepest


def show(value, digits=3):
    """Short text of a number: no trailing zeros."""
    if value == int(value):
        return str(int(value))
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
