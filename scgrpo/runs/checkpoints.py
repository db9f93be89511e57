"""The checkpoints of a run: which there are, and whether their files are whole. No torch."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from pathlib import Path

from sandboxes.commands import CommandError

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
    for name, expected in manifest.items():
        try:
            digest = _sha256(path / name)
        except OSError as error:
            raise CheckpointError(f"{path}: {name} is missing") from error
        if digest != expected:
            raise CheckpointError(f"{path}: {name} is torn or was changed")


def write_manifest(folder: Path) -> None:
    """Lists every file of the folder with its SHA-256."""
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(folder))
            digests[name] = _sha256(path)
    text = json.dumps(digests, indent=2)
    (folder / MANIFEST).write_text(text + "\n")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
