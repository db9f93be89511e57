"""Serves sessions over HTTP: OpenAI's chat completions, and commands in the session's sandbox.

Each session has an address of its own, whose random part is its key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from sandboxes.commands import CommandError
from scgrpo.agents.errors import RequestError
from scgrpo.agents.recorder import MODEL
from scgrpo.agents.responses import event_stream
from scgrpo.agents.session import Session

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = [
    "LOOPBACK",
    "Endpoint",
    "EndpointError",
    "json_body",
    "require_server_packages",
]

LOOPBACK = "127.0.0.1"
START_S = 30.0
THREADS = 256

logger = logging.getLogger(__name__)

Handler = Callable[[Session, Any], dict[str, Any]]


class EndpointError(CommandError):
    """The endpoint cannot be served; the message says why."""


def require_server_packages() -> None:
    """Raises ImportError, with what to install, if the packages of the server are missing."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{error}; an endpoint for agents needs the extra: pip install 'scgrpo[agent]'"
        ) from error


class Endpoint:
    """A server in a thread of its own, for any number of sessions. A context manager.

    `port` 0 takes a free one. `routes` are served besides. Raises EndpointError if the address
    cannot be had.

    | attribute | meaning |
    |---|---|
    | url | where it listens, without a path |
    """

    def __init__(
        self, host: str = LOOPBACK, port: int = 0, routes: Sequence[Route] = ()
    ) -> None:
        require_server_packages()
        import uvicorn
        from starlette.applications import Starlette

        self._sessions: dict[str, Session] = {}
        self._threads = ThreadPoolExecutor(THREADS, "endpoint")
        app = Starlette(routes=[*self._routes(), *routes])
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._socket = _server_socket(host, port)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )
        self._thread.start()

    def add(self, session: Session) -> str:
        """The key under which a session is served from now on."""
        key = secrets.token_urlsafe(16)
        self._sessions[key] = session
        return key

    def remove(self, key: str) -> Session:
        """The session of a key, which is not served any more. Raises KeyError."""
        return self._sessions.pop(key)

    @contextmanager
    def serve(self, session: Session) -> Iterator[str]:
        """The key of a session while it is served."""
        key = self.add(session)
        try:
            yield key
        finally:
            self.remove(key)

    def base_url(self, key: str) -> str:
        """What an OpenAI client takes as its base URL."""
        return f"{self.url}/sessions/{key}/v1"

    def sandbox_url(self, key: str) -> str:
        """Where commands for the session's sandbox are posted."""
        return f"{self.url}/sessions/{key}/sandbox"

    def close(self) -> None:
        """Ends the server and every session. Safe to call twice."""
        self._server.should_exit = True
        for key in list(self._sessions):
            self._sessions.pop(key).close()
        self._thread.join(START_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _routes(self) -> list[Route]:
        from starlette.routing import Route

        prefix = "/sessions/{key}"
        paths: list[tuple[str, str, Handler]] = [
            ("/v1/chat/completions", "POST", _complete),
            ("/v1/models", "GET", _models),
            ("/sandbox", "POST", _run),
        ]
        routes: list[Route] = []
        for path, method, handler in paths:
            route = Route(prefix + path, self._endpoint(handler), methods=[method])
            routes.append(route)
        return routes

    def _endpoint(self, handler: Handler):  # noqa: ANN202 - an endpoint of Starlette
        async def answer(request: Request) -> Response:
            """Runs the handler in a thread: it blocks until a turn is sampled."""
            body = await request.body()
            key = request.path_params["key"]
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, self._response, handler, key, body
            )

        return answer

    def _response(self, handler: Handler, key: str, body: bytes) -> Response:
        from starlette.responses import JSONResponse

        try:
            session = self._sessions.get(key)
            if session is None:
                raise RequestError(
                    "there is no such session, or it is over", status=404, code="gone"
                )
            asked = json_body(body)
            return _answer(handler(session, asked), asked)
        except RequestError as error:
            return JSONResponse(error.body, error.status)
        except Exception as error:  # noqa: BLE001 - the session keeps it and has no verdict
            logger.warning("a call of an agent broke: %s", error)
            problem = RequestError(
                f"{type(error).__name__}: {error}", status=500, kind="server_error"
            )
            return JSONResponse(problem.body, problem.status)


def _answer(content: dict[str, Any], asked: Any) -> Response:
    """The response, as a stream of events if the request asked for one."""
    from starlette.responses import JSONResponse, Response

    if not isinstance(asked, dict) or not asked.get("stream"):
        return JSONResponse(content)
    options = asked.get("stream_options")
    with_usage = isinstance(options, dict) and bool(options.get("include_usage"))
    events = event_stream(content, with_usage=with_usage)
    return Response(events, media_type="text/event-stream")


def _server_socket(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise EndpointError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
        ) from error


def json_body(body: bytes) -> Any:
    """What a request's body holds; an empty object for none. Raises RequestError."""
    if not body:
        return {}
    try:
        return json.loads(body)
    except ValueError as error:
        raise RequestError(f"the body is no JSON: {error}") from error


def _complete(session: Session, body: Any) -> dict[str, Any]:
    return session.complete(body)


def _models(session: Session, body: Any) -> dict[str, Any]:
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "scgrpo"}
    return {"object": "list", "data": [model]}


def _run(session: Session, body: Any) -> dict[str, Any]:
    command = body.get("command") if isinstance(body, dict) else None
    if not isinstance(command, str):
        raise RequestError('the body must be {"command": "..."}', param="command")
    timeout_s = body.get("timeout_s")
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if timeout_s is not None and not (is_number and timeout_s > 0):
        raise RequestError("timeout_s must be a number above 0", param="timeout_s")
    return asdict(session.run(command, timeout_s))
