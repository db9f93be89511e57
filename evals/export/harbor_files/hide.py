"""Removes modules and their tests from the standard library. Runs while an image is built.

Otherwise a task made of the standard library's code would hold its answer: the right module next
to the broken one. Arguments: the modules' names. A module that the library lacks is no error.
"""

import sys
import sysconfig
from pathlib import Path


def hide(library: Path, names: list[str]) -> None:
    """Removes each module, its test and their compiled files."""
    for folder, prefix in ((library, ""), (library / "test", "test_")):
        for name in names:
            compiled = folder.glob(f"__pycache__/{prefix}{name}.*.pyc")
            for path in (folder / f"{prefix}{name}.py", *compiled):
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    hide(Path(sysconfig.get_path("stdlib")), sys.argv[1:])
