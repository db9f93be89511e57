"""What `scgrpo agent serve` answers besides the calls of agents: tasks, and sessions on them."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium

from envs import registry
from envs.interop.sessions import TaskCatalogue
from envs.rollout import Limits
from envs.store import to_json, write_episodes
from envs.types import Episode, Task
from sandboxes import SandboxPool
from scgrpo.agents.config import AgentConfig, check_agent
from scgrpo.agents.endpoint import Endpoint, json_body
from scgrpo.agents.errors import RequestError
from scgrpo.agents.recorder import MODEL
from scgrpo.agents.session import Session
from scgrpo.policies.tokens import TokenConversation, TokenPolicy

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

__all__ = ["AgentService"]

DEFAULT_SPLIT = "train"


@dataclass
class _Open:
    """A session that is open, its environment, and when it began."""

    session: Session
    env: gymnasium.Env[str, str]
    start_s: float


class AgentService:
    """Opens sessions of one environment for agents that others start, and grades them.

    | argument | meaning |
    |---|---|
    | grading | sandboxes that grade |
    | sandboxes | `config.parallel` sandboxes with a shell, for the agents |
    | out | every finished episode is appended there; None: nowhere |

    Raises ValueError for an environment on whose tasks agents cannot work.
    """

    def __init__(
        self,
        catalogue: TaskCatalogue,
        policy: TokenPolicy[TokenConversation],
        grading: SandboxPool,
        sandboxes: SandboxPool,
        config: AgentConfig,
        *,
        limits: Limits,
        out: Path | None = None,
    ) -> None:
        check_agent(config, catalogue.env, catalogue.name)
        self._catalogue, self._policy = catalogue, policy
        self._graders, self._sandboxes = grading, sandboxes
        self._config, self._limits, self._out = config, limits, out
        self._open: dict[str, _Open] = {}
        self._starts = 0
        self._lock = threading.Lock()
        self.endpoint: Endpoint | None = None

    def routes(self) -> list[Route]:
        """The routes of the service, for its `Endpoint`."""
        from starlette.routing import Route

        return [
            Route("/tasks", _endpoint(self._tasks), methods=["GET"]),
            Route("/sessions", _endpoint(self._begin), methods=["POST"]),
            Route("/sessions/{key}/finish", _endpoint(self._finish), methods=["POST"]),
            Route("/sessions/{key}", _endpoint(self._abandon), methods=["DELETE"]),
        ]

    def close(self) -> None:
        """Ends every session without a verdict. Safe to call twice."""
        for key in list(self._open):
            with suppress(RequestError):
                self._abandon(key, {})

    def _tasks(self, key: str, body: Any) -> dict[str, Any]:
        catalogue = self._catalogue
        counts = {
            split: {
                str(level): catalogue.count(split, level) for level in catalogue.levels
            }
            for split in catalogue.splits
        }
        return {"env": catalogue.name, "tasks": counts}

    def _begin(self, key: str, body: Any) -> dict[str, Any]:
        task = self._task_of(body)
        seed = body.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise RequestError("seed must be a whole number from 0", param="seed")
        self._drop_expired()
        with self._lock:
            if len(self._open) + self._starts >= self._config.parallel:
                raise RequestError(
                    f"{self._config.parallel} sessions are open, which is the most: finish one, "
                    "or start the server with more --sessions",
                    status=429,
                    kind="rate_limit_error",
                )
            self._starts += 1
        try:
            return self._new_session(task, seed)
        finally:
            with self._lock:
                self._starts -= 1

    def _new_session(self, task: Task, seed: int) -> dict[str, Any]:
        endpoint = self.endpoint
        assert endpoint is not None
        arguments: dict[str, Any] = {}
        if "sandboxes" in inspect.signature(type(self._catalogue.env)).parameters:
            arguments["sandboxes"] = self._graders
        env = registry.make(self._catalogue.name, **arguments)
        try:
            session = Session(
                env,
                self._policy,
                task,
                self._sandboxes,
                self._config,
                limits=self._limits,
                seed=seed,
            )
        except BaseException:
            env.close()
            raise
        key = endpoint.add(session)
        with self._lock:
            self._open[key] = _Open(session, env, time.monotonic())
        return {
            "id": key,
            "task_id": task.id,
            "prompt": session.prompt,
            "base_url": endpoint.base_url(key),
            "api_key": key,
            "model": MODEL,
            "sandbox_url": endpoint.sandbox_url(key),
        }

    def _finish(self, key: str, body: Any) -> dict[str, Any]:
        error = body.get("error", "")
        if not isinstance(error, str):
            raise RequestError("error must be a text", param="error")
        episode = self._end(key, lambda session: session.finish(error))
        assert episode is not None
        if self._out is not None:
            with self._lock:
                write_episodes(self._out, [episode])
        verdict = None if episode.verdict is None else vars(episode.verdict)
        return {
            "verdict": verdict,
            "error": episode.error,
            "turns": len(episode.turns),
            "tokens": len(episode.token_ids),
            "branches": len(episode.branches),
            "episode": json.loads(to_json(episode)),
        }

    def _abandon(self, key: str, body: Any) -> dict[str, Any]:
        self._end(key, lambda session: session.close())
        return {"id": key, "deleted": True}

    def _end(
        self, key: str, end: Callable[[Session], Episode | None]
    ) -> Episode | None:
        with self._lock:
            entry = self._open.pop(key, None)
        if entry is None:
            raise RequestError("there is no such session", status=404, code="gone")
        if self.endpoint is not None:
            with suppress(KeyError):
                self.endpoint.remove(key)
        try:
            return end(entry.session)
        finally:
            entry.env.close()

    def _drop_expired(self) -> None:
        """Ends sessions that nobody has finished in their time: they hold a slot and a sandbox."""
        oldest = time.monotonic() - self._config.timeout_s
        for key, entry in list(self._open.items()):
            if entry.start_s < oldest:
                with suppress(RequestError):
                    self._abandon(key, {})

    def _task_of(self, body: Any) -> Task:
        """The task that a body names by id, or by split, level and index. Raises RequestError."""
        if not isinstance(body, dict):
            raise RequestError("the body must be a JSON object")
        try:
            if "task_id" in body:
                return self._catalogue.find(str(body["task_id"]))
            split = body.get("split", DEFAULT_SPLIT)
            return self._catalogue.task(split, body.get("index", 0), body.get("level"))
        except (ValueError, IndexError, TypeError) as error:
            raise RequestError(f"no such task: {error}", status=404) from error


def _endpoint(handler: Callable[[str, Any], dict[str, Any]]):  # noqa: ANN202 - of Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    async def answer(request: Request) -> JSONResponse:
        """Runs the handler in a thread: grading blocks."""
        content = await request.body()
        try:
            body = json_body(content)
            key = request.path_params.get("key", "")
            return JSONResponse(await run_in_threadpool(handler, key, body))
        except RequestError as error:
            return JSONResponse(error.body, error.status)
        except Exception as error:  # noqa: BLE001 - answered, so that one session alone fails
            problem = RequestError(
                f"{type(error).__name__}: {error}", status=500, kind="server_error"
            )
            return JSONResponse(problem.body, problem.status)

    return answer
