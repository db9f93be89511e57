"""Sandboxes to compare with, in their own environment: each runs the code once."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from side import serve  # pyright: ignore[reportMissingImports]

TOKEN = "benchmark"


def swe_rex(image: str, code: str, stack: ExitStack) -> Callable[[], int]:
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

    def run() -> int:
        assert loop.run_until_complete(runtime.execute(command)).exit_code == 0
        return 1

    return run


def llm_sandbox(image: str, code: str, stack: ExitStack) -> Callable[[], int]:
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

    def run() -> int:
        assert session.run(code).exit_code == 0
        return 1

    return run


if __name__ == "__main__":
    serve(
        {
            "SWE-ReX 1.4.0": partial(swe_rex, *sys.argv[1:]),
            "llm-sandbox 0.3.46": partial(llm_sandbox, *sys.argv[1:]),
        }
    )
