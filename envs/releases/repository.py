"""A file of a public repository that environments read: fetched once, checked by its hash."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from envs.releases.release import cache_folder

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

        Raises ImportError if it is in none of them, or is not the published one.
        """
        cached = cache_folder("benchmarks") / self.name
        by_hand = self._path_by_hand()
        if by_hand is not None and by_hand.exists():
            path = by_hand
        else:
            path = cached
        if not path.exists():
            self._fetch(cached)

        if not self._is_published(path.read_bytes()):
            raise ImportError(
                f"{path} is not {self.file} of {self.repository} at {self.commit[:12]}: expected "
                f"SHA-256 {self.sha256}; remove it, start again"
            )
        return path

    def is_at_hand(self) -> bool:
        """Whether `path` needs no network."""
        by_hand = self._path_by_hand()
        if by_hand is not None and by_hand.exists():
            return True
        return (cache_folder("benchmarks") / self.name).exists()

    def _path_by_hand(self) -> Path | None:
        folder = os.environ.get(FOLDER_VARIABLE)
        return Path(folder).expanduser() / self.name if folder else None

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
            raise self._not_fetched(path, "what came has another SHA-256")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            whole = Path(scratch, path.name)
            whole.write_bytes(response.content)
            # In one step: no reader sees half a file.
            whole.replace(path)

    def _not_fetched(self, path: Path, problem: str) -> ImportError:
        by_hand = self._path_by_hand()
        tried = [str(path), self.url]
        if by_hand is not None:
            tried.insert(0, str(by_hand))
        return ImportError(
            f"{self.name} is not to be had; tried {', '.join(tried)} ({problem}). On a machine with "
            f"a network, download the last of them (SHA-256 {self.sha256}), put it at {path}, or at "
            f"{self.name} in a folder that {FOLDER_VARIABLE} names"
        )
