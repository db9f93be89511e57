"""Files of public repositories that environments read: fetched once, checked by their hashes."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from envs.releases.published import FOLDER_VARIABLE, PublishedFile
from envs.releases.release import cache_folder

__all__ = ["FOLDER_VARIABLE", "RepositoryFile", "RepositoryFolder"]

HOST = "https://raw.githubusercontent.com"
ARCHIVE_HOST = "https://codeload.github.com"
FETCH_S = 60.0


@dataclass(frozen=True)
class RepositoryFile(PublishedFile):
    """A file of a GitHub repository at a commit.

    | field | meaning |
    |---|---|
    | repository, commit | `owner/name`, and the whole hash of the commit |
    | file | path in the repository |
    | sha256 | of the file, or of what `convert` makes of it |
    | name | `<folder>/<file>` here: in the cache and in `$SCGRPO_BENCHMARKS` |
    | convert | what is kept of a downloaded file, such as its unpacked content; None: all of it. |
    | | Raises ValueError for a file of another form |
    """

    repository: str
    commit: str
    file: str
    sha256: str
    name: str
    convert: Callable[[bytes], bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is published."""
        return f"{HOST}/{self.repository}/{self.commit}/{self.file}"

    @property
    def origin(self) -> str:
        """Which file of which commit it is."""
        return f"{self.file} of {self.repository} at {self.commit[:12]}"

    def _fetch(self) -> Path:
        """Downloads the file into the cache, in one step."""
        content = self._convert(self._download())
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise self._download_error("a file with another SHA-256")
        path = cache_folder("benchmarks") / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            whole = Path(scratch, path.name)
            whole.write_bytes(content)
            # In one step: no reader sees half a file.
            whole.replace(path)
        return path

    def _download(self) -> bytes:
        # It is slow to import, and what is cached needs none of it.
        import httpx2

        try:
            response = httpx2.get(self.url, timeout=FETCH_S, follow_redirects=True)
            response.raise_for_status()
        except httpx2.HTTPError as error:
            raise self._download_error(f"{type(error).__name__}: {error}") from error
        return response.content

    def _convert(self, content: bytes) -> bytes:
        if self.convert is None:
            return content
        try:
            return self.convert(content)
        except (ValueError, OSError) as error:
            raise self._download_error(f"a file of another form ({error})") from error

    @property
    def _kept_as_it_is(self) -> bool:
        return self.convert is None

    def _instruction(self) -> str:
        if self._kept_as_it_is:
            return super()._instruction()
        benchmark = self.name.partition("/")[0]
        return f"Where a network is, run: scgrpo envs releases {benchmark}; take what it makes"


@dataclass(frozen=True)
class RepositoryFolder(RepositoryFile):
    """The JSON files of a folder of a GitHub repository at a commit, as one file.

    `file` is the folder. What is kept is one JSON object, from the files' names without `.json`, in
    their order, to their contents, with each value on a line of its own.
    """

    @property
    def url(self) -> str:
        """Where the whole repository is published."""
        return f"{ARCHIVE_HOST}/{self.repository}/zip/{self.commit}"

    def _convert(self, content: bytes) -> bytes:
        try:
            with ZipFile(io.BytesIO(content)) as archive:
                return self._join(archive)
        except (ValueError, BadZipFile) as error:
            raise self._download_error(f"a file of another form ({error})") from error

    def _join(self, archive: ZipFile) -> bytes:
        values: dict[str, object] = {}
        for member in archive.namelist():
            # The archive's own folder stands in front of all paths.
            path = PurePosixPath(*PurePosixPath(member).parts[1:])
            if path.parent == PurePosixPath(self.file) and path.suffix == ".json":
                values[path.stem] = json.loads(archive.read(member))
        return json.dumps(dict(sorted(values.items())), indent=0).encode()

    @property
    def _kept_as_it_is(self) -> bool:
        return False
