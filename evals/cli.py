"""The command `scgrpo`: finds the module behind each word and calls its `main`."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "envs list": ("envs.list", "the catalogue of environments"),
    "envs play": ("envs.play", "play an environment by hand"),
    "envs check": ("envs.check", "prove an environment sound"),
    "envs attack": (
        "envs.attack.__main__",
        "try to steal from an environment that runs code",
    ),
}
"""The words of a command, the module whose `main` it calls, and what it does."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command that the words name; what follows them is the module's own."""
    words = list(sys.argv[1:] if argv is None else argv)
    for name, (module, _) in COMMANDS.items():
        parts = name.split()
        if words[: len(parts)] == parts:
            importlib.import_module(module).main(words[len(parts) :])
            return
    said = [word for word in words if not word.startswith("-")][:2]
    if not said or any(name.split()[: len(said)] == said for name in COMMANDS):
        print(_help())
        sys.exit(0 if {"-h", "--help"} & set(words) else 2)
    print(f"scgrpo: unknown command {' '.join(said)!r}; {_hint(said)}", file=sys.stderr)
    sys.exit(2)


def _hint(said: Sequence[str]) -> str:
    near = difflib.get_close_matches(" ".join(said), COMMANDS, n=1, cutoff=0.5)
    lasts = {name.split()[-1]: name for name in COMMANDS}
    last = difflib.get_close_matches(said[-1], lasts, n=1)
    near = near or [lasts[word] for word in last]
    return f"did you mean {near[0]!r}?" if near else "`scgrpo --help` lists them"


def _help() -> str:
    lines = [f"  scgrpo {name:14}{about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        ["usage: scgrpo COMMAND [ARGUMENT ...]", "", *lines, "", "Each takes --help."]
    )


if __name__ == "__main__":
    main()
