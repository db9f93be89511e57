"""Sandboxes by bubblewrap whose root has a shell, for agents that work by its commands.

The root of `rootfs`, which holds Python alone, and beside it programs of this machine with their
shared libraries. What is hidden of the standard library stays hidden.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from functools import cache, partial
from pathlib import Path

from sandboxes.backends.bubblewrap import available, start
from sandboxes.backends.rootfs import root_folder
from sandboxes.base import SandboxError
from sandboxes.client.pool import StreamPool
from sandboxes.config import SandboxConfig, no_sandbox_error
from sandboxes.image.base_image import library_dependencies

__all__ = ["PROGRAMS", "open_pool", "shell_root"]

REQUIRED = ("sh", "bash")
PROGRAMS = (
    *REQUIRED,
    *("awk", "basename", "cat", "chmod", "cmp", "cp", "cut", "date", "diff", "dirname"),
    *("echo", "egrep", "env", "expr", "false", "fgrep", "find", "grep", "head"),
    *("ln", "ls", "mkdir", "mktemp", "mv", "nl", "patch", "printf", "pwd"),
    *("readlink", "realpath", "rm", "rmdir", "sed", "seq", "sleep", "sort", "stat"),
    *("tac", "tail", "tee", "test", "timeout", "touch", "tr", "true", "uname"),
    *("uniq", "wc", "which", "xargs"),
)
"""Programs that a sandbox gets if this machine has them; `REQUIRED` it must have."""


def open_pool(size: int, config: SandboxConfig) -> StreamPool:
    """Up to `size` sandboxes. Raises SandboxError if bubblewrap or the shell is missing here."""
    reason = available()
    if reason:
        raise no_sandbox_error(f"shell: {reason}")
    # Here, so that what is missing is said at once.
    shell_root()
    description = (
        f"shell: {size} bubblewrap sandboxes with a shell (isolation: namespace)"
    )
    return StreamPool(partial(start, shell_root), size, description)


@cache
def shell_root() -> Path:
    """A folder to mount as a sandbox's root; made once, beside that of `root_folder`.

    Raises SandboxError.
    """
    base = root_folder()
    programs = _programs()
    root = base.with_name(f"shell-{_digest(base, programs)}")
    try:
        if not root.is_dir():
            _build(base, root, programs)
    except OSError as error:
        raise SandboxError(
            f"cannot make a root folder with a shell for sandboxes: {error}"
        ) from error
    return root


def _programs() -> dict[str, Path]:
    """The programs that this machine has, by name. Raises SandboxError without a shell."""
    programs: dict[str, Path] = {}
    for name in PROGRAMS:
        path = shutil.which(name, path="/usr/bin:/bin")
        if path is not None:
            programs[name] = Path(path).resolve()
    missing = [name for name in REQUIRED if name not in programs]
    if missing:
        raise SandboxError(
            f"sandbox.backend=shell needs {' and '.join(missing)} in /usr/bin or /bin"
        )
    return programs


def _digest(base: Path, programs: dict[str, Path]) -> str:
    """Changes with the root below, with the programs, and with this file."""
    parts = [base.name, Path(__file__).read_text("utf-8")]
    for name, path in programs.items():
        state = path.stat()
        parts.append(f"{name} {path} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _build(base: Path, root: Path, programs: dict[str, Path]) -> None:
    """Makes the root in one step, so that no process ever mounts half of it."""
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="new-") as temporary:
        new = Path(temporary, "root")
        shutil.copytree(base, new, symlinks=True)
        for name, path in programs.items():
            _copy(path, new / "usr/bin" / name)
        for library in library_dependencies(_binaries(programs)):
            _copy(library, new / str(library).lstrip("/"))

        for name in ("bin", "sbin"):
            if not (new / name).exists():
                (new / name).symlink_to("usr/bin")
        for directory, _, _ in os.walk(new):
            os.chmod(directory, 0o755)
        try:
            new.rename(root)
        except OSError:
            # Another process may have finished the same root first.
            if not root.is_dir():
                raise


def _binaries(programs: dict[str, Path]) -> list[Path]:
    """The programs that load libraries; scripts, such as egrep, load none of their own."""
    paths = sorted(set(programs.values()))
    return [path for path in paths if path.read_bytes()[:4] == b"\x7fELF"]


def _copy(source: Path, target: Path) -> None:
    """Copies what lies behind a path; a file that is there already is the same one."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.resolve(), target)
    # Without set-uid bits: nothing inside changes its user.
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
