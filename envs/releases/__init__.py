"""Outside data, pinned by hash, fetched once and never vendored.

From the package index (`Release`), from public repositories (`RepositoryFile`, `RepositoryFolder`)
and from the Hugging Face hub (`HubFile`).
"""

from envs.releases.hub import HubFile
from envs.releases.published import PublishedFile
from envs.releases.release import MissingDataError, Release
from envs.releases.repository import RepositoryFile, RepositoryFolder

__all__ = [
    "HubFile",
    "MissingDataError",
    "PublishedFile",
    "Release",
    "RepositoryFile",
    "RepositoryFolder",
]
