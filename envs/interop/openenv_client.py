"""An environment of others behind an OpenEnv server, played as one of ours.

`env=openenv:http://HOST:PORT`, with options behind `#`: see `OpenEnvOptions`. Needs the extra
`openenv`, whose client holds the connection.
"""

from __future__ import annotations

import importlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gymnasium

from envs.base import TextEnv
from envs.interop.openenv_actions import Actions, actions_of, words_of
from envs.splits import SHIFTS
from envs.supply import TaskTable
from envs.types import Task, Verdict

__all__ = [
    "OpenEnvClient",
    "OpenEnvError",
    "OpenEnvOptions",
    "parse_address",
    "registered_id",
]

CAPACITY = "capacity"
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
ASK_S = 30.0
SPLITS = ("train", "id", *(f"ood/{shift}" for shift in SHIFTS))
TEST_SPLITS = ("test", "validation", "eval", "val", "dev")
FIRST_TEST_SEED = 1_000_000


class OpenEnvError(RuntimeError):
    """The server is gone, is busy for too long, or its environment broke: an errored episode."""


@dataclass(frozen=True)
class OpenEnvOptions:
    """How a foreign environment is played: `openenv:http://HOST:PORT#turns=8&pass_at=0.5`.

    | field | meaning |
    |---|---|
    | turns | turns until an episode ends that its environment has not ended |
    | pass_at | the sum of an episode's rewards from which it has passed |
    | tasks | seeds that stand for tasks, if the server lists none; a tenth of them are `id` |
    | turn_s | longest wait for the answer to a turn |
    | wait_s | longest wait for a free session of a busy server |
    """

    turns: int = 16
    pass_at: float = 1.0
    tasks: int = 1000
    turn_s: float = 120.0
    wait_s: float = 300.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(
                    f"got {field.name}={getattr(self, field.name)}, expected more than 0"
                )


def parse_address(address: str) -> tuple[str, OpenEnvOptions]:
    """URL and options of `http://HOST:PORT#turns=8`. Raises ValueError for any other."""
    url, _, rest = address.partition("#")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"got env=openenv:{address}, expected openenv:http://HOST:PORT"
        )
    kinds = {field.name: type(field.default) for field in fields(OpenEnvOptions)}
    values: dict[str, Any] = {}
    for item in rest.split("&") if rest else ():
        name, _, text = item.partition("=")
        if name not in kinds:
            raise ValueError(
                f"unknown option {name!r} in openenv:{address}; expected {', '.join(kinds)}"
            )
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise ValueError(
                f"got {name}={text!r} in openenv:{address}, expected a number"
            ) from None
    return url.rstrip("/"), OpenEnvOptions(**values)


