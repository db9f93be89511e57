"""An environment as an OpenEnv server: `openenv.core`'s own application around a `TextEnv`.

Needs the extra `openenv`. Actions are text, `{"text": "..."}`; how a session is reset says
`ServedEnv.reset`. Whatever breaks in an episode is an error of the protocol, and never a reward.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from openenv.core.env_server import (  # pyright: ignore[reportMissingImports]
    Action,
    Environment,
    Observation,
    State,
    create_fastapi_app,
)
from openenv.core.env_server.types import (  # pyright: ignore[reportMissingImports]
    ConcurrencyConfig,
    EnvironmentMetadata,
)
from pydantic import Field

from envs.interop.sessions import Session, TaskCatalogue
from envs.types import Task
from sandboxes import SandboxPool

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["ServedEnv", "TextAction", "TextObservation", "openenv_app"]

LISTED = 200
"""How many tasks `list_tasks` describes; `num_tasks` counts all."""


class TextAction(Action):
    """A turn of the policy."""

    text: str = Field(
        description="What the policy writes: prose, or a tool call as JSON"
    )


class TextObservation(Observation):
    """What the policy reads next."""

    text: str = Field(description="The prompt, the reply to a turn, or why it ended")
    messages: list[dict[str, Any]] = Field(
        default_factory=list, description="At a reset: the chat to start from"
    )
    tools: list[dict[str, Any]] = Field(
        default_factory=list, description="At a reset: OpenAI function schemas"
    )


class TextState(State):
    """Where an episode stands."""

    env: str = Field(default="", description="The environment's name")
    task_id: str = Field(default="", description="The task, empty before a reset")
    split: str = ""
    level: int = 0


class ServedEnv(Environment[TextAction, TextObservation, TextState]):
    """A session of the server. Tasks are numbered through the levels of a split."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, catalogue: TaskCatalogue, sandboxes: SandboxPool | None) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._sandboxes = sandboxes
        self._state = TextState(env=catalogue.name)
        # Made at the first reset: sessions that only ask for tasks need none.
        self._session: Session | None = None

    def reset(
        self,
        seed: int | None = None,
        episode_id: str | None = None,
        split: str | None = None,
        index: int | None = None,
        level: int | None = None,
        task_id: str | None = None,
    ) -> TextObservation:
        """Starts an episode.

        | argument | meaning |
        |---|---|
        | seed | draws the task if none is named; and what an environment draws meanwhile |
        | split | the first one if it is left out |
        | index | number of the task within the split, or within the split's `level` |
        | level | of the task that is drawn or numbered; all that are served if it is left out |
        | task_id | the task, instead of split, index and level |
        """
        if self._session is None:
            self._session = Session(self._catalogue, self._sandboxes)
        task = self._task(seed, split, index, level, task_id)
        opening = self._session.reset(task, seed=seed)
        self._state = TextState(
            episode_id=episode_id or str(uuid.uuid4()),
            step_count=0,
            env=self._catalogue.name,
            task_id=task.id,
            split=task.split,
            level=task.level,
        )
        return TextObservation(
            text=task.prompt,
            messages=[dict(message) for message in opening.messages],
            tools=[dict(tool) for tool in opening.tools],
            metadata=_about(task),
        )

    def step(
        self, action: TextAction, timeout_s: float | None = None
    ) -> TextObservation:
        """Plays a turn. The environment has limits of time of its own for what a turn runs."""
        if self._session is None:
            raise RuntimeError("there is no episode to step: send a reset first")
        reply = self._session.step(action.text)
        self._state.step_count += 1
        return TextObservation(
            text=reply.text,
            reward=reply.reward,
            done=reply.done,
            metadata=dict(reply.info),
        )

    @property
    def state(self) -> TextState:
        """Episode, number of turns, and the task's id."""
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        """Name, version, and the first line of the environment's datasheet."""
        kind = type(self._catalogue.env)
        about = (kind.__doc__ or kind.__name__).strip().partition("\n")[0]
        return EnvironmentMetadata(
            name=self._catalogue.name, description=about, version=str(kind.version)
        )

    def list_splits(self) -> list[dict[str, str]]:
        """The splits with the protocol's types: train, and test for all others."""
        return [
            {"name": split, "type": "train" if split == "train" else "test"}
            for split in self._catalogue.splits
        ]

    def num_tasks(self, split: str) -> int:
        """How many tasks a split has, through all levels that are served."""
        return self._catalogue.count(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """What is known of a task before it is played. Raises IndexError."""
        return {**_about(self._catalogue.task(split, index)), "index": index}

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """What is known of tasks `start` to `stop`, as in a slice."""
        numbers = range(self.num_tasks(split))[start:stop]
        return [self.get_task(split, index) for index in numbers]

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The first tasks of a split, 200 at most."""
        return self.get_task_range(split, 0, LISTED)

    def close(self) -> None:
        """Ends the episode and gives back its sandbox."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _task(
        self,
        seed: int | None,
        split: str | None,
        index: int | None,
        level: int | None,
        task_id: str | None,
    ) -> Task:
        if task_id is not None:
            if split is not None or index is not None or level is not None:
                raise ValueError("got task_id and split, index or level; give either")
            return self._catalogue.find(task_id)
        split = split or self._catalogue.splits[0]
        if index is None:
            count = self._catalogue.count(split, level)
            if not count:
                raise ValueError(f"split {split!r} has no task at level {level}")
            index = int(np.random.default_rng(seed).integers(count))
        return self._catalogue.task(split, index, level)


def openenv_app(
    catalogue: TaskCatalogue,
    sandboxes: SandboxPool | None = None,
    *,
    sessions: int = 64,
    idle_s: float | None = None,
) -> FastAPI:
    """The ASGI application of a server.

    `sessions` may be open at once; one that is idle for `idle_s` seconds is closed.
    """

    def make_env() -> ServedEnv:
        return ServedEnv(catalogue, sandboxes)

    make: Callable[[], ServedEnv] = make_env
    return create_fastapi_app(
        make,
        TextAction,
        TextObservation,
        env_name=_slug(catalogue.name),
        concurrency_config=ConcurrencyConfig(
            max_concurrent_envs=sessions, session_timeout=idle_s
        ),
        state_cls=TextState,
        mode="simulation",
    )


def _slug(name: str) -> str:
    """The environment's name as one part of a path."""
    return name.rpartition("/")[2]


def _about(task: Task) -> dict[str, Any]:
    """What may be known of a task: never its payload."""
    return {
        "id": task.id,
        "split": task.split,
        "level": task.level,
        "family": task.family,
    }
