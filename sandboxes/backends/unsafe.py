"""Plain processes with resource limits. Nothing is isolated: for code that you would run yourself.

The same runner and protocol as in other sandboxes, as a child of this process: commands run as
this user, see this machine's files and network, and can find the standard library's own copy of
the modules that are hidden elsewhere.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from sandboxes.backends.bubblewrap import command_limits, start_runner
from sandboxes.backends.rootfs import install_runner
from sandboxes.base import Isolation, SandboxError
from sandboxes.client.pool import StreamPool
from sandboxes.client.stream import StreamSandbox
from sandboxes.config import SandboxConfig
from sandboxes.inside.settings import START, Settings

__all__ = ["open_pool", "start"]


def open_pool(size: int, config: SandboxConfig) -> StreamPool:
    """Up to `size` sandboxes that isolate nothing.

    Raises ValueError without `config.allow_unsafe`, which SandboxConfig checks as well.
    """
    if not config.allow_unsafe:
        raise ValueError("got backend=unsafe without sandbox.allow_unsafe=true")
    description = f"unsafe: {size} plain processes, NOTHING is isolated"
    return StreamPool(start, size, description)


def start() -> StreamSandbox:
    """A new sandbox in a temporary folder of its own. Raises SandboxError."""
    try:
        folder = _temporary_folder()
    except OSError as error:
        raise SandboxError(f"cannot make a temporary folder: {error}") from error

    # A limit on processes counts all that this user has, so it would hit those outside.
    limits = [part for part in command_limits() if not part.startswith("--nproc=")]
    folders = (f"--work={folder / 'work'}", f"--scratch={folder / 'tmp'}")
    command = [
        *(sys.executable, "-c", START, "--stream={stream}", *folders),
        *("--owns_namespace=0", "--seccomp=0", *limits),
    ]
    environment = Settings.of(folders).environment
    try:
        sandbox = start_runner(
            command, Isolation.PROCESS, {}, environment, cwd=folder / "runner"
        )
    except SandboxError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    sandbox.on_close(lambda: shutil.rmtree(folder, ignore_errors=True))
    return sandbox


def _temporary_folder() -> Path:
    """A folder with the runner, a working directory and one for temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="scgrpo-unsafe-"))
    for name in ("work", "tmp"):
        (folder / name).mkdir()
    install_runner(folder / "runner")
    return folder
