"""Servers that a run starts: their arguments, what they see, and that they end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scgrpo.config import EngineConfig, LoraConfig, TrainConfig
from scgrpo.policies.engines.network import free_port
from scgrpo.policies.engines.started import (
    ROOT,
    ServerProcess,
    ServerStart,
    StartError,
    server_start,
    start_servers,
)

FAKE = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

if os.environ.get("FAKE_BREAKS"):
    sys.exit("no GPU here")
if os.environ.get("FAKE_SILENT"):
    time.sleep(600)
port = int(sys.argv[sys.argv.index("--port") + 1])
ANSWERS = {
    "/health": {},
    "/v1/models": {"data": [{"id": "m"}]},
    "/collective_rpc": {"results": [{"norm.weight": "0"}]},
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = json.dumps(ANSWERS.get(self.path, {"world_size": 1})).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.do_GET()


HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def fake_vllm(tmp_path: Path, monkeypatch) -> None:
    """A package of vLLM's name whose server answers what a start asks for."""
    package = tmp_path / "packages" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))


def start_of(**more: object) -> ServerStart:
    engine = EngineConfig("vllm_server", place="apart")
    config = TrainConfig(engine=engine)
    return server_start(config, Path("/model"), port=free_port(), **more)  # pyright: ignore


def flags(start: ServerStart) -> dict[str, str]:
    words = [*start.command, "--end"]
    places = [place for place, word in enumerate(words) if word.startswith("--")]
    pairs = zip(places, places[1:], strict=False)
    return {words[a]: " ".join(words[a + 1 : b]) for a, b in pairs}


def test_a_server_is_started_as_the_run_needs_it():
    engine = EngineConfig(
        "vllm_server",
        place="colocated",
        handover="gloo",
        options={"dtype": "float32", "enforce_eager": True, "max_model_len": 99},
    )
    start = server_start(
        TrainConfig(engine=engine),
        Path("/model"),
        port=5,
        gpus=["3", "4"],
        memory_share=0.12345,
    )
    assert start.url == "http://127.0.0.1:5/v1"
    given = flags(start)
    assert given["--generation-config"] == "vllm"
    assert given["--model"] == "/model"
    assert given["--tensor-parallel-size"] == "2"
    assert given["--gpu-memory-utilization"] == "0.123"
    assert given["--enable-sleep-mode"] == given["--enforce-eager"] == ""
    assert json.loads(given["--weight-transfer-config"]) == {"backend": "gloo"}
    # A user's own argument wins over the run's.
    assert given["--max-model-len"] == "99"
    assert start.environment["CUDA_VISIBLE_DEVICES"] == "3,4"
    assert start.environment["VLLM_SERVER_DEV_MODE"] == "1"


def test_adapters_and_shared_memory_ask_for_permissions():
    engine = EngineConfig("vllm_server", place="apart")
    config = TrainConfig(engine=engine, lora=LoraConfig(rank=8))
    start = server_start(config, Path("/model"), port=5)
    assert flags(start)["--max-lora-rank"] == "8"
    assert start.environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"
    ipc = EngineConfig("vllm_server", place="apart", handover="ipc")
    start = server_start(TrainConfig(engine=ipc), Path("/model"), port=5)
    assert start.environment["VLLM_ALLOW_INSECURE_SERIALIZATION"] == "1"


def test_a_server_answers_and_ends_with_its_engine(fake_vllm, tmp_path: Path):
    log = tmp_path / "run" / "0.log"
    (server,) = start_servers([start_of()], [log], start_s=60, stall_s=1)
    assert server.workers() == 1
    assert is_alive(server.process.pid)
    server.close()
    server.close()
    assert not is_alive(server.process.pid)


def test_a_server_that_does_not_start_shows_its_log(fake_vllm, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_BREAKS", "1")
    with pytest.raises(StartError, match="(?s)ended with 1 .*no GPU here"):
        start_servers([start_of()], [tmp_path / "0.log"], start_s=60, stall_s=1)


def test_if_one_of_several_does_not_start_none_stays(
    fake_vllm, tmp_path: Path, monkeypatch
):
    pids: list[int] = []
    begin = ServerProcess.__init__

    def noted(self: ServerProcess, *arguments: Any) -> None:
        begin(self, *arguments)
        pids.append(self.pid)

    monkeypatch.setattr(ServerProcess, "__init__", noted)
    broken = replace(start_of(), environment={"FAKE_BREAKS": "1"})
    logs = [tmp_path / "0.log", tmp_path / "1.log"]
    with pytest.raises(StartError, match="no GPU here"):
        start_servers([start_of(), broken], logs, start_s=60, stall_s=1)
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_wait_for_servers_can_be_interrupted(fake_vllm, tmp_path: Path, number):
    """It may last half an hour; what was started ends with it."""
    code = f"""
from pathlib import Path
from dataclasses import replace
from tests.scgrpo.policies.engines.test_started import start_of
from scgrpo.policies.engines.started import ServerProcess, start_servers
from scgrpo.training.interrupts import Interrupts
silent = replace(start_of(), environment={{"FAKE_SILENT": "1"}})
begin = ServerProcess.__init__
def begun(self, *arguments):
    begin(self, *arguments)
    print(self.pid, flush=True)
ServerProcess.__init__ = begun
with Interrupts(1.0):
    start_servers([silent] * 2, [Path({str(tmp_path)!r}) / n for n in "ab"], start_s=600, stall_s=1)
"""
    path = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with run:
        assert run.stdout is not None
        servers = [int(run.stdout.readline()) for _ in range(2)]
        assert all(map(is_alive, servers))
        run.send_signal(number)
        run.wait(60)
    assert run.returncode != 0
    assert not any(map(is_alive, servers))


def test_a_server_does_not_outlive_a_run_that_is_killed(fake_vllm, tmp_path: Path):
    code = f"""
import sys, time
from pathlib import Path
from tests.scgrpo.policies.engines.test_started import start_of
from scgrpo.policies.engines.started import start_servers
log = Path({str(tmp_path / "0.log")!r})
(server,) = start_servers([start_of()], [log], start_s=60, stall_s=1)
print(server.process.pid, flush=True)
time.sleep(600)
"""
    path = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    with run:
        assert run.stdout is not None
        server = int(run.stdout.readline())
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while is_alive(server):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
