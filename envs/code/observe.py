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

MOST_CHARS = 2000
MOST_DEPTH = 50


class Raised:
    """That a call raised, and an exception of which class."""

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
    if depth > MOST_DEPTH:
        return {"object": "deeper than can be written"}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": hex(value)} if abs(value) >= 2**63 else int(value)
    if isinstance(value, float):
        return {"float": float.__repr__(value)}
    if isinstance(value, complex):
        return {"complex": complex.__repr__(value)}
    if isinstance(value, Fraction):
        return {"fraction": f"{int(value.numerator)}/{int(value.denominator)}"}
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < 300:
        return encode(Fraction(value))
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray):
        return {type(value).__name__: bytes(value).hex()}
    if isinstance(value, list):
        return [encode(one, depth + 1) for one in list.__iter__(value)]
    if isinstance(value, dict):
        pairs = dict.items(value)
        return {
            "dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in pairs]
        }
    if isinstance(value, tuple):
        return {"tuple": [encode(one, depth + 1) for one in tuple.__iter__(value)]}
    if isinstance(value, set | frozenset):
        return {
            "set": sorted((encode(one, depth + 1) for one in value), key=json.dumps)
        }
    if isinstance(value, Raised):
        return {"raised": value.name}
    return {"object": type(value).__name__}


def decode(written: Any) -> Any:
    """The value that `encode` wrote; for a value that it could not write, a new object."""
    if isinstance(written, list):
        return [decode(one) for one in written]
    if not isinstance(written, dict):
        return written
    ((kind, inner),) = written.items()
    if kind == "dict":
        return {decode(key): decode(value) for key, value in inner}
    if kind == "tuple":
        return tuple(decode(one) for one in inner)
    if kind == "set":
        return {decode(one) for one in inner}
    if kind == "int":
        return int(inner, 16)
    if kind == "float":
        return float(inner)
    if kind == "complex":
        return complex(inner)
    if kind == "fraction":
        return Fraction(inner)
    if kind == "bytes":
        return bytes.fromhex(inner)
    if kind == "bytearray":
        return bytearray.fromhex(inner)
    if kind == "raised":
        return Raised(inner)
    return object()


def short(value: Any) -> Any:
    """The value as JSON, or its digest where that is long."""
    written = encode(value)
    text = json.dumps(written)
    if len(text) <= MOST_CHARS:
        return written
    return {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def observations(case: Callable[[], Any]) -> list[Any]:
    """What a case of a witness gives: its value, or the values that it yields, one after another.

    An exception is the last of them.
    """
    try:
        value = case()
        if not inspect.isgenerator(value):
            return [short(value)]
        written = []
        try:
            for one in value:
                written.append(short(one))
        except BaseException as error:  # noqa: BLE001 - see `outcome`
            written.append(short(Raised(type(error).__name__)))
        return written
    except BaseException as error:  # noqa: BLE001 - see `outcome`
        return [short(Raised(type(error).__name__))]


def witnessed(request: Mapping[str, Any]) -> list[Any]:
    """Every public function of a witness module, and what it gives."""
    names = vars(__import__(request["witness"]))
    return [
        [name, observations(case)]
        for name, case in list(names.items())
        if inspect.isfunction(case)
        and not name.startswith("_")
        and case.__module__ == request["witness"]
    ]


def called(request: Mapping[str, Any]) -> list[Any]:
    """What each call of a function of the module gives."""
    module = outcome(__import__, request["module"])
    if isinstance(module, Raised):
        return [encode(module)] * len(request["calls"])
    return [
        encode(outcome(lambda: getattr(module, entry)(*decode(arguments))))  # noqa: B023
        for entry, arguments in request["calls"]
    ]


def checked(request: Mapping[str, Any]) -> dict[str, Any]:
    """Whether HumanEval's `check` holds, and the calls that it makes with what they give.

    Without `values` the module's own function is called; else the calls give the values in turn.
    """
    random.seed(0)
    space: dict[str, Any] = {}
    exec(request["check"], space)
    own = (
        None
        if "values" in request
        else getattr(__import__(request["module"]), request["entry"])
    )
    values = iter(request.get("values", ()))
    arguments: list[Any] = []
    given: list[Any] = []

    def candidate(*positional: Any) -> Any:
        arguments.append(encode(list(positional)))
        value = decode(next(values)) if own is None else own(*positional)
        if isinstance(value, Raised):
            raise RuntimeError(value.name)
        given.append(encode(value))
        return value

    # Some checks call the function by its name, which is the prompt's empty one.
    space[request["entry"]] = candidate
    verdict = outcome(space["check"], candidate)
    return {"passed": verdict is None, "arguments": arguments, "values": given}


def main() -> None:
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
        answer = outcome(witnessed, request)
    elif "check" in request:
        answer = checked(request)
    else:
        answer = called(request)
    out.write(
        json.dumps(encode(answer) if isinstance(answer, Raised) else answer) + "\n"
    )
    out.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
