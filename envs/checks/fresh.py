"""Which tasks an environment gives, as a fresh process sees them.

`python -m envs.checks.fresh NAME` prints a line for each sample of them; with `--pickled` it asks
the environment that is pickled on standard input.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from envs import registry
from envs.base import TextEnv

__all__ = [
    "fresh_environment",
    "in_fresh_process",
    "task_lines",
    "without_sandboxes",
]

SEEDS = (0, 7)
LISTED = 500
LIMIT_S = 300
HEX_DIGITS = 16


def fresh_environment(**variables: str) -> dict[str, str]:
    """Environment variables with which a new Python imports what this one can import."""
    entries: list[str] = []
    for entry in sys.path:
        # An empty entry is the current folder, which may be another one there.
        folder = Path(entry).absolute()
        entries.append(str(folder))

    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(entries)
    environment.update(variables)
    return environment


def without_sandboxes(env_class: type[TextEnv]) -> TextEnv:
    """An environment of the class that begins no episode, so that drawing needs no sandbox."""
    idle_methods = {
        "begin": lambda self, task: None,
        "end": lambda self: None,
    }
    idle_class = type(env_class.__name__, (env_class,), idle_methods)
    return idle_class()


def task_lines(env: TextEnv) -> list[str]:
    """A line for each seed at every split and level, and one for all tasks there, in order."""
    lines: list[str] = []
    for split in env.splits:
        for level in env.levels:
            for seed in SEEDS:
                line = _line_of_seed(env, split, level, seed)
                lines.append(line)
            lines.append(_line_of_list(env, split, level))
    return lines


def _line_of_seed(env: TextEnv, split: str, level: int, seed: int) -> str:
    """Which task a reset draws, and what it shows."""
    options = {"split": split, "level": level}
    _, info = env.reset(seed=seed, options=options)
    task = env.task
    shown = _digest((info["messages"], info["tools"]))
    content = task.content_hash[:HEX_DIGITS]
    return f"{split} level {level} seed {seed}: {task.id} {content} {shown}"


def _line_of_list(env: TextEnv, split: str, level: int) -> str:
    """The tasks of a split at a level, in their order."""
    tasks = env.tasks(split, level)
    first: list[tuple[str, str, str]] = []
    for task in tasks[:LISTED]:
        entry = (task.id, task.content_hash, task.family)
        first.append(entry)
    return f"{split} level {level}: {len(tasks)} tasks {_digest(first)}"


def _digest(value: object) -> str:
    # A prompt may hold half of a surrogate pair, which has no UTF-8.
    text = repr(value).encode("utf-8", "replace")
    return sha256(text).hexdigest()[:HEX_DIGITS]


def in_fresh_process(name: str, *, hash_seed: int, pickled: bytes = b"") -> list[str]:
    """What `task_lines` gives in a new Python.

    Raises ValueError with the last line of its errors if it fails.
    """
    argv = [sys.executable, "-m", "envs.checks.fresh", name]
    if pickled:
        argv.append("--pickled")
    process = subprocess.run(
        argv,
        input=pickled,
        env=fresh_environment(PYTHONHASHSEED=str(hash_seed)),
        capture_output=True,
        timeout=LIMIT_S,
    )
    if process.returncode:
        errors = process.stderr.decode("utf-8", "replace").strip()
        last = errors.rpartition("\n")[2]
        raise ValueError(f"a fresh process could not list the tasks: {last}")
    return process.stdout.decode("utf-8").splitlines()


def main() -> None:
    """Prints the lines."""
    env = _env_of_this_process(sys.argv[1:])
    lines = task_lines(env)
    print("\n".join(lines))


def _env_of_this_process(argv: list[str]) -> TextEnv:
    # Importing it registers it, on which an unpickled environment may rely.
    env = registry.make(argv[0]).unwrapped
    assert isinstance(env, TextEnv)
    if "--pickled" in argv:
        return pickle.loads(sys.stdin.buffer.read())
    return without_sandboxes(type(env))


if __name__ == "__main__":
    main()
