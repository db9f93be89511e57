"""Programs that sandboxes run with `python -c`, compiled here."""

from __future__ import annotations

import importlib.util
import marshal
from functools import cache
from pathlib import Path

__all__ = ["program"]

_LOADER = """\
import importlib.util, marshal
if importlib.util.MAGIC_NUMBER == {magic!r}:
    exec(marshal.loads({code!r}))
else:
    exec({text!r})
"""


@cache
def program(name: str) -> str:
    """Text that does what a file of this folder does.

    It holds the file's code if the sandbox's Python is this one's version, since compiling takes
    half of a short run's time; any other Python compiles the file's text.
    """
    path = Path(__file__).with_name(name)
    text = path.read_text("ascii")
    code = compile(text, f"<{name}>", "exec")
    return _LOADER.format(
        magic=importlib.util.MAGIC_NUMBER,
        code=marshal.dumps(code),
        text=text,
    )
