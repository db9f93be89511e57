"""A JSON server over HTTP, whose loss is an error and never a wrong answer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from envs.releases import MissingDataError

__all__ = ["JsonServer", "ServerError", "field", "server_urls"]

REQUEST_S = 120.0


class ServerError(RuntimeError):
    """The server is gone, or broke: an errored episode."""


class JsonServer:
    """A server by its address."""

    def __init__(self, url: str) -> None:
        # It is slow to import, and only those who have a server need it.
        import httpx2

        self.url = url
        self._errors = (httpx2.HTTPError, ValueError)
        self._client = httpx2.Client(base_url=url, timeout=REQUEST_S)

    def get(self, path: str, **query: Any) -> Any:
        """What the server answers. Raises ServerError."""
        return self._answer("GET", path, params=query)

    def post(self, path: str, **body: Any) -> Any:
        """What the server answers to a JSON object. Raises ServerError."""
        return self._answer("POST", path, json=body)

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _answer(self, method: str, path: str, **content: Any) -> Any:
        try:
            response = self._client.request(method, path, **content)
            response.raise_for_status()
            return response.json()
        except self._errors as error:
            raise ServerError(
                f"{method} {self.url}{path} failed: {type(error).__name__}: {error}"
            ) from error


def server_urls(variable: str, start: str) -> list[str]:
    """The addresses that an environment variable names, with commas between them.

    `start` says how to start such a server. Raises MissingDataError if there is none, ValueError
    for other text than addresses.
    """
    urls = [url.strip().rstrip("/") for url in os.environ.get(variable, "").split(",")]
    urls = [url for url in urls if url]
    if not urls:
        raise MissingDataError(
            f"{variable} names no server: {start}, and set {variable}=http://HOST:PORT"
        )
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"got {variable}={url}, expected http://HOST:PORT")
    return urls


def field(answer: Any, name: str, kind: type | tuple[type, ...], server: str) -> Any:
    """A field of an answer. Raises ServerError if it lacks it, or if it is of another type."""
    value = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(value, kind):
        raise ServerError(
            f"{server} answered {answer!r:.100}, expected a field {name!r}"
        )
    return value
