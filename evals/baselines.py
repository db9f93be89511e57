"""`scgrpo baselines`: where training starts, measured on every environment.

Success of the random policy and of the oracle, by level and split, and of the small model on the
`id` tasks of the lowest levels, as it is and after the warm start. Every suite is saved as it ends.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.evaluation.arguments import positive, whole_number
from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo baselines"
NAME = "starting-points"
EXAMPLES = f"""\
examples:
  {PROG} --out docs                        everything, an hour or more
  {PROG} --envs math_word --no-model       the scripts alone, in seconds

Rows of {NAME}.json are measured again only if the code, the model or a number of episodes has
changed since; remove a line to do so.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if the disk is at fault, 2 for bad input."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG):
        _measure(arguments)


def _measure(arguments: argparse.Namespace) -> None:
    # After parsing, so that --help is quick; and torch after the names, which are refused at once.
    from envs import registry
    from evals.evaluation.suites import ALL, open_envs

    names = registry.names() if arguments.envs == [ALL] else arguments.envs
    open_envs(names)

    from evals.evaluation.baseline_rows import baseline_rows
    from evals.report.baselines import baselines_page, row_line
    from scgrpo.runs.disk import write_atomically
    from scgrpo.runs.lock import only_writer
    from scgrpo.runs.log import to_terminal

    to_terminal()
    path = arguments.out / f"{NAME}.json"
    # Two processes would each lose the other's rows.
    with only_writer(arguments.out, "wait for it, or choose another folder by --out"):
        rows = _read(path)
        for name in names:
            # After each row: a measurement of an hour survives an interruption.
            for row in baseline_rows(name, arguments, rows):
                # It replaces one that was measured with other code.
                rows = [other for other in rows if _place(other) != _place(row)]
                rows.append(row)
                text = "".join(f"{json.dumps(row)}\n" for row in rows)
                write_atomically(path, text)
                write_atomically(path.with_suffix(".md"), baselines_page(rows))
                print(row_line(row), flush=True)


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The suite and the policy of a row."""
    return tuple(row[key] for key in ("env", "level", "split", "policy"))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(
            f"{path} is no file of this command ({error}); remove it"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Measures where training starts: random turns, the oracle, the small model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--envs",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="environments; default: `all` of this project",
    )
    add(
        "--levels",
        nargs="+",
        type=int,
        default=[0, 1, 2],
        metavar="L",
        help="of the model; default 0 1 2",
    )
    add(
        "--random",
        type=whole_number,
        default=2000,
        metavar="N",
        help="random episodes of each suite; default 2000, a tenth of it in sandboxes",
    )
    add(
        "--oracle",
        type=whole_number,
        default=200,
        metavar="N",
        help="episodes of the oracle; default 200, a tenth of it in sandboxes",
    )
    add(
        "--tasks",
        type=positive,
        default=16,
        metavar="N",
        help="tasks of the model; default 16",
    )
    add(
        "--rollouts",
        type=positive,
        default=8,
        metavar="K",
        help="episodes of each task; default 8",
    )
    add("--model", default="auto", metavar="MODEL", help="default: auto")
    add("--no-model", action="store_true", help="scripts alone")
    add("--out", type=Path, default=Path("docs"), metavar="DIR", help="default: docs")
    return parser


if __name__ == "__main__":
    main()
