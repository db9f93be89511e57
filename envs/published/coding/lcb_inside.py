"""Runs a program of LiveCodeBench in a sandbox. Its text is executed there.

With an argument, the name of a function, standard input is that function's arguments, a JSON list,
and its value is written as JSON; without one the program reads standard input itself. What it gives
goes into the file `output`. Standard library only.
"""

import contextlib
import importlib
import json
import os
import runpy
import sys
from typing import Any

# Programs are written without imports; these are the modules that LiveCodeBench's harness imports
# for them, all names first and then the modules, of which some share a name.
MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math"),
    *("random", "statistics", "itertools", "functools", "operator", "io", "sys"),
    *("json",),
    *("builtins", "typing"),
)
RECURSION = 50_000


def imported_names() -> dict[str, Any]:
    """What a program may use without an import."""
    names: dict[str, Any] = {}
    for module in MODULES:
        exec(f"from {module} import *", names)
    for module in MODULES[:-2]:
        names[module] = importlib.import_module(module)
    # The program's own, by which it is told from an import.
    del names["__builtins__"]
    return names


def plain_json(value: Any) -> Any:
    """A value as JSON, in which a tuple is no list."""
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [plain_json(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[plain_json(key), plain_json(value[key])] for key in value]}
    return value


def main(function: str) -> None:
    """Runs `solution.py`, or calls a function of it."""
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    sys.setrecursionlimit(RECURSION)
    names = imported_names()
    if not function:
        # The code of an exit says nothing: what was printed counts.
        with contextlib.suppress(SystemExit):
            runpy.run_path("solution.py", init_globals=names, run_name="__main__")
        sys.stdout.flush()
        return

    arguments = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    space = runpy.run_path("solution.py", init_globals=names, run_name="solution")
    is_method = "Solution" in space
    method = getattr(space["Solution"](), function) if is_method else space[function]
    value = method(*arguments)
    # A harness without tuples takes one for a list, on the outside.
    value = list(value) if isinstance(value, tuple) else value
    with open(output, "w") as file:
        json.dump(plain_json(value), file)


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
