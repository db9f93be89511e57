"""Servers that a run starts: their arguments, what they see, and that they end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scgrpo.config import EngineConfig, LoraConfig, TrainConfig
from scgrpo.policies.engines.network import free_port
from scgrpo.policies.engines.started import (
    ROOT,
    ServerStart,
    StartedServer,
    StartError,
    server_start,
)

FAKE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

if os.environ.get("FAKE_BREAKS"):
    sys.exit("no GPU here")
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
    server = StartedServer(start_of(), log, start_s=60, stall_s=1)
    process = server._process
    assert server.workers() == 1
    assert process.poll() is None
    server.close()
    server.close()
    assert process.poll() is not None


def test_a_server_that_does_not_start_shows_its_log(fake_vllm, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_BREAKS", "1")
    with pytest.raises(StartError, match="(?s)ended with 1 .*no GPU here"):
        StartedServer(start_of(), tmp_path / "0.log", start_s=60, stall_s=1)


def test_a_server_does_not_outlive_a_run_that_is_killed(fake_vllm, tmp_path: Path):
    code = f"""
import sys, time
from pathlib import Path
from tests.scgrpo.policies.engines.test_started import start_of
from scgrpo.policies.engines.started import StartedServer
server = StartedServer(start_of(), Path({str(tmp_path / "0.log")!r}), start_s=60, stall_s=1)
print(server._process.pid, flush=True)
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
