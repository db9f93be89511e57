"""A sandbox against the floor (fork and wait), Docker's own ways, and other sandboxes.

Everything is done in turn, round after round. A ratio is the median over the rounds of what stood
side by side in one, with its 95 % interval (bootstrap), so a busy minute meets both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

import docker

from benchmarks import Row, ratio_of_pairs
from benchmarks._sandbox_peers import peers
from sandboxes import Sandbox, SandboxConfig, SandboxPool, open_pool
from sandboxes.backends.containers import (
    OWNER_LABEL,
    POOL_LABEL,
    container_options,
    owner,
    sweep,
)
from sandboxes.image.build import image_name

ROUNDS = 20
RATE_ROUNDS, RATE_S = 7, 3.0
FILES = {f"package/module_{number}.py": b"x = 1\n" * 50 for number in range(10)}
SOURCE = "import unittest"
CODE = ["python", "-c", SOURCE]
FRESH = ["python3", "-c", SOURCE]
RUNS = 3
FORKS = """
import gc, os, sys, time
from sandboxes.inside.settings import hidden_modules
from sandboxes.inside.warm import preload
preload(hidden_modules())
gc.freeze()
for line in sys.stdin:
    count, begun = 0, time.perf_counter()
    while not count or time.perf_counter() - begun < float(line):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        count += 1
    print(count, time.perf_counter() - begun, flush=True)
"""


class Floor:
    """A process with the runner's interpreter and modules that forks, waits, and nothing else."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", FORKS]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, seconds: float) -> None:
        """Has it fork once, and then for so long."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def told(self) -> tuple[int, float]:
        """How many forks it did, in how many seconds."""
        assert self._process.stdout is not None
        count, seconds = self._process.stdout.readline().split()
        return int(count), float(seconds)

    def fork(self) -> float:
        """Seconds of one fork and wait."""
        self.ask(0)
        return self.told()[1]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def episode(box: Sandbox) -> None:
    """What one task asks of a box: ten files in, three runs, everything wiped."""
    box.write(FILES)
    for _ in range(RUNS):
        assert box.run(CODE, timeout_s=10).exit_code == 0
    box.reset()


def main() -> list[Row]:
    """Needs a Docker engine."""
    cores = len(os.sched_getaffinity(0))
    config = SandboxConfig(backend="docker", size=2 * cores)
    with (
        closing(docker.from_env()) as client,
        ExitStack() as stack,
        open_pool(config) as pool,
    ):
        # Also what an interrupt left half started.
        stack.callback(sweep, client, own_labels()[POOL_LABEL])
        idle = client.containers.run(
            image_name(),
            ["-c", "import time; time.sleep(3600)"],
            entrypoint="python3",
            network_mode="none",
            labels=own_labels(),
            detach=True,
        )
        floors = [stack.enter_context(closing(Floor())) for _ in range(cores)]
        others = stack.enter_context(peers(client, SOURCE))
        with pool.lease() as box:
            took = in_turn(
                {
                    "fork and wait": floors[0].fork,
                    "run code": lambda: box.run(CODE, timeout_s=10),
                    "run a fresh Python": lambda: box.run(FRESH, timeout_s=10),
                    "write 10 files": lambda: box.write(FILES),
                    "reset": box.reset,
                    "episode": lambda: episode(box),
                    "docker exec": lambda: idle.exec_run(FRESH),
                    "cold docker run": lambda: cold_run(client),
                    **others,
                }
            )
        pairs = [
            (fork_rate(floors), episode_rate(pool, 2 * cores))
            for _ in range(RATE_ROUNDS)
        ]
    forks, episodes = map(list, zip(*pairs, strict=True))
    ideal = [rate / RUNS for rate in forks]
    rows = [row(name, took[name], "ms") for name in took]
    rows.append(
        row("run code", took["run code"], "ms", took["fork and wait"], "fork and wait")
    )
    for peer in ("docker exec", "cold docker run", *others):
        rows.append(row(peer, took[peer], "ms", took["run code"], "run code"))
        rows.append(
            row(
                peer, took[peer], "ms", took["run a fresh Python"], "run a fresh Python"
            )
        )
    name = f"episodes, {2 * cores} boxes, {cores} cores"
    return [
        *rows,
        row(name, episodes, "1/s", ideal, f"{RUNS} forks each, {cores} cores"),
    ]


def cold_run(client: docker.DockerClient) -> None:
    """A container for each command, with the limits of the compose file."""
    options = {**container_options(), "command": FRESH[1:], "entrypoint": FRESH[:1]}
    options["labels"] = own_labels()
    client.containers.run(image_name(), remove=True, **options)


def own_labels() -> dict[str, Any]:
    """By which a container is found at the end, or by the next pool where there was no end."""
    labels = container_options()["labels"]
    return {**labels, OWNER_LABEL: owner(), POOL_LABEL: f"benchmark-{os.getpid()}"}


def in_turn(deeds: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of each deed in each round; a deed that returns seconds has timed itself."""
    times: dict[str, list[float]] = {name: [] for name in deeds}
    for number in range(ROUNDS + 1):
        for name, deed in deeds.items():
            begun = time.perf_counter()
            said = deed()
            seconds = said if isinstance(said, float) else time.perf_counter() - begun
            if number:
                times[name].append(1000 * seconds)
        print(f"\r[bench] sandbox: round {number} of {ROUNDS}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return times


def fork_rate(floors: Sequence[Floor]) -> float:
    """Forks a second of all of them at once."""
    for floor in floors:
        floor.ask(RATE_S)
    return sum(count / seconds for count, seconds in [floor.told() for floor in floors])


def episode_rate(pool: SandboxPool, boxes: int) -> float:
    """Episodes a second that `boxes` threads finish, one box each; leasing is not counted."""
    done = [0] * boxes
    ready, until = threading.Barrier(boxes + 1), [0.0]

    def work(place: int) -> None:
        with pool.lease() as box:
            ready.wait(60)
            while time.perf_counter() < until[0]:
                episode(box)
                done[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(boxes)]
    for thread in threads:
        thread.start()
    until[0] = time.perf_counter() + 60
    ready.wait(60)
    begun = time.perf_counter()
    until[0] = begun + RATE_S
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begun)


def row(
    name: str,
    took: Sequence[float],
    unit: str,
    floor: Sequence[float] = (),
    against: str = "",
) -> Row:
    """A line of the table; with a ratio to what was measured beside it, where that is given."""
    found = Row(
        benchmark="sandbox",
        name=name,
        value=statistics.median(took),
        unit=unit,
        ratio=None,
        against=against,
    )
    if floor:
        found["ratio"], found["interval"] = ratio_of_pairs(
            list(zip(took, floor, strict=True))
        )
    return found
