"""The checkpoints of a run: which there are, and whether their files are whole. No torch."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sandboxes.commands import CommandError
from scgrpo.runs.disk import sha256_of

__all__ = [
    "BEST",
    "MANIFEST",
    "CheckpointError",
    "latest",
    "newest_first",
    "step_folder",
    "step_of",
    "verify",
    "write_manifest",
]

MANIFEST = "manifest.json"
BEST = "best"
HASHING_THREADS = 8

logger = logging.getLogger(__name__)


class CheckpointError(CommandError):
    """A checkpoint that cannot be trusted: a file is missing, torn or changed."""


def latest(folder: Path) -> Path | None:
    """The newest checkpoint whose files are intact, None if there is none; logs what it skips."""
    for path in newest_first(folder):
        try:
            verify(path)
        except CheckpointError as error:
            logger.warning("skipping %s", error)
        else:
            return path
    return None


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints of a folder, whole or not."""
    paths = folder.glob("step-*")
    checkpoints = [path for path in paths if re.fullmatch(r"step-\d+", path.name)]
    return sorted(checkpoints, key=step_of, reverse=True)


def step_folder(folder: Path, step: int) -> Path:
    """Where `save` puts a step."""
    return folder / f"step-{step:06d}"


def step_of(path: Path) -> int:
    """The step in a checkpoint's name. Raises ValueError for another name."""
    match = re.fullmatch(r"step-(\d+)", path.name)
    if match is None:
        raise ValueError(f"got {path}, expected a checkpoint folder named step-NUMBER")
    return int(match.group(1))


def verify(path: Path) -> None:
    """Raises CheckpointError unless every file is as the manifest says."""
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: no readable {MANIFEST}") from error

    # Side by side: a large checkpoint has many parts, and hashing leaves Python's lock alone.
    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        digests = [threads.submit(sha256_of, path / name) for name in manifest]
    for name, digest in zip(manifest, digests, strict=True):
        try:
            is_whole = digest.result() == manifest[name]
        except OSError as error:
            raise CheckpointError(f"{path}: {name} is missing") from error
        if not is_whole:
            raise CheckpointError(f"{path}: {name} is torn or was changed")


def write_manifest(folder: Path, digests: Mapping[str, str] | None = None) -> None:
    """Lists every file of the folder with its SHA-256; those of `digests` are known already."""
    by_name = dict(digests or {})
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and name not in by_name:
            by_name[name] = sha256_of(path)
    text = json.dumps(by_name, indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n")
