"""The cost of a turn through the OpenEnv server, beside the same turns played directly.

Both play the oracle's episodes of `tool_store`, `reset` included. The server and OpenEnv's own
client are two processes on loopback, as a trainer of others has them.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from benchmarks import Row, comparison, measurement
from benchmarks.environments import turns_of
from benchmarks.peers.process import answering, environment
from evals.export.openenv import NEEDED, OPENENV

SIDE = Path(__file__).resolve().parent / "peers" / "served_side.py"
ENV, LEVEL = "tool_store", 1
EPISODES = 96
ROUNDS = 9


def main(rounds: int | None = None) -> list[Row]:
    """Measures direct and served turns in turn, round after round."""
    name = f"{ENV}, a turn with its share of reset, direct"
    with ExitStack() as stack:
        direct = turns_of(stack, ENV, LEVEL, EPISODES, tasks=EPISODES)
        try:
            pins = [f"{package}=={version(package)}" for package in NEEDED]
            python = environment("served", (*pins, OPENENV))
            command = [str(python), str(SIDE), ENV, str(LEVEL), str(EPISODES)]
            served = stack.enter_context(answering(command))
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"[bench] the server is left out: {error}", file=sys.stderr)
            served = {}

        times: list[float] = []
        pairs: dict[str, list[tuple[float, float]]] = {way: [] for way in served}
        for _ in range(rounds or ROUNDS):
            times.append(1e6 * direct())
            for way, play in served.items():
                pairs[way].append((times[-1], 1e6 * play()))
    if not served:
        return [measurement("served", name, "us", times)]
    return [comparison("served", name, "us", pairs[way], way) for way in served]
