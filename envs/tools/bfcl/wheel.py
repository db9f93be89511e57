"""The Berkeley Function Calling Leaderboard's wheel: fetched once, pinned by hash, never vendored.

Its data and simulators are by the Gorilla project at Berkeley, Apache-2.0. It is no dependency,
because it pins other versions of what is installed here. The parts used here need none of its own
dependencies but mpmath.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from envs.releases import Release

__all__ = ["CLASSES", "RELEASES", "WHEEL", "rows", "simulator", "wheel"]

WHEEL = Release(
    "bfcl-eval",
    "2026.3.23",
    "bfcl_eval-2026.3.23-py3-none-any.whl",
    "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    reader="the split ood/domain of tool_files",
)
RELEASES = (WHEEL,)

# By class, the module that simulates it and the file that describes its functions.
CLASSES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}

_MODULES = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
_LOCK = threading.Lock()


@cache
def wheel() -> Path:
    """The wheel's file. Raises ImportError when it is not cached and cannot be fetched."""
    return WHEEL.path()


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """The lines of one of its data files."""
    with ZipFile(wheel()) as archive:
        text = archive.read(f"bfcl_eval/data/{name}.json").decode("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def simulator(name: str) -> type[Any]:
    """One of its simulated applications: a class of `CLASSES`.

    Raises ImportError: when another bfcl_eval is imported already.
    """
    path = str(wheel())
    with _LOCK:
        sys.path.insert(0, path)
        try:
            module = importlib.import_module(f"{_MODULES}.{CLASSES[name]}")
        finally:
            sys.path.remove(path)
    if not str(module.__file__).startswith(path):
        raise ImportError(
            f"got bfcl_eval from {module.__file__}, expected it from {path}: "
            "import no other copy in this process"
        )
    return getattr(module, name)
