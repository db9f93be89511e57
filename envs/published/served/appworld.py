"""AppWorld by name, played by its own environment servers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from envs.base import TextEnv
from envs.published.coding.programs import last_program
from envs.published.served.client import (
    JsonServer,
    ServerError,
    field,
    server_urls,
)
from envs.releases import MissingDataError
from envs.supply import TaskTable
from envs.types import Task, Verdict

__all__ = ["AppWorld"]

SERVERS, ROOT = "APPWORLD_SERVERS", "APPWORLD_ROOT"
START = "start one with `appworld serve environment --port 8000 --docker`"
WAIT_S = 600.0
SHOWN_CHARS = 20_000
NO_PROGRAM = "no program found: write it between ```python and ```"
DATA_SETS = {"train": "train", "id": "test_normal", "ood/tools": "test_challenge"}


class AppWorld(TextEnv):
    """Act for a person in nine apps by Python (AppWorld, arXiv:2407.18901).

    The package `appworld` needs other versions of what is installed here, so its own environment
    server plays: `APPWORLD_SERVERS` names as many as episodes shall run at once, with commas
    between them, since each holds one task; and `APPWORLD_ROOT` the folder of its data. A server
    runs the policy's programs: start it in a container.

    | | |
    |---|---|
    | prompt | whose tasks they are, the task, and how to look up what the apps can do |
    | turn | a program in a Python fence, of which the last counts; variables stay |
    | reply | what it prints |
    | verifier | AppWorld's own tests of the task, once a program has called |
    | | `apis.supervisor.complete_task` |
    | limits | 40 turns, and no such call in them is a failure |
    | `train`, `id`, `ood/tools` | the authors' train, test_normal and test_challenge, whose tasks |
    | | need apps that no other has |
    | size | as its data lists |
    | family | the scenario, of which there are several tasks |
    | oracle, twin, chance | none |
    | source, licence | github.com/StonyBrookNLP/appworld; Apache-2.0; its data is encrypted |
    """

    name = "appworld"
    splits = ("train", "id", "ood/tools")
    max_turns = 40
    instructions = (
        "Do the person's task by programs in ```python blocks, one a turn. "
        "`apis.api_docs.show_app_descriptions()`, "
        "`apis.api_docs.show_api_descriptions(app_name=...)` and "
        "`apis.api_docs.show_api_doc(app_name=..., api_name=...)` say what can be called; print "
        "what you want to see. Call `apis.supervisor.complete_task()` at the end, with "
        "`answer=...` if the task asks for one."
    )

    def __init__(self) -> None:
        super().__init__()
        self._server: JsonServer | None = None
        self._programs: list[str] = []

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split. Reading one asks a server."""
        return _tasks(split)

    def begin(self, task: Task) -> None:
        """Waits for a free server and has it open the task."""
        self._programs = []
        self._server = _take_server()
        # Servers of one folder write below it by this name, also while they play the same task.
        experiment = re.sub(r"\W+", "-", f"scgrpo {self._server.url}")
        self._server.post(
            "/initialize", task_id=_their_id(task.id), experiment_name=experiment
        )

    def end(self) -> None:
        """Gives the server back; the next task that it opens ends this one."""
        server, self._server = self._server, None
        if server is not None:
            _free_servers().put(server)

    def reply(self, text: str) -> str | Verdict:
        """Runs the turn's program."""
        program = last_program(text)
        if program is None:
            self.malformed += 1
            return NO_PROGRAM
        self._programs.append(program)
        output = self._ask("/execute", str, code=program)
        if self._ask("/task_completed", bool):
            return self._verdict()
        return output[:SHOWN_CHARS]

    def _verdict(self) -> Verdict:
        result = self._ask("/evaluate", dict)
        if not isinstance(result.get("success"), bool):
            raise ServerError(f"AppWorld judged {result!r:.100}, expected `success`")
        count = max(1, int(result.get("num_tests") or 1))
        passes = len(result.get("passes") or ())
        if result["success"]:
            return Verdict(True, 1.0, f"all {count} tests pass")
        # Never 1, whatever the counts say: only a success is.
        score = min(passes, count - 1) / count
        return Verdict(False, score, f"{passes} of {count} tests pass")

    def _ask(self, path: str, kind: type, **body: Any) -> Any:
        assert self._server is not None
        task_id = _their_id(self.task.id)
        answer = self._server.post(path, task_id=task_id, **body)
        return field(answer, "output", kind, "AppWorld's server")

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, and the programs so far."""
        return {**super().get_state(), "programs": list(self._programs)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode by running its programs again."""
        super().set_state(state)
        for program in state["programs"]:
            self._ask("/execute", str, code=program)
        self._programs = list(state["programs"])


def _their_id(task_id: str) -> str:
    return task_id.rpartition("/")[2]


@cache
def _free_servers() -> SimpleQueue[JsonServer]:
    """The servers that no episode of this process uses; processes of one run share them out.

    Raises ValueError for fewer servers than processes.
    """
    rank, processes = (
        int(os.environ.get("RANK", 0)),
        int(os.environ.get("WORLD_SIZE", 1)),
    )
    urls = server_urls(SERVERS, START)
    if len(urls) < processes:
        raise ValueError(
            f"{SERVERS} names {len(urls)} servers for {processes} processes, expected one or more "
            "for each"
        )
    servers: SimpleQueue[JsonServer] = SimpleQueue()
    for url in urls[rank::processes]:
        servers.put(JsonServer(url))
    return servers


def _take_server() -> JsonServer:
    try:
        return _free_servers().get(timeout=WAIT_S)
    except Empty:
        raise ServerError(
            f"no AppWorld server was free within {WAIT_S:.0f} s: {SERVERS} must name as many as "
            "episodes run at once"
        ) from None


@cache
def _tasks(split: str) -> TaskTable:
    """The tasks of a split, whose ids AppWorld's data lists. Raises MissingDataError."""
    data_set = DATA_SETS[split]
    path = Path(os.environ.get(ROOT) or ".", "data", "datasets", f"{data_set}.txt")
    if not path.is_file():
        raise MissingDataError(
            f"{path} is missing: run `appworld install` and `appworld download data` in a folder, "
            f"and set {ROOT} to it"
        )
    words = [line.partition(":")[0].strip() for line in path.read_text().split("\n")]

    def task(task_id: str) -> Task:
        """The task of an id, as a server describes it."""
        server = _take_server()
        try:
            answer = server.get(f"/tasks/{_their_id(task_id)}")
        finally:
            _free_servers().put(server)
        about = field(answer, "output", dict, "AppWorld's server")
        return Task(
            id=task_id,
            split=split,
            level=0,
            family=_their_id(task_id).partition("_")[0],
            prompt=_prompt(about),
        )

    return TaskTable((f"{split}/0/{word}" for word in words if word), task)


def _prompt(about: Mapping[str, Any]) -> str:
    person = about["supervisor"]
    return (
        f"My name is {person['first_name']} {person['last_name']}. My email is {person['email']} "
        f"and my phone number is {person['phone_number']}. It is {about['datetime']}.\n\n"
        f"Task: {about['instruction']}"
    )
