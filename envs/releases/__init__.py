"""Outside data, pinned by hash, fetched once and never vendored.

From the package index (`Release`) and from public repositories (`RepositoryFile`).
"""

from envs.releases.release import MissingDataError, Release
from envs.releases.repository import RepositoryFile

__all__ = ["MissingDataError", "Release", "RepositoryFile"]
