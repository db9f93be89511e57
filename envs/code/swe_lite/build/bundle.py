"""Makes a module of CPython and its tests into a source: what needs CPython's `test` package goes.

    python -m envs.code.swe_lite.build.bundle configparser plistlib

copies the named modules of the running Python, code unchanged, to `envs/data/swe_lite/stdlib/`.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sysconfig
from pathlib import Path

from envs.code.swe_lite import corpus
from envs.code.swe_lite.adapt import adapt

__all__ = ["main"]


def _bundle(name: str) -> None:
    """Copies a module and its tests. Raises ValueError for one that is no single file."""
    library = Path(sysconfig.get_path("stdlib"))
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin != str(library / f"{name}.py"):
        raise ValueError(
            f"got {name!r}, expected a module that is one file of {library}"
        )

    folder = corpus.DATA / "stdlib" / name
    folder.mkdir(exist_ok=True)
    module = (library / f"{name}.py").read_bytes()
    (folder / f"{name}.py").write_bytes(module)

    tests = (library / "test" / f"test_{name}.py").read_text("utf-8")
    head = (
        f"# From CPython {platform.python_version()}, Lib/test/test_{name}.py, PSF licence "
        "(see ../LICENSE.txt).\n"
        "# Adapted: tests that need the test package, processes or sockets were removed.\n\n"
    )
    (folder / f"test_{name}.py").write_text(head + adapt(tests), "utf-8")


def main() -> None:
    """Bundles the modules that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m envs.code.swe_lite.build.bundle",
        description="Copy modules of the running Python and their tests into swe_lite's sources; "
        "tests that need CPython's test package are removed.",
    )
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="such as plistlib")
    for name in parser.parse_args().modules:
        _bundle(name)


if __name__ == "__main__":
    main()
