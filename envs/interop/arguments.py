"""Which tasks of which environment others get, on the command line."""

from __future__ import annotations

import argparse

__all__ = ["add_catalogue"]


def add_catalogue(parser: argparse.ArgumentParser) -> None:
    """NAME and --levels, the arguments of a `TaskCatalogue`."""
    add = parser.add_argument
    add("name", metavar="NAME", help="an environment, as `env=` takes it")
    add(
        "--levels",
        type=int,
        nargs="+",
        default=[],
        metavar="LEVEL",
        help="the levels whose tasks are numbered and served; default: all",
    )
