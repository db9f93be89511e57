"""Our environments in verifiers' own validator and runner: `make test-interop`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from envs import registry
from envs.interop.sessions import TaskCatalogue
from evals.comparison.formats import Choice, load_any
from tests.envs.interop.servers import served

pytest.importorskip("verifiers.v1", reason="the extra `verifiers` is missing")
ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.filterwarnings("ignore")


def validated(name: str, folder: Path, *more: str) -> list[dict[str, Any]]:
    """The rows that `vf-validate` writes for the first tasks of an environment."""
    command = [sys.executable, "-m", "verifiers.v1.cli.validate", "scgrpo-verifiers"]
    command += ["--taskset.env", name, "--select.limit", "3", "-o", str(folder)]
    command += ["--runtime.type", "subprocess", *more]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    (file,) = list(folder.rglob("results.jsonl")) or [None]
    assert file is not None, done.stdout + done.stderr
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_their_validator_finds_the_oracle_valid_and_nothing_done_not(tmp_path):
    rows = validated("tool_store", tmp_path)
    assert len(rows) == 3
    assert [row["gold"]["reason"] for row in rows] == ["valid"] * 3, rows
    assert [row["noop"]["reason"] for row in rows] == ["valid"] * 3, rows


@pytest.mark.parametrize("name", registry.names())
def test_the_oracle_of_every_environment_validates_as_a_task_of_theirs(name):
    from envs.interop.verifiers_tasks import TasksConfig
    from scgrpo_verifiers import VerifiedTaskset

    taskset = VerifiedTaskset(TasksConfig(id="scgrpo-verifiers", env=name))
    tasks = list(taskset.take(2))
    assert [task.data.idx for task in tasks] == [0, 1]
    for task in tasks:
        assert asyncio.run(task.validate(None)) is True
        assert "payload" not in task.data.model_dump()


class Answering:
    """An OpenAI-compatible endpoint that answers with the turns of an oracle."""

    def __init__(self, name: str) -> None:
        self.catalogue = TaskCatalogue(name, (0,))
        self.by_prompt = {
            task.prompt: task
            for task in (self.catalogue.task("train", i) for i in range(8))
        }

    def app(self) -> Any:
        app = FastAPI()

        @app.post("/v1/chat/completions")
        async def complete(request: Request) -> Any:
            body = await request.json()
            said = [m for m in body["messages"] if m["role"] == "assistant"]
            users = [m for m in body["messages"] if m["role"] == "user"]
            task = self.by_prompt[users[0]["content"]]
            turn = self.catalogue.env.oracle(task)[len(said)]
            about = {"id": "1", "created": 0, "model": "oracle"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            message = {"role": "assistant", "content": turn}
            choice = {"index": 0, "finish_reason": "stop"}
            if not body.get("stream"):
                choices = [{**choice, "message": message}]
                reply = {**about, "object": "chat.completion", "choices": choices}
                return JSONResponse({**reply, "usage": usage})
            chunks = [
                {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
                {"choices": [{**choice, "delta": {}}]},
                {"choices": [], "usage": usage},
            ]
            about["object"] = "chat.completion.chunk"
            lines = [f"data: {json.dumps({**about, **chunk})}\n\n" for chunk in chunks]
            return StreamingResponse(
                iter([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream"
            )

        return app


def test_their_runner_scores_the_oracle_1(tmp_path):
    bin_ = Path(sys.executable).parent
    environ = {
        **os.environ,
        "NO_KEY": "none",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
    }
    if shutil.which("uv", path=environ["PATH"]) is None:
        pytest.skip("verifiers starts its chat program with uv, which is missing")
    with served(Answering("tool_store").app()) as url:
        command = [str(bin_ / "vf-eval"), "scgrpo-verifiers"]
        command += ["--env.taskset.env", "tool_store", "--select.limit", "3"]
        command += ["-m", "oracle", "--client.base-url", f"{url}/v1"]
        command += ["--client.api-key-var", "NO_KEY", "-o", str(tmp_path)]
        command += ["--env.player.runtime.type", "subprocess"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=250, env=environ
        )
    (file,) = list(tmp_path.rglob("traces.jsonl")) or [None]
    assert file is not None, done.stdout + done.stderr
    result = load_any(str(file.parent), tmp_path, Choice())
    ((suite, tasks),) = result.suites.items()
    assert str(suite) == "scgrpo-verifiers", done.stdout
    assert len(tasks) == 3
    # What their runner wrote is also what `scgrpo compare` reads.
    assert {task.outcomes for task in tasks.values()} == {(1.0,)}, done.stdout
