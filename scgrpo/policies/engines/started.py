"""vLLM servers that a run starts: their command, what they see, and that they end with the run."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from sandboxes.commands import CommandError
from scgrpo.config import TrainConfig
from scgrpo.policies.completions import Server
from scgrpo.policies.engines.sampling import EXTENSION
from scgrpo.policies.engines.vllm_server import VLLMServer

__all__ = [
    "LOOPBACK",
    "ServerProcess",
    "ServerStart",
    "StartError",
    "StartedServer",
    "server_start",
    "start_servers",
]

ROOT = Path(__file__).parents[3]
MODULE = "vllm.entrypoints.openai.api_server"
LOOPBACK = "127.0.0.1"
TOKENS_PER_EVENT = 8
POLL_S = 0.5
END_S = 30.0
LOG_TAIL = 2000
PR_SET_PDEATHSIG = 1
"""The name that `prctl` has for it."""


class StartError(CommandError):
    """A server does not start; the message has the end of its log."""


@dataclass(frozen=True)
class ServerStart:
    """How a server is started.

    | field | meaning |
    |---|---|
    | command | its arguments, the program first |
    | environment | variables besides those of this process |
    | url | where it will answer, up to `/v1` |
    """

    command: Sequence[str]
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)


def server_start(
    config: TrainConfig,
    model: Path,
    *,
    port: int,
    host: str = LOOPBACK,
    gpus: Sequence[str] = (),
    memory_share: float | None = None,
    handover: str = "",
) -> ServerStart:
    """How a server for the run is started; a user's `engine.options` win over what follows here.

    | argument | meaning |
    |---|---|
    | model | the folder that it loads |
    | gpus | what it sees, as CUDA_VISIBLE_DEVICES has them; empty: what this process sees |
    | memory_share | of each GPU's memory; None: vLLM's own default |
    | handover | how it gets the weights; empty: as the run says |
    """
    engine = config.engine
    handover = handover or engine.handover
    options: dict[str, Any] = {
        "model": str(model),
        "host": host,
        "port": port,
        "max_model_len": config.limits.episode_tokens,
        # The model's own distribution, whatever its folder says.
        "generation_config": "vllm",
        "stream_interval": TOKENS_PER_EVENT,
        "worker_extension_cls": EXTENSION,
    }
    environment = {
        "VLLM_SERVER_DEV_MODE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    if memory_share is not None:
        options["gpu_memory_utilization"] = round(memory_share, 3)
    if len(gpus) > 1:
        options["tensor_parallel_size"] = len(gpus)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if engine.sleeps:
        options["enable_sleep_mode"] = True
    if handover != "disk":
        options["weight_transfer_config"] = {"backend": handover}
    if handover == "ipc":
        environment["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    if config.lora.rank:
        options |= {"enable_lora": True, "max_lora_rank": config.lora.rank}
        environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"

    command = [engine.python or sys.executable, "-m", MODULE]
    for name, value in (options | dict(engine.options)).items():
        command += _flag(name, value)
    return ServerStart(command, f"http://{host}:{port}/v1", environment)


class ServerProcess:
    """The process of a server: it ends with this one, even if that is killed.

    It ends with the thread that starts it, too, which therefore has to be one that stays.
    """

    def __init__(self, start: ServerStart, log: Path) -> None:
        self.url = start.url
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        libc = ctypes.CDLL(None)

        def end_with_parent() -> None:
            with suppress(AttributeError):
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with log.open("wb") as out:
            self._process = subprocess.Popen(
                start.command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **start.environment},
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self, start_s: float) -> None:
        """Raises StartError if it ends before it answers, or does not within `start_s`."""
        deadline = time.monotonic() + start_s
        health = f"{self.url.removesuffix('/v1')}/health"
        while True:
            with suppress(httpx2.HTTPError):
                if httpx2.get(health, timeout=POLL_S, trust_env=False).is_success:
                    return
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                why = f"ended with {code}" if code is not None else "does not answer"
                tail = self._log.read_text(errors="replace")[-LOG_TAIL:]
                raise StartError(
                    f"the vLLM server {why} within {start_s:g} s; its log {self._log} "
                    f"ends:\n{tail}"
                )
            time.sleep(POLL_S)

    def end(self) -> None:
        """Ends it and its workers, which are in its session. Safe to call twice."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
                return


class StartedServer(VLLMServer):
    """A server whose process is this one's: `close` ends it."""

    def __init__(self, process: ServerProcess, *, stall_s: float) -> None:
        super().__init__(Server(process.url), stall_s=stall_s)
        self.process = process

    def close(self) -> None:
        """Ends running requests and the server. Safe to call twice."""
        super().close()
        self.process.end()


def start_servers(
    starts: Sequence[ServerStart],
    logs: Sequence[Path],
    *,
    start_s: float,
    stall_s: float,
) -> list[StartedServer]:
    """Starts them at the same time, since each takes minutes, and waits until all answer.

    To be called by the main thread. Raises StartError if one ends before it answers, or does not
    within `start_s`; then, and if the wait is interrupted, all of them end.
    """
    servers: list[StartedServer] = []
    with ExitStack() as stack:
        processes: list[ServerProcess] = []
        for start, log in zip(starts, logs, strict=True):
            process = ServerProcess(start, log)
            stack.callback(process.end)
            processes.append(process)
        for process in processes:
            process.wait_until_ready(start_s)
            servers.append(StartedServer(process, stall_s=stall_s))
        stack.pop_all()
    return servers


def _flag(name: str, value: object) -> list[str]:
    """An engine argument as vLLM's command line has it."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if isinstance(value, Mapping):
        return [flag, json.dumps(value)]
    return [flag, str(value)]
