"""Plays episodes through an OpenEnv server of this project, by OpenEnv's own client.

Runs in an environment with `openenv`; its arguments are an environment, a level, and how many
episodes an action plays.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.error import URLError

ROOT = Path(__file__).resolve().parents[2]
# Before this folder, in which other modules have the names of packages.
sys.path.insert(0, str(ROOT))

from side import serve  # noqa: E402 # pyright: ignore[reportMissingImports]

from envs.interop.sessions import TaskCatalogue  # noqa: E402

START_S = 180.0


def server(stack: ExitStack, name: str, level: int) -> str:
    """The address of a server in a process of its own, which ends with the stack."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "envs.interop.serve", name]
    options = ["--port", str(port), "--levels", str(level)]
    process = stack.enter_context(subprocess.Popen([*command, *options], cwd=ROOT))
    stack.callback(process.terminate)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return url
        except URLError:
            time.sleep(0.1)
    raise OSError(f"the server of {name} did not start")


def sessions(
    url: str, name: str, level: int, episodes: int, count: int, stack: ExitStack
) -> Callable[[], int]:
    """An action that plays the episodes over `count` sessions at once, and counts turns."""
    from openenv.core import GenericEnvClient  # pyright: ignore[reportMissingImports]

    clients = [
        stack.enter_context(GenericEnvClient(base_url=url).sync()) for _ in range(count)
    ]
    catalogue = TaskCatalogue(name, (level,))
    turns = [
        catalogue.env.oracle(catalogue.task("id", index)) for index in range(episodes)
    ]
    workers = stack.enter_context(ThreadPoolExecutor(count))

    def play_part(number: int) -> int:
        client, played = clients[number], 0
        for index in range(number, episodes, count):
            result = client.reset(split="id", index=index)
            for turn in turns[index]:
                result = client.step({"text": turn})
            assert result.reward == 1.0
            played += len(turns[index])
        return played

    def play() -> int:
        return sum(workers.map(play_part, range(count)))

    return play


if __name__ == "__main__":
    env, at_level, number_of_episodes = sys.argv[1:]
    with ExitStack() as running:
        address = server(running, env, int(at_level))
        about = (address, env, int(at_level), int(number_of_episodes))
        serve(
            {
                "OpenEnv's server, one session": partial(sessions, *about, 1),
                "OpenEnv's server, 16 sessions at once": partial(sessions, *about, 16),
            }
        )
