"""Environments of their own for the libraries that benchmarks compare with."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

__all__ = ["environment"]

CACHE = Path(__file__).resolve().parent.parent / ".cache"


def environment(name: str, wanted: Sequence[str]) -> Path:
    """The Python of an environment below `.cache/NAME_peers` that holds what pip installs for it.

    Made at first, and anew for another Python or other requirements; one whose making was cut off
    is begun afresh. Raises CalledProcessError where something cannot be installed.
    """
    digest = hashlib.sha256(f"{sys.version} {tuple(wanted)}".encode()).hexdigest()[:12]
    folder = CACHE / f"{name}_peers" / digest
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"[bench] installing {', '.join(wanted)}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", *wanted], check=True)
        (folder / "ready").touch()
    return python
