"""A file as its authors published it: by hand, from a cache, or fetched."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from pathlib import Path

from envs.releases.release import MissingDataError, cache_folder

__all__ = ["FOLDER_VARIABLE", "PublishedFile"]

FOLDER_VARIABLE = "SCGRPO_BENCHMARKS"


class PublishedFile(ABC):
    """A file of a public repository or of the hub, which `path` gives as it was published.

    | attribute | meaning |
    |---|---|
    | sha256 | of the file |
    | name | `<folder>/<file>` in the cache and in `$SCGRPO_BENCHMARKS` |
    """

    sha256: str
    name: str

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it is published."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """Which file of which version it is, in words."""

    @abstractmethod
    def _fetch(self) -> Path:
        """Downloads the file and gives its place. Raises MissingDataError."""

    def path(self) -> Path:
        """The file: in `$SCGRPO_BENCHMARKS`, else in the cache, else fetched into it.

        Raises MissingDataError if it is in none of them, or is not the published one.
        """
        path = self._path_at_hand()
        if path is None:
            path = self._fetch()

        if not self._is_published(path):
            raise MissingDataError(
                f"{path} is not {self.origin}: expected SHA-256 {self.sha256}; remove it, "
                "start again"
            )
        return path

    def is_at_hand(self) -> bool:
        """Whether `path` needs no network."""
        return self._path_at_hand() is not None

    def _path_at_hand(self) -> Path | None:
        return next((path for path in self._places() if path.exists()), None)

    def _places(self) -> list[Path]:
        """Where it may lie on this machine, the preferred place first."""
        folders = [cache_folder("benchmarks")]
        by_hand = os.environ.get(FOLDER_VARIABLE)
        if by_hand:
            folders.insert(0, Path(by_hand).expanduser())
        return [folder / self.name for folder in folders]

    def _is_published(self, path: Path) -> bool:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256

    def _download_error(self, problem: str) -> MissingDataError:
        """The error of a download that failed, with what to do."""
        tried = ", ".join(map(str, self._places()))
        return MissingDataError(
            f"{self.name} cannot be had: it is not at {tried}, and {self.url} gave {problem}. "
            f"{self._instruction()} (SHA-256 {self.sha256}) and put it at {self._places()[-1]}, "
            f"or at {self.name} in a folder that {FOLDER_VARIABLE} names"
        )

    def _instruction(self) -> str:
        return "Download that where a network is"
