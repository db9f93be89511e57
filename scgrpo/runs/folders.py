"""Run folders: where a training run keeps everything, and how it is found again.

runs/<name>/config.yaml metrics.jsonl validation.jsonl tensorboard/ episodes/ credit/
runs/<name>/checkpoints/ warm_start/ evals/
runs/latest -> <name>
"""

from __future__ import annotations

import difflib
import time
from pathlib import Path

from scgrpo.runs.disk import disk_errors_explained, link_atomically

__all__ = ["all_runs", "find_run", "new_run", "newest_run"]

LATEST = "latest"
FOLDERS = ("tensorboard", "episodes", "checkpoints", "evals")
CONFIG = "config.yaml"


def new_run(root: Path, name: str = "") -> Path:
    """Makes `root/name` with its folders and points `root/latest` at it.

    Without a name the date and time make one. Raises ValueError when the run exists, DiskError
    when the folder cannot be made.
    """
    name = name or time.strftime("%Y%m%d-%H%M%S")
    if name == LATEST or name.startswith(".") or Path(name).name != name:
        raise ValueError(
            f"got name={name!r}, wanted a plain folder name other than {LATEST!r}"
        )
    run = root / name
    with disk_errors_explained(run):
        root.mkdir(parents=True, exist_ok=True)
        try:
            run.mkdir()
        except FileExistsError as error:
            raise ValueError(
                f"the run {run} exists; go on with it by resume=true, or choose another name"
            ) from error
        for folder in FOLDERS:
            (run / folder).mkdir()
        link_atomically(root / LATEST, name)
    return run


def find_run(root: Path, name: str) -> Path:
    """The run `name` in `root`; `latest` is the newest. Raises ValueError with the nearest."""
    if name == LATEST:
        return newest_run(root)
    run = root / name
    if (run / CONFIG).is_file() or (run / "checkpoints").is_dir():
        return run
    names = [path.name for path in all_runs(root)]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[-3:]
    known = f"nearest: {', '.join(near)}" if near else f"{root} holds no run"
    raise ValueError(f"there is no run {run}; {known}")


def newest_run(root: Path) -> Path:
    """The run that was made last. Raises ValueError when there is none."""
    pointed = root / LATEST
    if pointed.is_dir():
        return root / pointed.resolve().name
    if runs := all_runs(root):
        return runs[-1]
    raise ValueError(
        f"there is no run in {root}; train one: python -m scgrpo.train env=swe_lite"
    )


def all_runs(root: Path) -> list[Path]:
    """The runs in a folder, oldest first."""
    found = [
        path.parent for path in root.glob("*/checkpoints") if path.parent.name != LATEST
    ]
    return sorted(found, key=lambda run: (run.stat().st_mtime_ns, run.name))