class OpenEnvClient(TextEnv):
    """An environment that an OpenEnv server plays; each episode is a session of its own.

    | | |
    |---|---|
    | tasks | those that the server lists, in splits of our names if it uses these, else its first |
    | | test split as `id` and another one as `ood/domain`. If it lists none, seeds, which its |
    | | reset is given: no one knows whether two of them differ |
    | tools | of an MCP environment its tools; of an action with several fields one tool that |
    | | takes these; of an action with one text field none: the turn is the text |
    | verdict | passed if the rewards of the episode sum up to `pass_at` |
    | errors | a lost connection, and whatever the server calls an error, end an episode without |
    | | a verdict |
    | not known | oracle, critical spans, twins and chance |

    Raises OpenEnvError, as it is made, if no OpenEnv server answers at `url`.
    """

    name: ClassVar[str] = "openenv"
    splits = ("train", "id")

    def __init__(self, url: str, options: OpenEnvOptions | None = None) -> None:
        self.url = url
        self.options = options or OpenEnvOptions()
        self.max_turns = self.options.turns  # pyright: ignore[reportAttributeAccessIssue]
        self.about = _about(url)
        self._counts = _counts(url)
        if self._counts:
            # Instead of the class's: those that this server has.
            self.splits = tuple(self._counts)  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__()
        schema = _get(url, "/schema").get("action") or {}
        self._actions: Actions = actions_of(schema)
        self._client: Any = None
        self._opening: Mapping[str, Any] = {}
        self._played: list[Any] = []
        self._total = 0.0

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The server's tasks of a split, or seeds."""
        theirs, count = self._counts.get(split, ("", 0))
        if self._counts:
            resets = {
                f"{split}/0/{i}": {"split": theirs, "index": i} for i in range(count)
            }
        else:
            first = 0 if split == "train" else FIRST_TEST_SEED
            count = self.options.tasks // (1 if split == "train" else 10) or 1
            resets = {f"{split}/0/{i}": {"seed": first + i} for i in range(count)}

        def make(task_id: str) -> Task:
            return Task(
                id=task_id,
                split=split,
                level=0,
                family=task_id,
                prompt=f"task {task_id} of {self.url}",
                payload={"reset": resets[task_id]},
            )

        return TaskTable(resets, make)

    def begin(self, task: Task) -> None:
        """Opens a session and resets it."""
        self._played, self._total = [], 0.0
        arguments = dict(task.payload["reset"])
        deadline = time.monotonic() + self.options.wait_s
        wait_s = FIRST_WAIT_S
        while True:
            self._client = _connect(self.url, self.options)
            try:
                result = self._ask("reset", **arguments)
                break
            except OpenEnvError as error:
                self.end()
                busy = CAPACITY in str(error).lower()
                if not busy or time.monotonic() + wait_s > deadline:
                    raise
            # Another episode's session ends soon; whoever waits longer asks less often.
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        self._opening = result.observation
        if result.done:
            raise OpenEnvError(
                f"{self.url}: the episode of {task.id} was over at its reset"
            )
        if self._actions.lists_tools:
            listed = self._ask("step", {"type": "list_tools"})
            self._actions = self._actions.with_tools(listed.observation["tools"])

    def end(self) -> None:
        """Closes the session."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """As `TextEnv.reset`; the chat begins with what the server's reset says."""
        _, info = super().reset(seed=seed, options=options)
        opening = self._opening
        messages = opening.get("messages")
        if not messages:
            messages = [{"role": "user", "content": words_of(opening)}]
        info["messages"] = [dict(message) for message in messages]
        return messages[-1]["content"], info

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The server's tools."""
        return self._opening.get("tools") or self._actions.tools

    def reply(self, text: str) -> str | Verdict:
        """Sends the turn."""
        action = self._actions.parse(text)
        if isinstance(action, str):
            self.malformed += 1
            return self._last() or action
        result = self._ask("step", action)
        self._played.append(action)
        self._total += float(result.reward or 0.0)
        if result.done:
            return self._verdict(words_of(result.observation))
        return self._last() or words_of(result.observation)

    def situation(self) -> Mapping[str, Any]:
        """The task, and every action so far: nothing else is known of the other side."""
        return {"task_id": self.task.id, "actions": list(self._played)}

    def get_state(self) -> dict[str, Any]:
        """The snapshot of `TextEnv`, and the actions that lead here."""
        return super().get_state() | {"actions": list(self._played)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Plays the actions of a snapshot again."""
        super().set_state(state)
        for action in state["actions"]:
            result = self._ask("step", action)
            self._played.append(action)
            self._total += float(result.reward or 0.0)

    def _last(self) -> Verdict | None:
        """The verdict after the last turn, of an environment that did not end before."""
        if self._turn < self._budget:
            return None
        return self._verdict(f"{self._budget} turns without an end")

    def _verdict(self, detail: str) -> Verdict:
        total, needed = self._total, self.options.pass_at
        passed = total >= needed
        score = 1.0 if passed else max(0.0, min(total / needed, 1.0))
        return Verdict(passed=passed, score=score, detail=detail)

    def _ask(self, method: str, /, *arguments: Any, **keywords: Any) -> Any:
        """What the server answers. Raises OpenEnvError for whatever else happens."""
        try:
            return getattr(self._client, method)(*arguments, **keywords)
        except Exception as error:
            # The client's errors are of many kinds: of sockets, of frames, and RuntimeError with
            # the server's words. All mean the same here.
            raise OpenEnvError(
                f"{self.url}: {method} failed ({type(error).__name__}: {error})"
            ) from error


def _connect(url: str, options: OpenEnvOptions) -> Any:
    core = _package("openenv.core")
    client = core.GenericEnvClient(
        base_url=url, message_timeout_s=options.turn_s, connect_timeout_s=ASK_S
    ).sync()
    try:
        return client.connect()
    except Exception as error:
        client.close()
        raise OpenEnvError(
            f"no OpenEnv server answers at {url} ({type(error).__name__}: {error}); start it, "
            "for example with `scgrpo envs serve NAME`"
        ) from error


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{error}; env=openenv:... needs the extra: pip install 'scgrpo[openenv]'"
        ) from error


def _about(url: str) -> dict[str, Any]:
    """Name, description and version, as the server says."""
    about = _get(url, "/metadata")
    return {key: about.get(key) for key in ("name", "description", "version")}


def _counts(url: str) -> dict[str, tuple[str, int]]:
    """Our split -> the server's name of it and its number of tasks; empty if it lists none."""
    names = _get(url, "/list_environments", missing=[])
    splits = _get(url, f"/{names[0]}/splits", missing=[]) if names else []
    counts: dict[str, tuple[str, int]] = {}
    for split in splits:
        theirs = split["name"]
        ours = _our_split(theirs, counts)
        body = {"split": theirs}
        count = _get(url, f"/{names[0]}/num_tasks", body=body, missing={})
        if ours and count.get("num_tasks"):
            counts[ours] = (theirs, count["num_tasks"])
    return counts


def _our_split(theirs: str, counts: Mapping[str, Any]) -> str:
    """Which split of ours a server's becomes; empty if there is none left."""
    if theirs in SPLITS:
        return theirs
    if theirs in TEST_SPLITS and "id" not in counts:
        return "id"
    return "" if "ood/domain" in counts else "ood/domain"


def _get(url: str, path: str, *, body: Any = None, missing: Any = None) -> Any:
    """The JSON at a path; `missing`, if it is given, for what the server does not have."""
    import httpx2

    method = "GET" if body is None else "POST"
    try:
        response = httpx2.request(method, url + path, json=body, timeout=ASK_S)
    except httpx2.HTTPError as error:
        raise OpenEnvError(
            f"no OpenEnv server answers at {url} ({type(error).__name__}: {error}); start it, "
            "for example with `scgrpo envs serve NAME`"
        ) from error
    if response.status_code in (404, 405, 501) and missing is not None:
        return missing
    try:
        response.raise_for_status()
        return response.json()
    except (httpx2.HTTPError, json.JSONDecodeError) as error:
        raise OpenEnvError(
            f"{url}{path} is no OpenEnv server's answer: {error}"
        ) from error


def registered_id(address: str) -> tuple[str, dict[str, Any]]:
    """Gymnasium's id of the environment at an address, and the arguments to make it with.

    The id holds the name and version that the server gives, so that episodes say what was played.
    Raises ValueError for a malformed address, OpenEnvError if no server answers.
    """
    url, options = parse_address(address)
    about = _about(url)
    words = [about["name"] or "environment", about["version"] or ""]
    name = re.sub(r"[^\w.]+", "-", "-".join(words)).strip("-.")
    env_id = f"openenv/{name}-v0"
    if env_id not in gymnasium.registry:
        gymnasium.register(
            env_id,
            entry_point=f"{__name__}:{OpenEnvClient.__name__}",
            order_enforce=False,
            disable_env_checker=True,
        )
    return env_id, {"url": url, "options": options}
