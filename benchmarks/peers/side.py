"""Runs in a peer's own environment: runs actions by name and reports how long they took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

__all__ = ["serve"]


def serve(makers: Mapping[str, Callable[[ExitStack], Callable[[], int]]]) -> None:
    """Runs the action of each name on standard input, and prints its seconds per unit of work.

    `makers`: name -> function that sets an action up; an action returns how many units of work it
    did. The first line printed names the actions that work here, and the faults of the others.
    """
    actions = {}
    faults = {}
    with ExitStack() as stack:
        for name, make in makers.items():
            try:
                actions[name] = make(stack)
                actions[name]()
            except Exception as error:  # noqa: BLE001 - a peer that cannot run here is reported
                actions.pop(name, None)
                faults[name] = f"{type(error).__name__}: {error}"
        print(json.dumps({"works": list(actions), "faults": faults}), flush=True)
        for line in sys.stdin:
            begun = time.perf_counter()
            count = actions[line.strip()]()
            print((time.perf_counter() - begun) / count, flush=True)
