"""Runs a submission and prints what it gives, as plain values. Its text is executed in a sandbox.

No expected value is ever sent here: whoever reads the output compares it with values that this
process has never seen, so code that forges its output has to know the right answer. Standard
library only; runs on Python 3.11 and later.

Standard input: one JSON object, a request of one of three kinds.

    {"witness": module}                            the cases of a witness module
    {"module": m, "calls": [[name, arguments]]}    calls of functions of a module
    {"entry": name, "check": source, "values": []} HumanEval's check of calls that are over,
                                                   or, with a module and no values, of its function

Standard output: one line of JSON, the answer.
"""

import hashlib
import inspect
import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_CHARS = 2000
MAX_DEPTH = 50


class Raised:
    """Stands for a call that raised; `name` is the exception's class."""

    def __init__(self, name: str) -> None:
        self.name = name


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The value of a call, or the `Raised` that stands for its exception."""
    try:
        return function(*arguments, **options)
    except BaseException as error:  # noqa: BLE001 - it is what the call gave
        return Raised(type(error).__name__)


def encode(value: Any, depth: int = 0) -> Any:
    """A value as JSON: what JSON lacks is an object with one key, which names the type.

    Subclasses of the plain types are written as these; any other object as the name of its class.
    """
    # Methods are called on the plain types: a subclass of the submission's may override them.
    if depth > MAX_DEPTH:
        return {"object": "deeper than can be written"}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | complex | Fraction | Decimal):
        return _encode_number(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return {type(value).__name__: bytes(value).hex()}
    if isinstance(value, list | dict | tuple | set | frozenset):
        return _encode_container(value, depth + 1)
    if isinstance(value, Raised):
        return {"raised": value.name}
    return {"object": type(value).__name__}


def _encode_number(value: Any) -> Any:
    if isinstance(value, int):
        # In hexadecimal: Python refuses to read or write very many decimal digits.
        is_long = abs(value) >= 2**63
        return {"int": hex(value)} if is_long else int(value)
    if isinstance(value, float):
        return {"float": float.__repr__(value)}
    if isinstance(value, complex):
        return {"complex": complex.__repr__(value)}
    if isinstance(value, Fraction):
        numerator = int(value.numerator)
        denominator = int(value.denominator)
        return {"fraction": f"{numerator}/{denominator}"}
    # A decimal with a huge exponent would be a fraction of that many digits.
    if value.is_finite() and abs(value.adjusted()) < 300:
        return _encode_number(Fraction(value))
    return {"object": type(value).__name__}


def _encode_container(value: Any, depth: int) -> Any:
    """`depth`: that of the items."""
    if isinstance(value, dict):
        return {"dict": _encode_pairs(value, depth)}
    if isinstance(value, list):
        return [encode(item, depth) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        items = [encode(item, depth) for item in tuple.__iter__(value)]
        return {"tuple": items}
    items = [encode(item, depth) for item in value]
    return {"set": sorted(items, key=json.dumps)}


def _encode_pairs(value: dict[Any, Any], depth: int) -> list[Any]:
    pairs: list[Any] = []
    for key, item in dict.items(value):
        encoded_key = encode(key, depth)
        encoded_item = encode(item, depth)
        pairs.append([encoded_key, encoded_item])
    return pairs


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "complex": complex,
    "fraction": Fraction,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "raised": Raised,
}
"""How a value is read whose JSON is an object with this key and a text."""


def decode(written: Any) -> Any:
    """The value that `encode` wrote; for a value that it could not write, a new object."""
    if isinstance(written, list):
        return [decode(item) for item in written]
    if not isinstance(written, dict):
        return written

    ((kind, inner),) = written.items()
    if kind == "dict":
        return {decode(key): decode(value) for key, value in inner}
    if kind == "tuple":
        return tuple(decode(item) for item in inner)
    if kind == "set":
        return {decode(item) for item in inner}
    if kind in _SCALARS:
        return _SCALARS[kind](inner)
    return object()


def short(value: Any) -> Any:
    """The value as JSON, or its digest if that is long."""
    written = encode(value)
    text = json.dumps(written)
    if len(text) <= MAX_CHARS:
        return written
    digest = hashlib.sha256(text.encode())
    return {"sha256": digest.hexdigest()}


def observations(case: Callable[[], Any]) -> list[Any]:
    """What a case of a witness gives: its value, or the values that it yields, one after another.

    An exception is the last of them.
    """
    written: list[Any] = []
    try:
        value = case()
        if not inspect.isgenerator(value):
            return [short(value)]
        for item in value:
            written.append(short(item))
    except BaseException as error:  # noqa: BLE001 - see `outcome`
        written.append(short(Raised(type(error).__name__)))
    return written


def witness_cases(request: Mapping[str, Any]) -> list[Any]:
    """Every public function of a witness module, and what it gives."""
    module = request["witness"]
    names = vars(__import__(module))

    cases: list[Any] = []
    # A copy: a case may bind names of its module while it runs.
    for name, case in list(names.items()):
        is_case = inspect.isfunction(case) and case.__module__ == module
        if is_case and not name.startswith("_"):
            cases.append([name, observations(case)])
    return cases


def call_values(request: Mapping[str, Any]) -> list[Any]:
    """What each call of a function of the module gives."""
    calls = request["calls"]
    module = outcome(__import__, request["module"])
    if isinstance(module, Raised):
        return [encode(module)] * len(calls)

    def call(entry: str, arguments: Any) -> Any:
        """Names are looked up call by call: one that is missing is that call's error."""
        function = getattr(module, entry)
        return function(*decode(arguments))

    values: list[Any] = []
    for entry, arguments in calls:
        value = outcome(call, entry, arguments)
        values.append(encode(value))
    return values


def check_result(request: Mapping[str, Any]) -> dict[str, Any]:
    """Whether HumanEval's `check` holds, and the calls that it makes with what they give.

    Without `values` the module's own function is called; else the calls give the values in turn.
    """
    random.seed(0)
    space: dict[str, Any] = {}
    exec(request["check"], space)

    if "values" in request:
        recorded = iter(request["values"])

        def function(*_: Any) -> Any:
            """The value of the next call, whatever its arguments."""
            return decode(next(recorded))

    else:
        function = getattr(__import__(request["module"]), request["entry"])

    arguments: list[Any] = []
    values: list[Any] = []

    def candidate(*positional: Any) -> Any:
        """What the check calls: notes its arguments and its value."""
        arguments.append(encode(list(positional)))
        value = function(*positional)
        if isinstance(value, Raised):
            raise RuntimeError(value.name)
        values.append(encode(value))
        return value

    # Some checks call the function by its name, which is the prompt's empty one.
    space[request["entry"]] = candidate
    verdict = outcome(space["check"], candidate)
    return {"passed": verdict is None, "arguments": arguments, "values": values}


def main() -> None:
    """Answers the request of standard input; the submission gets no standard streams."""
    request = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)

    sys.dont_write_bytecode = True
    sys.path.insert(0, os.getcwd())
    # A witness imports `outcome` from here.
    sys.modules["observe"] = sys.modules["__main__"]
    if "witness" in request:
        answer = outcome(witness_cases, request)
    elif "check" in request:
        answer = check_result(request)
    else:
        answer = call_values(request)

    written = encode(answer) if isinstance(answer, Raised) else answer
    out.write(json.dumps(written) + "\n")
    out.flush()
    # No handler of the submission's runs after its answer.
    os._exit(0)


if __name__ == "__main__":
    main()
