"""Which tasks an environment gives, as a fresh process sees them.

`python -m envs.checks.fresh NAME` prints them; with `--pickled` of the environment that stands
pickled on standard input.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256

from envs import registry
from envs.base import TextEnv
from envs.checks.run import fresh_environment

__all__ = ["drawn", "in_fresh_process", "without_sandboxes"]

SEEDS = (0, 7)
LISTED = 500
LIMIT_S = 300


def without_sandboxes(env_class: type[TextEnv]) -> TextEnv:
    """An environment of the class that begins no episode, so that drawing needs no sandbox."""
    idle = {"begin": lambda self, task: None, "end": lambda self: None}
    return type(env_class.__name__, (env_class,), idle)()


def drawn(env: TextEnv) -> list[str]:
    """A line for every cell and seed, and one for all the tasks of a cell, in their order."""
    lines = []
    for split in env.splits:
        for level in env.levels:
            for seed in SEEDS:
                _, info = env.reset(seed=seed, options={"split": split, "level": level})
                shown = sha256(
                    repr((info["messages"], info["tools"])).encode("utf-8", "replace")
                )
                task = env.task
                lines.append(
                    f"{split} level {level} seed {seed}: {task.id} {task.content_hash[:16]} "
                    f"{shown.hexdigest()[:16]}"
                )
            tasks = env.tasks(split, level)
            listed = [
                (task.id, task.content_hash, task.family) for task in tasks[:LISTED]
            ]
            digest = sha256(repr(listed).encode("utf-8", "replace")).hexdigest()
            lines.append(f"{split} level {level}: {len(tasks)} tasks {digest[:16]}")
    return lines


def in_fresh_process(name: str, *, hash_seed: int, pickled: bytes = b"") -> list[str]:
    """What `drawn` gives in a new Python. Raises ValueError with its last line where it fails."""
    argv: Sequence[str] = [sys.executable, "-m", "envs.checks.fresh", name]
    done = subprocess.run(
        [*argv, "--pickled"] if pickled else argv,
        input=pickled,
        env=fresh_environment(PYTHONHASHSEED=str(hash_seed)),
        capture_output=True,
        timeout=LIMIT_S,
    )
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
        raise ValueError(f"a fresh process could not list the tasks: {told}")
    return done.stdout.decode("utf-8").splitlines()


def main() -> None:
    """Prints the lines."""
    env = registry.make(sys.argv[1]).unwrapped
    assert isinstance(env, TextEnv)
    if "--pickled" in sys.argv:
        env = pickle.loads(sys.stdin.buffer.read())
    else:
        env = without_sandboxes(type(env))
    print("\n".join(drawn(env)))


if __name__ == "__main__":
    main()
