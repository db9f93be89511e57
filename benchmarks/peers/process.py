"""A virtual environment for each set of libraries that benchmarks compare with."""

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

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment below `.cache/NAME_peers` with the requirements installed.

    Another Python or other requirements get a new environment. One that was interrupted before it
    was ready is made again.

    Raises CalledProcessError: when something cannot be installed.
    """
    digest = hashlib.sha256(
        f"{sys.version} {tuple(requirements)}".encode()
    ).hexdigest()[:12]
    folder = CACHE / f"{name}_peers" / digest
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"[bench] installing {', '.join(requirements)}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", *requirements], check=True)
        (folder / "ready").touch()
    return python


@contextmanager
def answering(command: Sequence[str]) -> Iterator[dict[str, Callable[[], float]]]:
    """By name the actions of a program that ends in `side.serve`; each returns seconds."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            status = json.loads(_line(process))
            for name, fault in status["faults"].items():
                print(f"[bench] {name} is left out: {fault}", file=sys.stderr)
            yield {name: partial(_seconds, process, name) for name in status["works"]}
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _seconds(process: subprocess.Popen[str], name: str) -> float:
    assert process.stdin is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return float(_line(process))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:
        return line
    raise OSError(f"the process of the peers ended with status {process.wait(60)}")
