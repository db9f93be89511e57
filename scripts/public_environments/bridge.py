"""Environments of other libraries behind OpenEnv's server: their tasks, replies and rewards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from games import Game  # pyright: ignore[reportMissingImports]
from openenv.core.env_server import (  # pyright: ignore[reportMissingImports]
    Environment,
    State,
    create_fastapi_app,
)

from envs.interop.openenv_server import TextAction, TextObservation

__all__ = ["app_of", "served"]


class Bridge(Environment[TextAction, TextObservation, State]):
    """A session of the server around a game of its own."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, make: Callable[[], Game]) -> None:
        super().__init__()
        self._game = make()
        self._state = State()
        self._is_over = True

    def reset(
        self, seed: int | None = None, episode_id: str | None = None
    ) -> TextObservation:
        """Starts the episode of a seed; without one that of seed 0."""
        text = self._game.reset(seed or 0)
        self._state = State(episode_id=episode_id, step_count=0)
        self._is_over = False
        return TextObservation(text=text)

    def step(
        self, action: TextAction, timeout_s: float | None = None
    ) -> TextObservation:
        """Plays a turn. Raises RuntimeError after the end."""
        if self._is_over:
            raise RuntimeError("the episode is over: send a reset")
        text, reward, self._is_over = self._game.step(action.text)
        self._state.step_count += 1
        return TextObservation(text=text, reward=reward, done=self._is_over)

    @property
    def state(self) -> State:
        """The number of turns."""
        return self._state


def app_of(make: Callable[[], Game]) -> Any:
    """OpenEnv's application around an environment of theirs."""

    def session() -> Bridge:
        return Bridge(make)

    return create_fastapi_app(
        session, TextAction, TextObservation, mode="simulation", max_concurrent_envs=8
    )


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application while a thread serves it."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise OSError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()
