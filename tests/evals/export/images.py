"""Base images of this machine's own Python, for tests that build images without a registry."""

from __future__ import annotations

import io
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sandboxes.image.base_image import (
    PREFIXES,
    add_file,
    base_archive,
    library_dependencies,
)

__all__ = ["python_archive"]


def python_archive(requirements: Sequence[str]) -> bytes:
    """A tar archive of a root file system with Python, pip, and the requirements installed.

    So `pip install` in an image that starts from it has nothing to fetch.
    """
    buffer = io.BytesIO(base_archive())
    target = Path(sysconfig.get_path("purelib", vars=PREFIXES))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        present = set(archive.getnames())
        extensions: list[Path] = []
        for package in needed([*requirements, "pip"]):
            for path in package.files or ():
                source = Path(str(package.locate_file(path)))
                if ".." in path.parts or not source.is_file():
                    continue
                if source.suffix == ".so":
                    extensions.append(source)
                add(archive, source, target / path)
        for library in sorted(library_dependencies(extensions)):
            # Libraries that come with a package are where the package looks for them.
            outside = "site-packages" not in library.parts
            if outside and str(library).lstrip("/") not in present:
                add_file(archive, library)
    return buffer.getvalue()


def needed(requirements: Sequence[str]) -> Iterator[Distribution]:
    """The installed distributions that requirements name, and all that these need in turn."""
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            # What is not here either, such as a package of another platform.
            continue
        if not any(name == other for other, _ in seen):
            yield package
        seen.add(key)
        for text in package.requires or ():
            other = Requirement(text)
            extras = requirement.extras or {""}
            if other.marker is None or any(
                other.marker.evaluate({"extra": extra}) for extra in extras
            ):
                waiting.append(other)


def add(archive: tarfile.TarFile, source: Path, target: Path) -> None:
    """Adds a file under another path, owned by root."""
    info = archive.gettarinfo(str(source.resolve()), arcname=str(target).lstrip("/"))
    info.type, info.linkname = tarfile.REGTYPE, ""
    info.size = source.stat().st_size
    info.uid = info.gid = 0
    with source.open("rb") as file:
        archive.addfile(info, file)
