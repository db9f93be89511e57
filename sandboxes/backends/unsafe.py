"""Plain processes with resource limits. Nothing is isolated: for code that you would run yourself.

The same runner and protocol as in the other sandboxes, as a child of this process: commands run as
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
from sandboxes.client.stream import StreamSandbox

__all__ = ["start"]


def start() -> StreamSandbox:
    """A new sandbox in a temporary folder of its own. Raises SandboxError."""
    try:
        place = Path(tempfile.mkdtemp(prefix="scgrpo-unsafe-"))
        for folder in ("work", "tmp"):
            (place / folder).mkdir()
        install_runner(place / "runner")
    except OSError as error:
        raise SandboxError(f"cannot make a temporary folder: {error}") from error
    command = [
        *(sys.executable, "-m", "sandboxes.inside.runner", "--stream={stream}"),
        *(f"--work={place / 'work'}", f"--scratch={place / 'tmp'}"),
        *("--owns_namespace=0", "--seccomp=0"),
        *(part for part in command_limits() if not part.startswith("--nproc=")),
    ]
    try:
        sandbox = start_runner(command, Isolation.PROCESS, {}, cwd=place / "runner")
    except SandboxError:
        shutil.rmtree(place, ignore_errors=True)
        raise
    sandbox.at_end(lambda: shutil.rmtree(place, ignore_errors=True))
    return sandbox
