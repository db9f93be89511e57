"""Run folders: where a training run keeps everything, and from a name or folder to a run.

runs/<name>/config.yaml metrics.jsonl validation.jsonl tensorboard/ episodes/ credit/
runs/<name>/checkpoints/ warm_start/ evals/
runs/latest -> <name>
"""

from __future__ import annotations

import difflib
import itertools
import time
from pathlib import Path

from scgrpo.runs.disk import disk_errors_explained, link_atomically

__all__ = [
    "CONFIG",
    "LATEST",
    "all_runs",
    "find_run",
    "is_run",
    "new_run",
    "newest_run",
]

LATEST = "latest"
FOLDERS = ("tensorboard", "episodes", "checkpoints", "evals")
CONFIG = "config.yaml"
RUN_PARTS = ("checkpoints", "episodes", "metrics.jsonl")
"""A folder with one of these is a run even without its settings, such as one copied in parts."""


def new_run(root: Path, name: str = "") -> Path:
    """Makes `root/name` with its folders and points `root/latest` at it.

    Without a name the date and time make one, with a number if two runs start in one second.
    Raises ValueError when the run exists, DiskError when the folder cannot be made.
    """
    name = name or _free_name(root)
    if name == LATEST or name.startswith(".") or Path(name).name != name:
        raise ValueError(
            f"got name={name!r}, expected a plain folder name other than {LATEST!r}"
        )
    run = root / name
    with disk_errors_explained(run):
        root.mkdir(parents=True, exist_ok=True)
        try:
            run.mkdir()
        except FileExistsError as error:
            raise ValueError(
                f"the run {run} exists; continue it with resume=true, or choose another name"
            ) from error
        for folder in FOLDERS:
            (run / folder).mkdir()
        link_atomically(root / LATEST, name)
    return run


def _free_name(root: Path) -> str:
    now = time.strftime("%Y%m%d-%H%M%S")
    names = itertools.chain([now], (f"{now}-{number}" for number in itertools.count(2)))
    return next(name for name in names if not (root / name).exists())


def find_run(root: Path, name: str) -> Path:
    """The run that `name` means: a run's own folder, or a name in `root`; `latest` is the newest.

    A link is followed, since `latest` is another run tomorrow. Raises ValueError, with the nearest
    names, if there is no such run.
    """
    if name == LATEST:
        return newest_run(root)
    # A name means the run in `root`, even if the working directory has such a folder too.
    for folder in (root / name, Path(name).expanduser()):
        if is_run(folder):
            return _without_link(folder)

    names = [path.name for path in all_runs(root)]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[-3:]
    hint = f"nearest: {', '.join(near)}" if near else f"{root} holds no run"
    raise ValueError(f"there is no run {root / name}; {hint}")


def is_run(folder: Path) -> bool:
    """Whether a training run was written to the folder."""
    has_settings = (folder / CONFIG).is_file()
    return has_settings or any((folder / part).exists() for part in RUN_PARTS)


def newest_run(root: Path) -> Path:
    """The run that was made last. Raises ValueError when there is none."""
    link = root / LATEST
    if link.is_dir():
        return _without_link(link)
    if runs := all_runs(root):
        return runs[-1]
    raise ValueError(
        f"there is no run in {root}; train one: python -m scgrpo.train env=swe_lite"
    )


def all_runs(root: Path) -> list[Path]:
    """The runs in a folder, oldest first."""
    runs: list[Path] = []
    for checkpoints in root.glob("*/checkpoints"):
        run = checkpoints.parent
        if run.name != LATEST:
            runs.append(run)
    return sorted(runs, key=lambda run: (run.stat().st_mtime_ns, run.name))


def _without_link(folder: Path) -> Path:
    """The folder that a link points to; any other folder as it is."""
    if not folder.is_symlink():
        return folder
    target = folder.resolve()
    is_neighbour = target.parent == folder.parent.resolve()
    return folder.parent / target.name if is_neighbour else target
