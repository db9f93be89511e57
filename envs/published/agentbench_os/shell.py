"""A shell with the usual programs in a sandbox, which by itself holds Python alone.

If the sandbox's image has all of the programs, these are used. Else this machine's, and the
libraries that they load, are written into the lease, outside of the home folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from sandboxes.base import ExecResult, Sandbox, SandboxError

__all__ = ["COMMAND_S", "PROGRAMS", "run_scripts"]

COMMAND_S = 5.0
PROGRAMS = (
    *("awk", "basename", "bash", "cat", "chmod", "cmp", "comm", "cp", "cut"),
    *("date", "dd", "df", "diff", "dirname", "du", "echo", "env", "expr", "false"),
    *("find", "fold", "grep", "gzip", "head", "id", "join", "ln", "ls"),
    *("md5sum", "mkdir", "mktemp", "mv", "nl", "od", "paste", "printf", "pwd"),
    *("readlink", "realpath", "rm", "rmdir", "sed", "seq", "sha256sum", "shuf"),
    *("sleep", "sort", "split", "stat", "tac", "tail", "tar", "tee", "test"),
    *("touch", "tr", "true", "truncate", "uname", "uniq", "wc", "whoami", "xargs"),
    "yes",
)
"""Of bash, coreutils, diffutils, findutils, grep, gzip, sed, tar and an awk."""

_FOLDER = ".shell"
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
# A sandbox's Python has loaded these already.
_LOADED = ("ld-linux", "libc.so", "libm.so", "libpthread", "libdl.so")

# Moves what was written out of the home folder; then the home folder is empty.
_INSTALL = """\
import os, shutil
shutil.copytree(".shell", "/tmp/shell", dirs_exist_ok=True)
shutil.rmtree(".shell")
for name in os.listdir("/tmp/shell/bin"):
    os.chmod("/tmp/shell/bin/" + name, 0o755)
"""
_HAS_PROGRAMS = """\
import shutil, sys
sys.exit(not all(shutil.which(name, path="/usr/bin:/bin") for name in sys.argv[1:]))
"""
_RUN = """\
import os, sys
os.environ["HOME"] = os.getcwd()
os.environ["PATH"] = "/tmp/shell/bin:/usr/local/bin:/usr/bin:/bin"
os.environ["LD_LIBRARY_PATH"] = "/tmp/shell/lib"
bash = "/tmp/shell/bin/bash"
os.execv(bash if os.path.exists(bash) else "/bin/bash", ["bash", "-c", sys.argv[1]])
"""


def run_scripts(sandbox: Sandbox, scripts: Sequence[str]) -> list[ExecResult]:
    """What each script did, one after another, in a lease that is empty.

    The home folder is the working directory. A script is killed after 5 s. Raises SandboxError if
    neither the sandbox nor this machine has them.
    """
    look = ["python", "-c", _HAS_PROGRAMS, *PROGRAMS]
    if sandbox.run(look, timeout_s=COMMAND_S).exit_code != 0:
        sandbox.write(_files())
        result = sandbox.run(["python", "-c", _INSTALL], timeout_s=COMMAND_S)
        if result.exit_code != 0:
            errors = result.stderr.decode("utf-8", "replace").strip()
            raise SandboxError(f"no shell in the sandbox: {errors[-200:]}")
    return [
        sandbox.run(["python", "-c", _RUN, script], timeout_s=COMMAND_S)
        for script in scripts
    ]


@cache
def _files() -> Mapping[str, bytes]:
    """This machine's programs and their libraries, by path below the working directory."""
    files: dict[str, bytes] = {}
    places: list[str] = []
    for name in PROGRAMS:
        program = shutil.which(name)
        if program is None:
            raise SandboxError(
                f"the sandbox has no shell and this machine no {name}: install bash, coreutils, "
                "diffutils, findutils, grep, gzip, sed, tar and an awk, or build the sandbox "
                "from an image that has them"
            )
        path = Path(os.path.realpath(program))
        files[f"{_FOLDER}/bin/{name}"] = path.read_bytes()
        places.append(str(path))
    for library in _libraries(places):
        files[f"{_FOLDER}/lib/{library.name}"] = library.read_bytes()
    return files


def _libraries(programs: Sequence[str]) -> Iterator[Path]:
    """The libraries that programs load, without those that Python has; none of scripts."""
    done = subprocess.run(["ldd", *programs], capture_output=True, text=True)
    for place in sorted(set(_LIBRARY.findall(done.stdout))):
        if not Path(place).name.startswith(_LOADED):
            yield Path(place)
