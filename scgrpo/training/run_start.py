"""What a run starts from, and what of it the run keeps: its results need no cache.

A cache may be emptied, and lies elsewhere on another machine. So a run that was warmed up keeps the
warmed weights in `warm_start/`; one of adapters keeps their base in `base/` if it came from our
cache. Their weights are hard links where the disk allows, which take no room.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from scgrpo.config import TrainConfig
from scgrpo.models.sources.folders import (
    adapter_base,
    cache_folder,
    hub_revision,
    is_adapter,
    is_model,
    name_base,
    resolve_model,
)
from scgrpo.runs import checkpoints
from scgrpo.runs.disk import atomic_folder

__all__ = [
    "WARM_START",
    "base_of_checkpoints",
    "keep_start",
    "name_base",
    "saved_start",
    "warm_start_cache",
]

WARM_START = "warm_start"
BASE = "base"


def keep_start(run: Path, start: Path, *, has_adapters: bool) -> None:
    """Keeps in the run's folder what its results need of the cache.

    `start` is the folder that training starts from; with `has_adapters` it is the base of the
    run's adapters.
    """
    is_warm = start.parent == warm_start_cache()
    if is_warm:
        _link_folder(start, run / WARM_START)
    if is_adapter(start):
        base = adapter_base(start)
    elif has_adapters and not is_warm:
        base = start
    else:
        return

    if is_kept := _is_in_cache(base):
        _link_folder(base, run / BASE)
    if is_warm:
        reference = (f"../{BASE}", None) if is_kept else _reference(base)
        name_base(run / WARM_START, *reference)


def saved_start(run: Path, config: TrainConfig) -> Path | None:
    """The folder that a run goes on from, whatever became of the cache; None if it has none.

    Its newest checkpoint if that holds the whole model, else what its adapters stand on. Raises
    ValueError if that is gone.
    """
    newest = checkpoints.latest(run / "checkpoints")
    if newest is not None and not config.lora.rank:
        return newest
    warm = run / WARM_START
    if warm.is_symlink():
        _replace_link(warm, needed=newest is not None)
    for folder in (warm, run / BASE):
        if is_model(folder):
            return folder
    return None if newest is None else resolve_model(config.model)


def base_of_checkpoints(run: Path, base: str) -> tuple[str, str | None]:
    """How a checkpoint of adapters in `run` names the model at the path `base`, and its revision.

    By a path inside the run, by a hub's id and revision, or by the path of a user's own folder.
    """
    for name in (WARM_START, BASE):
        folder = run / name
        if is_model(folder) and not is_adapter(folder):
            return f"../../{name}", None
    return _reference(Path(base))


def warm_start_cache() -> Path:
    """Where warm starts are kept for later runs."""
    return cache_folder() / WARM_START


def _reference(base: Path) -> tuple[str, str | None]:
    """A model's name on its hub and the revision, or its path."""
    return hub_revision(base) or (str(base.resolve()), None)


def _is_in_cache(folder: Path) -> bool:
    return folder.resolve().is_relative_to(cache_folder().resolve())


def _link_folder(source: Path, target: Path) -> None:
    """The same files in another folder: hard links, or copies on another disk."""
    with atomic_folder(target) as scratch:
        for file in source.iterdir():
            if file.is_file():
                _link_file(file.resolve(), scratch / file.name)


def _link_file(source: Path, target: Path) -> None:
    # Small files are copied: whoever edits one in a run must not change the cache.
    if source.suffix == ".safetensors":
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def _replace_link(warm: Path, *, needed: bool) -> None:
    """Puts the folder in the place of a link to the cache, which earlier releases made.

    Raises ValueError if what it points to is gone and `needed`.
    """
    target = warm.resolve()
    if is_model(target):
        warm.unlink()
        _link_folder(target, warm)
    elif needed:
        raise ValueError(
            f"{warm.parent} trains adapters on a warm start that lay in a cache, {target}, and is "
            "gone: put it back there, or start a new run"
        )
    else:
        warm.unlink()
