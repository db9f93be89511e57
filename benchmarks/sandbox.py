"""A sandbox against the floor (fork and wait) and against `docker exec` for each command."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing

import docker

from benchmarks import Row, medians
from sandboxes import Sandbox, SandboxConfig, SandboxPool, open_pool
from sandboxes.build import image_name

ROUNDS = 30
EPISODES_S = 5.0
FILES = {f"package/module_{number}.py": b"x = 1\n" * 50 for number in range(10)}
CODE = ["python", "-c", "import unittest"]
FRESH = ["python3", "-c", "import unittest"]


def fork_and_wait() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def episode(box: Sandbox) -> None:
    """What one task asks of a box: ten files in, three runs, everything wiped."""
    box.write(FILES)
    for _ in range(3):
        assert box.run(CODE, timeout_s=10).exit_code == 0
    box.reset()


def episodes_per_second(pool: SandboxPool, boxes: int) -> float:
    """Episodes that `boxes` threads finish in a second, one box each."""
    done = [0] * boxes
    until = time.perf_counter() + EPISODES_S

    def work(place: int) -> None:
        with pool.lease() as box:
            while time.perf_counter() < until:
                episode(box)
                done[place] += 1

    threads = [threading.Thread(target=work, args=(place,)) for place in range(boxes)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - begun)


def main() -> list[Row]:
    """Needs a Docker engine."""
    boxes = min(os.cpu_count() or 1, 8)
    with (
        open_pool(SandboxConfig(backend="docker", size=boxes)) as pool,
        closing(docker.from_env()) as client,
    ):
        idle = client.containers.run(
            image_name(),
            ["-c", "import time; time.sleep(600)"],
            entrypoint="python3",
            network_mode="none",
            detach=True,
        )
        try:
            with pool.lease() as box:
                took = medians(
                    {
                        "fork and wait": fork_and_wait,
                        "run code": lambda: box.run(CODE, timeout_s=10),
                        "run a fresh Python": lambda: box.run(FRESH, timeout_s=10),
                        "exec_run": lambda: idle.exec_run(FRESH),
                        "write 10 files": lambda: box.write(FILES),
                        "reset": box.reset,
                        "episode": lambda: episode(box),
                    },
                    ROUNDS,
                )
        finally:
            idle.remove(force=True)
        rate = episodes_per_second(pool, boxes)
    return [
        row("run code", took, "fork and wait"),
        row("run code", took, "exec_run"),
        row("run a fresh Python", took, "exec_run"),
        row("write 10 files", took, "exec_run"),
        row("reset", took, "exec_run"),
        row("episode", took, "exec_run"),
        Row(
            benchmark="sandbox",
            name=f"episodes through {boxes} boxes",
            value=rate,
            unit="1/s",
            ratio=rate * took["episode"] / 1000,
            against="one box",
        ),
    ]


def row(name: str, took: dict[str, float], against: str) -> Row:
    ratio = took[name] / took[against]
    return Row(
        benchmark="sandbox", name=name, value=took[name], unit="ms", ratio=ratio, against=against
    )
