"""Environments of their own for the libraries that benchmarks compare with."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

__all__ = ["answering", "environment"]

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


@contextmanager
def answering(command: Sequence[str]) -> Iterator[dict[str, Callable[[], float]]]:
    """What a program that ends in `_peer_side.serve` does by name, in seconds of each."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            said = json.loads(_line(process))
            for name, fault in said["faults"].items():
                print(f"[bench] {name} is left out: {fault}", file=sys.stderr)
            yield {name: partial(_timed, process, name) for name in said["works"]}
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _timed(process: subprocess.Popen[str], name: str) -> float:
    assert process.stdin is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return float(_line(process))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line
    raise OSError(f"the process of the peers ended with status {process.wait(60)}")
