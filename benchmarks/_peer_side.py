"""Runs in a peer's own environment: does what it is told by name, and says how long it took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

__all__ = ["serve"]


def serve(makers: Mapping[str, Callable[[ExitStack], Callable[[], int]]]) -> None:
    """Answers each name on standard input with the seconds of one of what it does.

    `makers`: name -> what sets a deed up; a deed returns how many things it did. The first line
    printed names the deeds that work here, and what is wrong with the others.
    """
    deeds, faults = {}, {}
    with ExitStack() as stack:
        for name, make in makers.items():
            try:
                deeds[name] = make(stack)
                deeds[name]()
            except Exception as error:  # noqa: BLE001 - a peer that cannot run here is reported
                deeds.pop(name, None)
                faults[name] = f"{type(error).__name__}: {error}"
        print(json.dumps({"works": list(deeds), "faults": faults}), flush=True)
        for line in sys.stdin:
            begun = time.perf_counter()
            count = deeds[line.strip()]()
            print((time.perf_counter() - begun) / count, flush=True)
