"""WebShop by name, played by AgentGym's server of it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from envs.base import TextEnv
from envs.published.questions import question_family
from envs.published.served.client import (
    JsonServer,
    ServerError,
    field,
    server_urls,
)
from envs.supply import TaskTable
from envs.types import Task, Verdict

__all__ = ["WebShop"]

SERVER, GOALS = "WEBSHOP_SERVER", "WEBSHOP_GOALS"
START = "start AgentGym's with `webshop --port 36001`"
ALL_GOALS = 12_087
FIRST_OF_DEV, FIRST_OF_TRAIN = 500, 1500
SHOWN_CHARS = 20_000

_ACTION = re.compile(r"(?:search|click)\[.+\]")
_LABEL = re.compile(r"^(?:>|action:)\s*", re.IGNORECASE)


class WebShop(TextEnv):
    """Buy what an instruction describes in a shop of Amazon's products (arXiv:2207.01206).

    The products are too large to come with a package, so a server of the user's plays it:
    `WEBSHOP_SERVER` is the address of AgentGym's `agentenv-webshop`.

    | | |
    |---|---|
    | prompt | the instruction |
    | turn | an action in its last line: `search[red mug]`, `click[buy now]` |
    | reply | the page, and what can be clicked on it |
    | verifier | WebShop's own reward at the purchase: 1 if the product, its options and its price |
    | | are all right; the score is the reward |
    | limits | 15 turns, and no purchase in them is a failure |
    | `train`, `id` | the authors': goals from 1,500 on, and goals 0 to 499 |
    | size | 10,587 and 500 tasks; of a server with fewer goals `WEBSHOP_GOALS` says how many |
    | family | the words of the instruction |
    | oracle, twin, chance | none |
    | source, licence | github.com/princeton-nlp/WebShop; MIT; products: Amazon's |
    """

    name = "webshop"
    splits = ("train", "id")
    max_turns = 15
    instructions = (
        "Buy what the instruction asks for. One action a turn, in its last line: "
        "search[words] or click[text] with a text that can be clicked."
    )

    def __init__(self) -> None:
        super().__init__()
        self._session: int | None = None
        self._actions: list[str] = []

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split. Reading one asks the server."""
        return _tasks(split, _goal_count())

    def begin(self, task: Task) -> None:
        """Opens the shop with the task's goal."""
        self._actions = []
        if self._session is None:
            self._session = _new_session()
        _server().post("/reset", env_idx=self._session, session_id=task.payload["goal"])

    def close(self) -> None:
        """Ends the episode and the session."""
        super().close()
        session, self._session = self._session, None
        if session is not None:
            _end_session(session)

    def reply(self, text: str) -> str | Verdict:
        """Takes the action of the last line."""
        line = text.strip().rpartition("\n")[2]
        action = _LABEL.sub("", line.strip()).strip("`")
        if not _ACTION.fullmatch(action):
            self.malformed += 1
            return f"no action: write search[words] or click[text]\n{self._clickable()}"
        answer = _server().post("/step", env_idx=self._session, action=action)
        self._actions.append(action)
        reward = float(field(answer, "reward", (int, float), "WebShop's server"))
        page = field(answer, "state", str, "WebShop's server")
        if not field(answer, "done", bool, "WebShop's server"):
            return f"{page[:SHOWN_CHARS]}\n{self._clickable()}"
        score = min(max(reward, 0.0), 1.0)
        return Verdict(score == 1.0, score, f"bought, reward {score:.2f}")

    def _clickable(self) -> str:
        answer = _server().get("/available_actions", env_idx=self._session)
        names = field(answer, "clickables", list, "WebShop's server")
        shown = [f"click[{name}]" for name in names if name != "search"]
        if field(answer, "has_search_bar", bool, "WebShop's server"):
            shown.insert(0, "search[words]")
        return f"Actions: {', '.join(shown)}"

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, and the actions so far."""
        return {**super().get_state(), "actions": list(self._actions)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode by taking its actions again."""
        super().set_state(state)
        for action in state["actions"]:
            _server().post("/step", env_idx=self._session, action=action)
        self._actions = list(state["actions"])


@cache
def _server() -> JsonServer:
    """The server of this process. Raises MissingDataError without one."""
    return JsonServer(server_urls(SERVER, START)[0])


def _new_session() -> int:
    session = _server().post("/create")
    if not isinstance(session, int):
        raise ServerError(
            f"WebShop's server opened {session!r:.100}, expected a number"
        )
    return session


def _end_session(session: int) -> None:
    # A server of an older release cannot, and one that is gone need not.
    with contextlib.suppress(ServerError):
        _server().post("/close", env_idx=session)


def _goal_count() -> int:
    """How many goals the server has. Raises ValueError for less than there are to evaluate on."""
    text = os.environ.get(GOALS, str(ALL_GOALS))
    if not text.isdecimal() or int(text) <= FIRST_OF_TRAIN:
        raise ValueError(f"got {GOALS}={text!r}, expected more than {FIRST_OF_TRAIN}")
    return int(text)


@cache
def _tasks(split: str, count: int) -> TaskTable:
    """The goals of a split, whose ids need no server."""
    goals = range(FIRST_OF_TRAIN, count) if split == "train" else range(FIRST_OF_DEV)

    def task(task_id: str) -> Task:
        """The task of an id, with the server's instruction."""
        goal = int(task_id.rpartition("/")[2])
        session = _new_session()
        try:
            _server().post("/reset", env_idx=session, session_id=goal)
            instruction = str(_server().get("/instruction_text", env_idx=session))
        finally:
            _end_session(session)
        return Task(
            id=task_id,
            split=split,
            level=0,
            family=question_family(instruction),
            prompt=instruction.strip(),
            payload={"goal": goal},
        )

    return TaskTable((f"{split}/0/{goal}" for goal in goals), task)
