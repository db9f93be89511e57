"""A file of a public repository that environments read: fetched once, checked by its hash."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from envs.releases.release import MissingDataError, cache_folder

__all__ = ["FOLDER_VARIABLE", "RepositoryFile"]

HOST = "https://raw.githubusercontent.com"
FOLDER_VARIABLE = "SCGRPO_BENCHMARKS"
FETCH_S = 60.0


@dataclass(frozen=True)
class RepositoryFile:
    """A file of a GitHub repository at a commit.

    | field | meaning |
    |---|---|
    | repository, commit | `owner/name`, and the whole hash of the commit |
    | file | path in the repository |
    | sha256 | of the file |
    | name | `<folder>/<file>` here: in the cache and in `$SCGRPO_BENCHMARKS` |
    """

    repository: str
    commit: str
    file: str
    sha256: str
    name: str

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"{HOST}/{self.repository}/{self.commit}/{self.file}"

    def path(self) -> Path:
        """The file: in `$SCGRPO_BENCHMARKS`, else in the cache, else fetched into it.

        Raises MissingDataError if it is in none of them, or is not the published one.
        """
        path = self._path_at_hand()
        if path is None:
            path = cache_folder("benchmarks") / self.name
            self._fetch(path)

        if not self._is_published(path.read_bytes()):
            raise MissingDataError(
                f"{path} is not {self.file} of {self.repository} at {self.commit[:12]}: expected "
                f"SHA-256 {self.sha256}; remove it, start again"
            )
        return path

    def is_at_hand(self) -> bool:
        """Whether `path` needs no network."""
        return self._path_at_hand() is not None

    def _path_at_hand(self) -> Path | None:
        places = self._places()
        return next((path for path in places if path.exists()), None)

    def _places(self) -> list[Path]:
        """Where it may lie on this machine, the preferred place first."""
        folders = [cache_folder("benchmarks")]
        by_hand = os.environ.get(FOLDER_VARIABLE)
        if by_hand:
            folders.insert(0, Path(by_hand).expanduser())
        return [folder / self.name for folder in folders]

    def _is_published(self, content: bytes) -> bool:
        return hashlib.sha256(content).hexdigest() == self.sha256

    def _fetch(self, path: Path) -> None:
        """Downloads the file to `path`, in one step."""
        # It is slow to import, and what is cached needs none of it.
        import httpx2

        try:
            response = httpx2.get(self.url, timeout=FETCH_S, follow_redirects=True)
            response.raise_for_status()
        except httpx2.HTTPError as error:
            raise self._not_fetched(path, f"{type(error).__name__}: {error}") from error
        if not self._is_published(response.content):
            raise self._not_fetched(path, "a file with another SHA-256")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            whole = Path(scratch, path.name)
            whole.write_bytes(response.content)
            # In one step: no reader sees half a file.
            whole.replace(path)

    def _not_fetched(self, path: Path, problem: str) -> MissingDataError:
        tried = ", ".join(map(str, self._places()))
        return MissingDataError(
            f"{self.name} cannot be had: it is not at {tried}, and {self.url} gave {problem}. "
            f"Download that where a network is (SHA-256 {self.sha256}) and put it at {path}, "
            f"or at {self.name} in a folder that {FOLDER_VARIABLE} names"
        )
