"""Runs inside the image while it is built: compiles the standard library, hides modules of it,
names the commands' users.

The root is read-only later, so what is not compiled here would be compiled at every start.
"""

from __future__ import annotations

import compileall
import os
import re
import sysconfig
from pathlib import Path

# Programs for people, and packages that bring a second copy of what is hidden.
SKIPPED = re.compile(
    r"/(site-packages|dist-packages|test|tests|idlelib|lib2to3|tkinter)/"
)


def hide(library: Path, names: list[str]) -> None:
    """Removes modules and their compiled files. Raises ValueError for an unknown one."""
    for name in names:
        source = library / f"{name}.py"
        if not source.is_file():
            raise ValueError(
                f"got {name!r} in hidden_modules.txt, expected a module of {library}"
            )
        for path in (source, *library.glob(f"__pycache__/{name}.*.pyc")):
            path.unlink()


def name_users(root: Path, ids: range) -> None:
    """Names the users and groups that commands may run as `sandbox`, with their home in /work.

    All have the same name, since what a program prints must not differ from sandbox to sandbox.
    """
    tables = {
        "passwd": "sandbox:x:{0}:{0}::/work:/none\n",
        "group": "sandbox:x:{0}:\n",
    }
    for name, line in tables.items():
        with (root / "etc" / name).open("a") as file:
            file.writelines(line.format(number) for number in ids)


def user_ids(text: str) -> range:
    """The ids of a text such as `61234-65329`, both ends included. Raises ValueError."""
    first, last = map(int, text.split("-"))
    return range(first, last + 1)


def strip_setuid() -> None:
    """Clears the set-uid and set-gid bits of every program: nothing inside changes its user."""
    for folder in ("/bin", "/sbin", "/usr"):
        for directory, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(directory, name)
                mode = os.lstat(path).st_mode
                if mode & 0o6000 and not os.path.islink(path):
                    os.chmod(path, mode & 0o1777)


def main() -> None:
    """Prepares the image's own Python and removes this file."""
    library = Path(sysconfig.get_path("stdlib"))
    compileall.compile_dir(library, quiet=2, rx=SKIPPED)
    hide(library, Path(__file__).with_name("hidden_modules.txt").read_text().split())
    name_users(Path("/"), user_ids(os.environ["USER_IDS"]))
    strip_setuid()
    os.remove(__file__)


if __name__ == "__main__":
    main()
