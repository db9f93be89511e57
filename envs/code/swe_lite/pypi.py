"""Published packages that `swe_lite` breaks: a module each, with tests, read from the sdists."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from envs.code.swe_lite.adapt import adapt
from envs.releases import Release

__all__ = ["PACKAGES", "RELEASES", "Package", "read"]


@dataclass(frozen=True)
class Package:
    """A source distribution with one module that can be broken.

    | field | meaning |
    |---|---|
    | release | its file |
    | licence | of the module and its tests |
    | module | path below the distribution's folder |
    | tests | likewise, of the file that holds its tests |
    """

    release: Release
    licence: str
    module: str
    tests: str


def _package(
    name: str, version: str, sha256: str, licence: str, *paths: str
) -> Package:
    reader = "the split ood/domain of swe_lite"
    file = f"{name}-{version}.tar.gz"
    release = Release(name, version, file, sha256, reader)
    return Package(release, licence, *paths)


PACKAGES: Mapping[str, Package] = {
    "jsmin": _package(
        "jsmin",
        "3.0.1",
        "c0959a121ef94542e807a674142606f7e90214a2b3d1eb17300244bbb5cc2bfc",
        "MIT",
        "jsmin/__init__.py",
        "jsmin/test.py",
    ),
    "jsonpointer": _package(
        "jsonpointer",
        "3.0.0",
        "2b2d729f2091522d61c3b31f82e11870f60b68f43fbc705cb76bf4b832af59ef",
        "BSD-3-Clause",
        "jsonpointer.py",
        "tests.py",
    ),
    "parse": _package(
        "parse",
        "1.19.0",
        "9ff82852bcb65d139813e2a5197627a94966245c897796760a3a2a8eb66f020b",
        "MIT",
        "parse.py",
        "test_parse.py",
    ),
    "toposort": _package(
        "toposort",
        "1.10",
        "bfbb479c53d0a696ea7402601f4e693c97b0367837c8898bc6471adfca37a6bd",
        "Apache-2.0",
        "src/toposort.py",
        "test/test_toposort.py",
    ),
}
RELEASES = tuple(package.release for package in PACKAGES.values())


@cache
def read(name: str) -> tuple[str, str]:
    """Text of the module, and of those of its tests that a sandbox can run.

    Raises ImportError if the sdist cannot be had.
    """
    package = PACKAGES[name]
    release = package.release
    folder = release.file.removesuffix(".tar.gz")
    with tarfile.open(release.path()) as archive:
        module = _text_of(archive, f"{folder}/{package.module}")
        tests = _text_of(archive, f"{folder}/{package.tests}")

    # A script's last line would run the tests, and end the process, at import.
    tests = tests.replace("\nunittest.main()", "\n")
    return module, adapt(tests)


def _text_of(archive: tarfile.TarFile, path: str) -> str:
    """A file of the distribution, with the line ends of this tree."""
    member = archive.extractfile(path)
    assert member is not None
    text = member.read().decode("utf-8")
    return text.replace("\r\n", "\n")
