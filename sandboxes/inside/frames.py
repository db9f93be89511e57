"""The stream between a client and a sandbox's runner: framed requests and answers, one at a time.

A frame is two big-endian 32-bit lengths, a JSON header and a payload. Standard library only: this
file is also installed inside the sandboxes.
"""

from __future__ import annotations

import json
import struct
from typing import Any

__all__ = [
    "LENGTHS",
    "MAX_HEADER",
    "MAX_FRAME",
    "MAX_PAYLOAD",
    "OUTPUT_CAP",
    "SILENCE_S",
    "MalformedFrame",
    "lengths",
    "pack",
    "parse",
]

LENGTHS = struct.Struct(">II")
MAX_HEADER = 1 << 20
MAX_PAYLOAD = 32 << 20
MAX_FRAME = MAX_HEADER + MAX_PAYLOAD
OUTPUT_CAP = 64 << 10
"""Bytes kept of a command's standard output, and as many of its standard error."""

_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode

SILENCE_S = 2.0
"""How long past a command's deadline a silent sandbox counts as alive."""


class MalformedFrame(ValueError):
    """What came is not a frame."""


def pack(header: dict[str, Any], payload_size: int = 0) -> bytes:
    """A frame without its payload. Raises ValueError for one that is too long."""
    text = _encode(header).encode()
    if len(text) > MAX_HEADER or payload_size > MAX_PAYLOAD:
        raise ValueError(
            f"got a header of {len(text)} and a payload of {payload_size} bytes, "
            f"expected at most {MAX_HEADER} and {MAX_PAYLOAD}; send less at once"
        )
    return LENGTHS.pack(len(text), payload_size) + text


def lengths(prefix: bytes) -> tuple[int, int]:
    """Sizes of header and payload. Raises MalformedFrame for lengths that no frame has."""
    header_size, payload_size = LENGTHS.unpack(prefix)
    if header_size > MAX_HEADER or payload_size > MAX_PAYLOAD:
        raise MalformedFrame(f"a frame of {header_size} + {payload_size} bytes")
    return header_size, payload_size


def parse(text: bytes) -> dict[str, Any]:
    """The header. Raises MalformedFrame for anything but a JSON object."""
    try:
        header = _decode(text.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedFrame(f"a header that is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise MalformedFrame("a header that is no object")
    return header
