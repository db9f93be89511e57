"""What the graders of a package measure on its running server, over OpenEnv's own client."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.interop.openenv_actions import Actions, actions_of

__all__ = [
    "CANARIES",
    "CannotMeasure",
    "Evidence",
    "Play",
    "Played",
    "Served",
    "record",
]

MAX_PLAYS = 8
"""Trajectories of a file that a check plays."""
CANARIES: tuple[tuple[str, ...], ...] = (("",), ("done",), ('{"reward": 1.0}',))
"""Turns that solve nothing."""


class CannotMeasure(Exception):
    """The package declares or ships nothing that a check could measure: it is skipped."""


@dataclass(frozen=True)
class Play:
    """A trajectory that a package ships: how the episode is reset, and what is done in it."""

    reset: Mapping[str, Any]
    turns: tuple[Any, ...]


@dataclass(frozen=True)
class Played:
    """What a server answered to a play.

    | field | meaning |
    |---|---|
    | observations | of the reset and of each step, with reward and done, in order |
    | total | the sum of the rewards |
    | done | whether it ended |
    | seconds | from the reset to the last answer |
    """

    observations: tuple[Mapping[str, Any], ...]
    total: float
    done: bool
    seconds: float = field(compare=False)


class Served:
    """A running server, and sessions on it. `timeout_s` is the longest wait for an answer."""

    def __init__(self, url: str, timeout_s: float = 120.0) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.schema = self.get("/schema").json()
        self._actions: Actions = actions_of(self.schema.get("action", {}))

    def get(self, path: str, body: Any = None) -> Any:
        """The response to a request, whatever its status."""
        import httpx2

        method = "GET" if body is None else "POST"
        return httpx2.request(
            method, self.url + path, json=body, timeout=self.timeout_s
        )

    @contextmanager
    def session(self) -> Iterator[Any]:
        """A session of its own."""
        core = importlib.import_module("openenv.core")
        client = core.GenericEnvClient(
            base_url=self.url, message_timeout_s=self.timeout_s
        ).sync()
        try:
            yield client.connect()
        finally:
            client.close()

    def action(self, turn: Any) -> dict[str, Any]:
        """A turn as an action: as it is, if it is one already."""
        if isinstance(turn, Mapping):
            return dict(turn)
        action = self._actions.parse(turn)
        if isinstance(action, str):
            raise CannotMeasure(f"the turn {turn!r:.60} is no action here: {action}")
        return action

    def play(self, play: Play, session: Any = None) -> Played:
        """Plays a trajectory in a session, by default in one of its own."""
        if session is None:
            with self.session() as one:
                return self.play(play, one)
        started = time.monotonic()
        result = session.reset(**play.reset)
        observations = [record(result)]
        total = 0.0
        for turn in play.turns:
            if result.done:
                break
            result = session.step(self.action(turn))
            observations.append(record(result))
            total += float(result.reward or 0.0)
        seconds = time.monotonic() - started
        return Played(tuple(observations), total, bool(result.done), seconds)

    def task_counts(self) -> dict[str, int]:
        """Split -> number of tasks, as the server says. Raises CannotMeasure without tasks."""
        names = self.get("/list_environments")
        if names.status_code != 200 or not names.json():
            raise CannotMeasure("the server has no task API")
        name = names.json()[0]
        splits = self.get(f"/{name}/splits")
        if splits.status_code != 200:
            raise CannotMeasure("the server lists no splits")
        counts: dict[str, int] = {}
        for split in splits.json():
            answer = self.get(f"/{name}/num_tasks", {"split": split["name"]})
            counts[split["name"]] = answer.json().get("num_tasks", 0)
        return counts


class Evidence:
    """What graders read of a subject; `measured` is what they found in numbers."""

    def __init__(self, subject: Any) -> None:
        self.subject = subject
        self.manifest = subject.manifest
        self.measured: dict[str, Any] = {}
        self._server: Served | None = None

    @property
    def server(self) -> Served:
        """The running server. Raises CannotMeasure if none runs."""
        if self.subject.running is None:
            raise CannotMeasure("no server runs")
        if self._server is None:
            episode_s = self.manifest.resources.episode_timeout_s
            self._server = Served(self.subject.running.base_url, episode_s)
        return self._server

    @property
    def oracle(self) -> list[Play]:
        """The package's solutions. Raises CannotMeasure if it declares none that is data."""
        declared = self.manifest.capabilities.oracle
        if declared is None:
            raise CannotMeasure("the manifest declares no oracle")
        return _packaged_plays(self.subject.root, declared.location)[:MAX_PLAYS]

    @property
    def canaries(self) -> list[Play]:
        """Trajectories that solve nothing: the package's, and turns that do nothing."""
        location = self.manifest.capabilities.canaries
        if location:
            return _packaged_plays(self.subject.root, location)[:MAX_PLAYS]
        return [Play({}, turns) for turns in CANARIES]

    @property
    def high(self) -> float:
        """The largest reward of an episode, as declared."""
        return float(self.manifest.reward.range[1])

    def play(self, plays: Sequence[Play]) -> list[Played]:
        """Each play in a session of its own; those that are no actions here are left out."""
        results: list[Played] = []
        reasons: list[str] = []
        for play in plays:
            try:
                results.append(self.server.play(play))
            except CannotMeasure as reason:
                reasons.append(str(reason))
        if not results:
            raise CannotMeasure("; ".join(reasons[:2]) or "nothing to play")
        return results


def _packaged_plays(root: Path, location: str) -> list[Play]:
    """The trajectories in a JSON file of a package.

    A list of `{"reset": {...}, "actions": [...]}`, or `{"split", "index", "turns"}`. Raises
    CannotMeasure for a file that is not there, lies outside of the package, or is no such list.
    """
    path = (root / location).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise CannotMeasure(f"there is no file {location} in the package")
    try:
        rows = json.loads(path.read_text("utf-8"))
        plays = [_play(row) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CannotMeasure(
            f"{location} is no JSON list of resets and actions ({type(error).__name__})"
        ) from error
    if not plays:
        raise CannotMeasure(f"{location} holds no trajectory")
    return plays


def _play(row: Mapping[str, Any]) -> Play:
    turns: Sequence[Any] = row["actions"] if "actions" in row else row["turns"]
    reset = row.get("reset")
    if reset is None:
        reset = {key: row[key] for key in ("split", "index") if key in row}
    return Play(dict(reset), tuple(turns))


def record(result: Any) -> dict[str, Any]:
    """What a server answered to a reset or a step."""
    return {
        "observation": result.observation,
        "reward": result.reward,
        "done": bool(result.done),
    }
