"""How a command of this project ends: one place for exit codes and for what is printed then.

| exit code | when |
|---|---|
| 0 | done |
| 1 | something failed; the message says what, and what to do |
| 2 | bad arguments or settings |
| 3 | a budget is spent; finished work is kept |
| 130 | Ctrl-C |
| 143 | SIGTERM, for a command that ends its work first |
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "BAD_INPUT",
    "INTERRUPTED",
    "TERMINATED",
    "CommandError",
    "Terminated",
    "exit_codes",
]

BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143


class CommandError(RuntimeError):
    """A failure whose message is for the user; a command prints it without a traceback."""

    exit_code = 1


class Terminated(KeyboardInterrupt):
    """SIGTERM, for a command that handles it: like Ctrl-C, with an exit code of its own."""


@contextmanager
def exit_codes(
    prog: str,
    *,
    interrupted: str = "stopped",
    bad_input: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turns the errors of a command's body into one line on stderr and an exit code.

    `prog` stands before each message; `interrupted` is what Ctrl-C prints, unless the
    KeyboardInterrupt has a message. Errors of the types `bad_input` count as bad arguments, besides
    ValueError and Gymnasium's own errors. Any other error is a bug and keeps its traceback.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        # Ctrl-C itself brings no words; the code that it stopped may add some.
        print(f"\n{prog}: {str(error) or interrupted}", file=sys.stderr)
        sys.exit(TERMINATED if isinstance(error, Terminated) else INTERRUPTED)
    except CommandError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if not isinstance(error, (ValueError, *bad_input, *_gymnasium_errors())):
            raise
        print(f"{prog}: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)


def _gymnasium_errors() -> tuple[type[Exception], ...]:
    # A command that never imported Gymnasium has none of its errors to handle, and sandboxes do
    # not depend on it.
    module = sys.modules.get("gymnasium.error")
    return () if module is None else (module.Error,)
