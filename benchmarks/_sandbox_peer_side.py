"""Runs in the peers' own environment: does what it is told by name, and says how long it took.

The first line it prints names the peers that work here, the others are seconds.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

TOKEN = "benchmark"


def swe_rex(image: str, code: str, stack: ExitStack) -> Callable[[], None]:
    """Its server in a container, and its own client: what its `DockerDeployment` ends up with."""
    import docker
    from swerex.runtime.abstract import Command
    from swerex.runtime.config import RemoteRuntimeConfig
    from swerex.runtime.remote import RemoteRuntime

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = docker.from_env()
    stack.callback(client.close)
    server = ["-m", "swerex.server", "--auth-token", TOKEN, "--host", "127.0.0.1"]
    container = client.containers.run(
        image,
        ["python3", *server, "--port", str(port)],
        network_mode="host",
        detach=True,
        auto_remove=True,
    )
    stack.callback(container.remove, force=True)
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    config = RemoteRuntimeConfig(host="http://127.0.0.1", port=port, auth_token=TOKEN)
    runtime = RemoteRuntime.from_config(config)
    loop.run_until_complete(runtime.wait_until_alive(timeout=60))
    command = Command(command=["python3", "-c", code], timeout=20)

    def run() -> None:
        assert loop.run_until_complete(runtime.execute(command)).exit_code == 0

    return run


def llm_sandbox(image: str, code: str, stack: ExitStack) -> Callable[[], None]:
    """A session without its set-up of packages, which is done once and is not what is measured."""
    from llm_sandbox import SandboxSession

    session = stack.enter_context(
        SandboxSession(
            image=image,
            lang="python",
            keep_template=True,
            skip_environment_setup=True,
            runtime_configs={"network_mode": "none"},
        )
    )

    def run() -> None:
        assert session.run(code).exit_code == 0

    return run


def main(image: str, code: str) -> None:
    deeds, faults = {}, {}
    with ExitStack() as stack:
        for name, make in (("SWE-ReX 1.4.0", swe_rex), ("llm-sandbox 0.3.46", llm_sandbox)):
            try:
                deeds[name] = make(image, code, stack)
                deeds[name]()
            except Exception as error:  # noqa: BLE001 - a peer that cannot run here is reported
                deeds.pop(name, None)
                faults[name] = f"{type(error).__name__}: {error}"
        print(json.dumps({"works": list(deeds), "faults": faults}), flush=True)
        for line in sys.stdin:
            begun = time.perf_counter()
            deeds[line.strip()]()
            print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
