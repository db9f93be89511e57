"""Work in several processes that are connected as `accelerate launch` connects them."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

import torch

from scgrpo.distributed.ranks import process_group

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
FORKS = multiprocessing.get_context("forkserver")
PATIENCE_S = 180


def free_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


def run_processes(
    work: Callable[..., None],
    *args: Any,
    count: int = 2,
    launch: dict[str, str] | None = None,
) -> list[int | None]:
    """Runs `work(ranks, *args)` in `count` processes; their exit codes.

    `launch` are the variables that `accelerate launch` sets for its options.
    """
    FORKS.set_forkserver_preload(["scgrpo.update"])
    port = free_port()
    processes = [
        FORKS.Process(
            target=_run_rank, args=(rank, count, port, launch or {}, work, *args)
        )
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE_S)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def _run_rank(
    rank: int,
    count: int,
    port: str,
    launch: dict[str, str],
    work: Callable[..., None],
    *args: Any,
) -> None:
    torch.set_num_threads(1)
    of_node = int(launch.get("LOCAL_WORLD_SIZE", count))
    os.environ |= launch | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank % of_node),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "ACCELERATE_USE_CPU": "true",
    }
    with process_group(torch.device("cpu")) as ranks:
        work(ranks, *args)
