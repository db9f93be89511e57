"""Outside data from the package index: releases pinned by hash, fetched once, never vendored."""

from envs.releases.release import Release

__all__ = ["Release"]
