"""Requests to an OpenAI-compatible server, with retries until they succeed or cannot."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from envs.plain import json_in_utf8
from sandboxes.commands import CommandError

__all__ = ["Completions", "Server", "ServerError"]

CONNECT_S = 10.0
LONGEST_WAIT_S = 30.0
RETRY_STATUS = (408, 409, 425, 429)
KEY_STATUS = (401, 403)
END_OF_EVENTS = "[DONE]"

T = TypeVar("T")


class ServerError(CommandError):
    """The server gives no usable answer; the message repeats its words.

    `refused` says that it understood the request and rejects it.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


@dataclass(frozen=True)
class Server:
    """A model behind an OpenAI-compatible server. Raises ValueError for another address.

    | field | meaning |
    |---|---|
    | base_url | up to where `/chat/completions` begins, most often with `/v1` |
    | model | its name there; empty for the first that the server lists |
    | api_key_env | environment variable that holds the key; empty for none |
    | timeout_s | longest wait for a turn |
    | tries | how often a turn is asked for while the server is broken or silent |
    | wait_s | before the second try; it doubles with every further one |
    | patience_s | the same in seconds, busy servers (HTTP 429) included |
    | native_tools | tools are sent as schemas, not as text in the system message |
    """

    base_url: str
    model: str = ""
    api_key_env: str = ""
    timeout_s: float = 120.0
    tries: int = 8
    wait_s: float = 0.5
    patience_s: float = 300.0
    native_tools: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"got the address {self.base_url!r}, expected one like http://HOST/v1"
            )
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "the address holds a user or a query: give the key by --api-key-env"
            )
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    def key(self) -> str:
        """The key, or an empty text. Raises ValueError if its variable is not set."""
        if not self.api_key_env:
            return ""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ValueError(f"the environment variable {self.api_key_env} is not set")
        return key


