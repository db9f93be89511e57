"""`python -m envs.list`: the environments, and what each offers."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import gymnasium
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from envs import registry
from envs.base import TextEnv
from envs.checks.fresh import without_sandboxes

__all__ = ["Entry", "entry", "main"]

PROG = "python -m envs.list"
PIPE_WIDTH = 160
EXAMPLES = f"""\
examples:
  {PROG}                        ours
  {PROG} my_module:me/my_env    yours, beside ours
  scgrpo envs play NAME                plays one by hand
"""

_LICENCE = re.compile(
    r"^\s*\|[^|\n]*licen[cs]e[^|\n]*\|(.+(?:\n\s*\|\s*\|.+)*)", re.MULTILINE
)


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of an environment.

    | field | meaning |
    |---|---|
    | name | as `env=` takes it |
    | family | the package or module that it comes from |
    | about | first line of its datasheet |
    | levels | difficulties, easiest first |
    | tasks | number of tasks by split, over all levels |
    | tools | names of the tools of any level, in the order of their appearance |
    | chance | success of random turns at the first level; None where the author gives none |
    | licence | the datasheet's `licence` row; empty where it has none |
    """

    name: str
    family: str
    about: str
    levels: tuple[int, ...]
    tasks: dict[str, int]
    tools: tuple[str, ...]
    chance: float | None
    licence: str


def entry(name: str) -> Entry:
    """The entry of an environment. Raises ValueError where it is no TextEnv."""
    made = registry.make(name).unwrapped
    if not isinstance(made, TextEnv):
        raise ValueError(f"got {type(made).__name__} for {name!r}, wanted a TextEnv")
    env_class = type(made)
    env = without_sandboxes(env_class)
    doc = env_class.__doc__ or ""
    return Entry(
        name=name,
        family=env_class.__module__.removeprefix("envs.").partition(".")[0],
        about=doc.strip().partition("\n")[0],
        levels=tuple(env.levels),
        tasks={
            s: sum(len(env.tasks(s, lvl)) for lvl in env.levels) for s in env.splits
        },
        tools=_tools(env),
        chance=_chance(env),
        licence=_licence(doc),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Lists environments: levels, tasks, tools, chance at level 0, licence.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="environments outside of ours"
    )
    arguments = parser.parse_args(argv)
    try:
        entries = [
            entry(name) for name in dict.fromkeys([*registry.names(), *arguments.names])
        ]
    except (ValueError, ImportError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(_table(entries))


def _table(entries: Iterable[Entry]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for name in (
        "family",
        "levels",
        "tasks by split",
        "tools",
        "chance",
        "source, licence",
    ):
        table.add_column(name, justify="right" if name == "chance" else "left")
    for found in entries:
        levels = ", ".join(map(str, found.levels))
        table.add_row(
            found.name,
            found.family,
            levels,
            "\n".join(f"{split} {count}" for split, count in found.tasks.items()),
            ", ".join(found.tools) or "none",
            "-" if found.chance is None else f"{found.chance:.2f}",
            found.licence or "-",
            end_section=True,
        )
    return table


def _tools(env: TextEnv) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for level in env.levels:
        _, info = env.reset(seed=0, options={"level": level})
        names.update((tool["function"]["name"], None) for tool in info["tools"])
    return tuple(names)


def _chance(env: TextEnv) -> float | None:
    try:
        return env.chance(env.levels[0])
    except NotImplementedError:
        return None


def _licence(doc: str) -> str:
    found = _LICENCE.search(doc)
    cells = re.split(r"[|\n]", found[1]) if found else []
    return " ".join(" ".join(cells).split())


if __name__ == "__main__":
    main()
