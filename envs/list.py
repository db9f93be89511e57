"""`scgrpo envs list`: the environments, and what each offers.

What it shows of ours and of benchmarks is recorded in `envs/data/catalogue.json`, because asking
all of them takes seconds, and benchmarks need their data. A test holds the record to what the
environments say.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs import registry
from envs.base import TextEnv
from sandboxes.commands import exit_codes

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Entry", "entry", "main", "recorded_entries"]

PROG = "scgrpo envs list"
PIPE_WIDTH = 160
TOOL_TASKS = 20
"""How many tasks of each level are asked for their tools."""
RECORD = Path(__file__).parent / "data" / "catalogue.json"
EXAMPLES = f"""\
examples:
  {PROG}                        ours, and published benchmarks
  {PROG} my_module:me/my_env    yours, after ours
  {PROG} swe_lite               one of ours, counted again
  {PROG} --record               after a change of tasks: what a test compares
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
    | chance | success of random turns at the first level; None if the author gives none |
    | licence | the datasheet's `licence` row; empty if it has none |
    """

    name: str
    family: str
    about: str
    levels: tuple[int, ...]
    tasks: dict[str, int]
    tools: tuple[str, ...]
    chance: float | None
    licence: str

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Entry:
        """The inverse of `dataclasses.asdict`, after JSON has made lists of tuples."""
        return cls(
            **{**row, "levels": tuple(row["levels"]), "tools": tuple(row["tools"])}
        )


def entry(name: str) -> Entry:
    """The entry that an environment gives. Raises ValueError if it is no TextEnv."""
    env = registry.make(name).unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"got {type(env).__name__} for {name!r}, expected a TextEnv")
    env_class = type(env)
    if "sandboxes" in inspect.signature(env_class).parameters:
        env = _without_sandboxes(env_class)

    doc = env_class.__doc__ or ""
    return Entry(
        name=name,
        family=env_class.__module__.removeprefix("envs.").partition(".")[0],
        about=doc.strip().partition("\n")[0],
        levels=tuple(env.levels),
        tasks={split: _count(env, split) for split in env.splits},
        tools=_tools(env),
        chance=_chance(env),
        licence=_licence(doc),
    )


def recorded_entries() -> list[Entry]:
    """The entries of our environments and of the benchmarks, as they were recorded."""
    return [Entry.from_json(row) for row in json.loads(RECORD.read_text("utf-8"))]


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG, bad_input=(ImportError,)):
        if arguments.record:
            _record()
        entries = {known.name: known for known in recorded_entries()}
        # One of ours that is named replaces its record.
        entries |= {name: entry(name) for name in arguments.names}
        _print(entries.values())


def _record() -> None:
    """Writes what our environments and the benchmarks say now; the latter need their data."""
    names = [*registry.names(), *registry.benchmark_names()]
    rows = [asdict(entry(name)) for name in names]
    RECORD.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def _without_sandboxes(env_class: type[TextEnv]) -> TextEnv:
    # Only an entry that is counted now needs the checks' code.
    from envs.checks.fresh import without_sandboxes

    return without_sandboxes(env_class)


def _count(env: TextEnv, split: str) -> int:
    return sum(len(env.tasks(split, level)) for level in env.levels)


def _tools(env: TextEnv) -> tuple[str, ...]:
    names: dict[str, None] = {}
    if type(env).tools is TextEnv.tools:
        # No task needs to be read.
        return ()
    for level in env.levels:
        for task in env.tasks(env.splits[0], level)[:TOOL_TASKS]:
            options = {"split": task.split, "level": level, "task_id": task.id}
            _, info = env.reset(seed=0, options=options)
            names.update((tool["function"]["name"], None) for tool in info["tools"])
    return tuple(names)


def _chance(env: TextEnv) -> float | None:
    try:
        return env.chance(env.levels[0])
    except NotImplementedError:
        return None


def _licence(doc: str) -> str:
    match = _LICENCE.search(doc)
    if match is None:
        return ""
    # The row may go on in rows whose first cell is empty.
    cells = re.split(r"[|\n]", match[1])
    return " ".join(" ".join(cells).split())


def _print(entries: Iterable[Entry]) -> None:
    # rich is slow to import, and `--help` needs none of it.
    from sandboxes.terminal import terminal

    console = terminal()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(_table(entries))


def _table(entries: Iterable[Entry]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from sandboxes.terminal import plain

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for column in ("family", "levels", "tasks by split", "tools"):
        table.add_column(column, overflow="fold")
    table.add_column("chance", justify="right")
    table.add_column("source, licence", overflow="fold")

    for item in entries:
        # A line for each split; the other cells stand at the first.
        counts = [f"{split} {count}" for split, count in item.tasks.items()]
        table.add_row(
            plain(item.name),
            plain(item.family),
            ", ".join(map(str, item.levels)),
            plain("\n".join(counts)),
            plain(", ".join(item.tools) or "none"),
            "-" if item.chance is None else f"{item.chance:.2f}",
            plain(item.licence or "-"),
            end_section=True,
        )
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Lists environments: levels, tasks, tools, chance at level 0, licence.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "names", nargs="*", metavar="NAME", help="environments to ask, shown after ours"
    )
    add("--record", action="store_true", help="ask all of these and record the answers")
    return parser


if __name__ == "__main__":
    main()