class Completions:
    """Requests to one server, from any thread, with retries. A context manager.

    Transient failures are retried: no connection, a broken or late answer, HTTP 408, 409, 425, 429
    and 5xx, after a wait that doubles or that the server asks for. A wait that it asks for holds
    for all requests. One event loop serves them, so that `close` ends even those that hang.

    A server that answers no request for that long is given up, unless it `may_return`.

    | attribute | meaning |
    |---|---|
    | failure | why the server was given up: every further request fails with it; else empty |
    """

    def __init__(self, server: Server, *, may_return: bool = False) -> None:
        self.server, self.failure = server, ""
        self._may_return = may_return
        self._key = server.key()
        self._not_before = 0.0
        self._answered = 0.0
        self._last_event = 0.0
        self._jitter = random.Random(0)
        self._loop = asyncio.new_event_loop()
        self._lock, self._closed = threading.Lock(), False
        self._http = _client(server, self._key)
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="server", daemon=True
        )
        self._thread.start()

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        words: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON that the server answers; with `words` its text, as it is. Raises ServerError."""
        request = _Request(method, path, body, words, headers)
        return self._result(lambda: self._ask(request))

    def stream(
        self,
        path: str,
        body: Mapping[str, Any],
        on_event: Callable[[Any], None],
        *,
        stall_s: float,
    ) -> None:
        """Hands each server-sent event to `on_event`, in another thread, until the last one.

        However long that takes: it is over after `stall_s` seconds in which the server sent nothing
        for any request, since one that waits for its turn is no stalled one. Nothing is retried;
        raises ServerError, after the events that came.
        """
        self._result(lambda: self._stream(path, body, on_event, stall_s))

    def _result(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the coroutine of `work` returns, once it has run in the loop's thread."""
        with self._lock:
            if self._closed:
                raise ServerError("the policy was closed")
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except CancelledError as error:
            raise ServerError("the policy was closed") from error

    def close(self) -> None:
        """Ends running requests. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._http.aclose()

    async def _ask(self, request: _Request) -> Any:
        started, wait, faults = time.monotonic(), self.server.wait_s, 0
        while True:
            await self._gate()
            answer = await self._once(request)
            if not isinstance(answer, _Fault):
                self._answered = time.monotonic()
                return answer

            # A busy server (HTTP 429) works: it costs patience, but no try.
            faults += not answer.busy
            pause = max(wait * self._jitter.uniform(0.5, 1.0), answer.wait_s)
            until = time.monotonic() + pause
            out_of_patience = until - started > self.server.patience_s
            if faults >= self.server.tries or out_of_patience:
                raise self._give_up(answer, started)

            if answer.wait_s:
                self._not_before = max(self._not_before, until)
            await asyncio.sleep(until - time.monotonic())
            wait = min(2 * wait, LONGEST_WAIT_S)

    async def _gate(self) -> None:
        """Waits as long as the server asked for. Raises ServerError once it was given up."""
        while True:
            if self.failure:
                raise ServerError(self.failure)
            left = self._not_before - time.monotonic()
            if left <= 0:
                return
            # Jitter, because all that waited for the same moment would arrive at once.
            await asyncio.sleep(left * self._jitter.uniform(1.0, 1.1))

    async def _once(self, request: _Request) -> Any:
        address = f"{self.server.base_url}{request.path}"
        try:
            # The library's time-out is for each read, which a server that trickles never exceeds.
            async with asyncio.timeout(self.server.timeout_s):
                response = await self._http.request(
                    request.method,
                    address,
                    json=request.body,
                    headers=request.headers,
                )
        except TimeoutError:
            return _Fault(f"no answer within {self.server.timeout_s:g} s")
        except httpx2.TransportError as error:
            return _Fault(f"{type(error).__name__}: {error}".rstrip(": "))
        except httpx2.HTTPError as error:
            raise ServerError(f"{address}: {error}") from error
        if not response.is_success:
            return self._fault(response, request.path)
        try:
            # A server that counts in UTF-16 may cut a character in two at a token limit.
            return response.text if request.words else json_in_utf8(response.content)
        except ValueError:
            return _Fault(f"no JSON: {response.text:.80}")

    async def _stream(
        self,
        path: str,
        body: Mapping[str, Any],
        on_event: Callable[[Any], None],
        stall_s: float,
    ) -> None:
        address = f"{self.server.base_url}{path}"
        request = self._http.build_request("POST", address, json=dict(body))
        try:
            response = await self._unless_stalled(
                self._http.send(request, stream=True), stall_s
            )
            try:
                if not response.is_success:
                    await self._unless_stalled(response.aread(), stall_s)
                    fault = self._fault(response, path)
                    raise ServerError(f"{address}: {fault.problem}")
                lines = response.aiter_lines()
                while True:
                    line = await self._unless_stalled(anext(lines), stall_s)
                    event = line.removeprefix("data:").strip()
                    if event == END_OF_EVENTS:
                        return
                    if event:
                        on_event(json.loads(event))
            finally:
                await response.aclose()
        except StopAsyncIteration as error:
            raise ServerError(f"{address}: the answer broke off") from error
        except ValueError as error:
            raise ServerError(f"{address}: no JSON in an event: {error}") from error
        except httpx2.HTTPError as error:
            problem = f"{type(error).__name__}: {error}".rstrip(": ")
            raise ServerError(f"{address}: {problem}") from error

    async def _unless_stalled(self, work: Awaitable[T], stall_s: float) -> T:
        """What `work` gives. Raises ServerError once the server has been silent for too long."""
        started = time.monotonic()
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                left = max(started, self._last_event) + stall_s - time.monotonic()
                if left <= 0:
                    raise ServerError(
                        f"{self.server.base_url} has been silent for {stall_s:g} s"
                    )
                await asyncio.wait({task}, timeout=left)
        finally:
            task.cancel()
        self._last_event = time.monotonic()
        return task.result()

    def _fault(self, response: httpx2.Response, path: str) -> _Fault:
        """A failure that may pass. Raises ServerError for one that will not."""
        status = response.status_code
        problem = f"HTTP {status}: {self._words(response)}"
        if status in RETRY_STATUS or status >= 500:
            return _Fault(problem, _wait_s(response.headers), busy=status == 429)
        problem = f"{self.server.base_url}{path}: {problem}"
        if status in KEY_STATUS:
            name = self.server.api_key_env
            hint = (
                f"The key in {name} is wrong" if name else "Name a key by --api-key-env"
            )
            problem += f". {hint}"
            self.failure = self.failure or problem
        raise ServerError(problem, refused=status not in KEY_STATUS)

    def _give_up(self, fault: _Fault, started: float) -> ServerError:
        """The error of a request; gives the server up if it answered no request meanwhile."""
        seconds = time.monotonic() - started
        problem = (
            f"{self.server.base_url} gave no answer in {seconds:.0f} s: {fault.problem}"
        )
        if fault.wait_s:
            problem += f", to be asked again in {fault.wait_s:.0f} s"
        if self._answered < started and not self._may_return:
            self.failure = self.failure or problem
        return ServerError(problem)

    def _words(self, response: httpx2.Response) -> str:
        """What an error says, without the key that some servers repeat."""
        text = " ".join(response.text.split())[:300]
        return text.replace(self._key, "***") if self._key else text

    def __enter__(self) -> Completions:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Request:
    """What is asked for; with `words` the answer is text, else JSON."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    words: bool
    headers: Mapping[str, str] | None


@dataclass(frozen=True)
class _Fault:
    """A failed try that may pass: what happened and how long the server asks to wait."""

    problem: str
    wait_s: float = 0.0
    busy: bool = False


def _client(server: Server, key: str) -> httpx2.AsyncClient:
    local = urlsplit(server.base_url).hostname in ("127.0.0.1", "::1", "localhost")
    return httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx2.Timeout(None, connect=CONNECT_S),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
        # A proxy from the environment cannot reach this machine's own ports.
        trust_env=not local,
    )


def _wait_s(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header, which may be a date; 0 without one or for nonsense."""
    text = headers.get("retry-after", "").strip()
    try:
        return max(0.0, min(float(text), 1e6))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
