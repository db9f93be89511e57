"""Folders that sandboxes without containers start from: the runner, a root with only Python."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import sysconfig
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from sandboxes.base import SandboxError
from sandboxes.image.base_image import PREFIXES, base_archive
from sandboxes.image.prepare_image import hide, name_users
from sandboxes.inside.settings import INSIDE, hidden_modules, inside_digest
from sandboxes.limits import compose_limits

__all__ = ["INSTALLED", "install_runner", "root_folder"]

INSTALLED = "opt/scgrpo"
"""Path of the runner in a root."""

_PACKAGE = Path(__file__).parents[1]
_RECIPE = ("image/base_image.py", "image/prepare_image.py", "backends/rootfs.py")
"""The files that decide what a root holds, besides the runner's own."""


def install_runner(folder: Path) -> None:
    """Copies the runner into a folder."""
    inside = folder / "sandboxes" / "inside"
    inside.mkdir(parents=True)
    for name in INSIDE:
        shutil.copyfile(_PACKAGE / "inside" / name, inside / name)


@cache
def root_folder() -> Path:
    """A folder to mount as a sandbox's root: this machine's Python, its library, the runner.

    Built once and stored in the user's cache (root's in /var/cache, since the sandboxes of root
    run as another user). Raises SandboxError.
    """
    recipe = b"".join((_PACKAGE / name).read_bytes() for name in _RECIPE)
    uid = compose_limits().uid
    version = f"{sys.version} {sys.base_prefix} {inside_digest()} {uid}".encode()
    name = f"python-{hashlib.sha256(recipe + version).hexdigest()[:16]}"
    try:
        cache_folder = _cache_folder()
        root = cache_folder / name
        if not root.is_dir():
            _build(cache_folder, root)
    except OSError as error:
        raise SandboxError(
            f"cannot make a root folder for sandboxes: {error}"
        ) from error
    return root


def _cache_folder() -> Path:
    if os.geteuid() == 0:
        folder = Path("/var/cache/scgrpo")
    else:
        user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(user_cache, "scgrpo")

    # A folder of another user could hold a root of their making.
    folder.mkdir(parents=True, exist_ok=True)
    if folder.lstat().st_uid != os.geteuid():
        raise SandboxError(f"{folder} belongs to another user; remove it")
    return folder


def _build(cache_folder: Path, root: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache_folder, prefix="new-") as temporary:
        new = Path(temporary, "root")
        new.mkdir()
        with tarfile.open(fileobj=io.BytesIO(base_archive())) as archive:
            # The archive is our own. Python before 3.11.4 knows no filters and no `filter=`.
            archive.extraction_filter = lambda member, _: member
            archive.extractall(new)

        library = sysconfig.get_path("stdlib", vars=PREFIXES).lstrip("/")
        hide(new / library, hidden_modules())
        # Bubblewrap maps whoever starts it to this user.
        uid = compose_limits().uid
        name_users(new, range(uid, uid + 1))
        install_runner(new / INSTALLED)

        for folder in ("dev", "proc", "work"):
            (new / folder).mkdir(exist_ok=True)
        for directory, _, _ in os.walk(new):
            os.chmod(directory, 0o755)

        # In one step, so that no process ever mounts half a root.
        try:
            new.rename(root)
        except OSError:
            # Another process may have finished the same root first.
            if not root.is_dir():
                raise
