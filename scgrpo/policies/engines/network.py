"""Addresses of this machine, for what it starts and what it is reached by."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

__all__ = ["free_port", "own_address"]


def own_address(url: str) -> str:
    """This machine's address on its way to the host of `url`; nothing is sent."""
    host = urlsplit(url).hostname or ""
    family = socket.getaddrinfo(host, None)[0][0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return probe.getsockname()[0]


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]
