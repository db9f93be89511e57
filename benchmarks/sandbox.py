"""A sandbox against the floor (fork and wait), Docker's own ways, and other sandboxes.

Everything is done in turn, round after round. A ratio is the median over the rounds, within each of
which both are neighbours in time, so a busy minute affects both. Its 95 % interval is bootstrapped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

import docker

from benchmarks import Goal, Row, comparison, measurement
from benchmarks.peers.sandboxes import peers
from sandboxes import Sandbox, SandboxConfig, SandboxPool, open_pool
from sandboxes.backends.containers import (
    OWNER_LABEL,
    POOL_LABEL,
    container_options,
    owner,
    sweep,
)
from sandboxes.image.images import image_name

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
from sandboxes.inside.imports import preload
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
        """Has it fork once, and then until that time is over."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def answer(self) -> tuple[int, float]:
        """The number of forks it did, and the seconds they took."""
        assert self._process.stdout is not None
        count, seconds = self._process.stdout.readline().split()
        return int(count), float(seconds)

    def fork(self) -> float:
        """Seconds of one fork and wait."""
        self.ask(0)
        _, seconds = self.answer()
        return seconds

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def episode(sandbox: Sandbox) -> None:
    """What one task asks of a sandbox: ten files in, three runs, everything wiped."""
    sandbox.write(FILES)
    for _ in range(RUNS):
        assert sandbox.run(CODE, timeout_s=10).exit_code == 0
    sandbox.reset()


def main(rounds: int | None = None) -> list[Row]:
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
        with pool.lease() as sandbox:
            times = in_turn(
                {
                    "fork and wait": floors[0].fork,
                    "run code": lambda: sandbox.run(CODE, timeout_s=10),
                    "run a fresh Python": lambda: sandbox.run(FRESH, timeout_s=10),
                    "write 10 files": lambda: sandbox.write(FILES),
                    "reset": sandbox.reset,
                    "episode": lambda: episode(sandbox),
                    "docker exec": lambda: idle.exec_run(FRESH),
                    "cold docker run": lambda: cold_run(client),
                    **others,
                },
                rounds or ROUNDS,
            )
        pairs = [
            (fork_rate(floors), episode_rate(pool, 2 * cores))
            for _ in range(rounds or RATE_ROUNDS)
        ]
    rates = [(episodes, forks / RUNS) for forks, episodes in pairs]
    rows = [measurement("sandbox", name, "ms", times[name]) for name in times]

    pairs = list(zip(times["run code"], times["fork and wait"], strict=True))
    row = comparison(
        "sandbox", "run code", "ms", pairs, "fork and wait", goal=Goal("<=", 1.3)
    )
    rows.append(row)
    for peer in ("docker exec", "cold docker run", *others):
        for name in ("run code", "run a fresh Python"):
            is_goal = (peer, name) == ("docker exec", "run code")
            row = comparison(
                "sandbox",
                name,
                "ms",
                list(zip(times[name], times[peer], strict=True)),
                peer,
                quotient="theirs / ours",
                goal=Goal(">=", 20.0) if is_goal else None,
            )
            rows.append(row)

    name = f"episodes, {2 * cores} sandboxes, {cores} cores"
    against = f"{RUNS} forks each, {cores} cores"
    goal = Goal(">=", 0.8)
    rows.append(comparison("sandbox", name, "1/s", rates, against, goal=goal))
    return rows


def cold_run(client: docker.DockerClient) -> None:
    """A container for each command, with the limits of the compose file."""
    options = {**container_options(), "command": FRESH[1:], "entrypoint": FRESH[:1]}
    options["labels"] = own_labels()
    client.containers.run(image_name(), remove=True, **options)


def own_labels() -> dict[str, Any]:
    """Labels by which `main` removes its containers, or the next pool after an interrupt."""
    labels = container_options()["labels"]
    return {**labels, OWNER_LABEL: owner(), POOL_LABEL: f"benchmark-{os.getpid()}"}


def in_turn(
    actions: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Milliseconds of each action in each round; one that returns a float has timed itself."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            begun = time.perf_counter()
            result = action()
            seconds = time.perf_counter() - begun
            if isinstance(result, float):
                seconds = result
            # The first round warms everything up.
            if number:
                times[name].append(1000 * seconds)
        print(f"\r[bench] sandbox: round {number} of {rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return times


def fork_rate(floors: Sequence[Floor]) -> float:
    """Forks a second of all of them at once."""
    for floor in floors:
        floor.ask(RATE_S)
    answers = [floor.answer() for floor in floors]
    return sum(count / seconds for count, seconds in answers)


def episode_rate(pool: SandboxPool, size: int) -> float:
    """Episodes a second that `size` threads finish, each in its sandbox; leasing is not counted."""
    counts = [0] * size
    ready = threading.Barrier(size + 1)
    until = [0.0]

    def work(place: int) -> None:
        with pool.lease() as sandbox:
            ready.wait(60)
            while time.perf_counter() < until[0]:
                episode(sandbox)
                counts[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(size)]
    for thread in threads:
        thread.start()
    until[0] = time.perf_counter() + 60
    ready.wait(60)
    begun = time.perf_counter()
    until[0] = begun + RATE_S
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun)
