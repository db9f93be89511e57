"""Run folders: where a training run keeps everything, and from a name or folder to a run.

runs/<name>/config.yaml metrics.jsonl validation.jsonl tensorboard/ episodes/ credit/
runs/<name>/checkpoints/ evals/
runs/<name>/warm_start/ base/    what the run's checkpoints stand on, if they need it
runs/<name>/.lock                held by the process that trains
runs/latest -> <name>
"""

from __future__ import annotations

import difflib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from scgrpo.runs.disk import DiskError, disk_errors_explained, link_atomically
from scgrpo.runs.lock import LOCK, Hold, only_writer

__all__ = [
    "CONFIG",
    "LATEST",
    "STARTING_EPISODES",
    "StartingRun",
    "all_runs",
    "find_run",
    "is_run",
    "new_run",
    "newest_run",
    "starting_run",
]

LATEST = "latest"
STARTING = ".starting"
DEAD_AFTER_S = 3600.0
FOLDERS = ("tensorboard", "episodes", "checkpoints", "evals")
CONFIG = "config.yaml"
STARTING_EPISODES = "episodes/start.jsonl"
"""Those that measured the model before its warm start, if any were played."""
RUN_PARTS = ("checkpoints", "episodes", "metrics.jsonl")
"""A folder with one of these is a run even without its settings, such as one copied in parts."""


class StartingRun:
    """A run that no one sees yet: its name is taken, and a start that fails leaves nothing.

    | attribute | meaning |
    |---|---|
    | path | the folder that the run will have |
    | has_begun | it is kept from now on |
    """

    def __init__(self, path: Path, hold: Hold) -> None:
        self.path = path
        self._hold = hold
        self.has_begun = False

    def open(self, fill: Callable[[Path], None]) -> None:
        """Makes the run's folder in one step, with what `fill` writes into it.

        Raises ValueError if the run exists by now, DiskError if the disk cannot be written.
        """
        scratch = self._hold.folder
        with disk_errors_explained(self.path):
            # A killed process may have got that far.
            _empty(scratch)
            for folder in FOLDERS:
                (scratch / folder).mkdir()
            fill(scratch)
            try:
                scratch.rename(self.path)
            except OSError as error:
                if not self.path.exists():
                    raise
                raise _exists(self.path) from error
            self._hold.folder = self.path

    def begin(self) -> None:
        """Keeps the open run from now on, and points the link `latest` at it."""
        link_atomically(self.path.parent / LATEST, self.path.name)
        self.has_begun = True

    def remove_failed(self) -> None:
        """Removes what a run that has not begun has left."""
        if not self.has_begun:
            shutil.rmtree(self._hold.folder, ignore_errors=True)


@contextmanager
def starting_run(root: Path, name: str = "") -> Iterator[StartingRun]:
    """A new run `root/name`, held for the block and removed unless it begins there.

    Without a name the date and time make one, with a number if two runs start in one second.
    Raises ValueError when the run exists or another process starts it, DiskError when its folder
    cannot be made.
    """
    with disk_errors_explained(root / name):
        _remove_dead_starts(root)
        path = root / (name or _free_name(root))
    is_plain = path.parent == root and path.name == name and name.isprintable()
    if name and (not is_plain or name == LATEST or name.startswith(".")):
        raise ValueError(
            f"got name={name!r}, expected a plain folder name other than {LATEST!r}"
        )
    if path.exists():
        raise _exists(path)

    with ExitStack() as stack:
        with disk_errors_explained(path):
            advice = "choose another name for this run"
            hold = stack.enter_context(only_writer(_scratch(path), advice))
        starting = StartingRun(path, hold)
        try:
            yield starting
        finally:
            starting.remove_failed()


def new_run(root: Path, name: str = "") -> Path:
    """Makes `root/name` with its folders and points `root/latest` at it; see `starting_run`."""
    with starting_run(root, name) as starting:
        starting.open(lambda _: None)
        starting.begin()
    return starting.path


def _exists(run: Path) -> ValueError:
    return ValueError(
        f"the run {run} exists; continue it with resume=true, or choose another name"
    )


def _free_name(root: Path) -> str:
    now = time.strftime("%Y%m%d-%H%M%S")
    names = itertools.chain([now], (f"{now}-{number}" for number in itertools.count(2)))
    return next(
        name
        for name in names
        if not (root / name).exists() and not _scratch(root / name).exists()
    )


def _scratch(run: Path) -> Path:
    """Where a run is prepared; the dot keeps it from being a run's name."""
    return run.with_name(f".{run.name}{STARTING}")


def _remove_dead_starts(root: Path) -> None:
    """Removes what killed processes left of runs that had not begun."""
    for scratch in root.glob(f".*{STARTING}"):
        # Another process may be about to lock a new one; that of a living process is locked.
        if time.time() - scratch.stat().st_mtime < DEAD_AFTER_S:
            continue
        with suppress(ValueError, DiskError), only_writer(scratch, ""):
            shutil.rmtree(scratch, ignore_errors=True)


def _empty(folder: Path) -> None:
    """Removes everything but the lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


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
        if run.name != LATEST and not run.name.startswith("."):
            runs.append(run)
    return sorted(runs, key=lambda run: (run.stat().st_mtime_ns, run.name))


def _without_link(folder: Path) -> Path:
    """The folder that a link points to; any other folder as it is."""
    if not folder.is_symlink():
        return folder
    target = folder.resolve()
    is_neighbour = target.parent == folder.parent.resolve()
    return folder.parent / target.name if is_neighbour else target
