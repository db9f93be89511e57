"""Takes modules and their tests out of the standard library. Runs where an image is built.

A task made of the standard library's own code would else hold its answer: the right module beside
the broken one. Arguments: the modules' names. A module that the library lacks is nothing to hide.
"""

import sys
import sysconfig
from pathlib import Path


def hide(library: Path, names: list[str]) -> None:
    """Removes each module, its test and what was compiled from them."""
    for folder, prefix in ((library, ""), (library / "test", "test_")):
        for name in names:
            compiled = folder.glob(f"__pycache__/{prefix}{name}.*.pyc")
            for path in (folder / f"{prefix}{name}.py", *compiled):
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    hide(Path(sysconfig.get_path("stdlib")), sys.argv[1:])
