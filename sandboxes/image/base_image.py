"""A base image from this machine's own Python, for machines that no image registry answers."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

from sandboxes.base import SandboxError

__all__ = ["base_archive"]

# Parts of the standard library that no task needs, or that would need libraries of a desktop.
EXCLUDED = {
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tkinter",
    "turtledemo",
}
EXCLUDED_PATTERN = re.compile(
    r"config-3.*|_tkinter\..*|_test.*\.so|_ctypes_test\..*|xx.*\.so|.*\.opt-[12]\.pyc|.*\.a"
)
# The interpreter's own folders, also when a virtual environment runs this.
PREFIXES = {
    "base": sys.base_prefix,
    "platbase": sys.base_exec_prefix,
    "installed_base": sys.base_prefix,
    "installed_platbase": sys.base_exec_prefix,
}
LOCALES = (Path("/usr/lib/locale/C.utf8"), Path("/usr/lib/locale/C.UTF-8"))
"""Folders of C.UTF-8: Debian's name and that of others. glibc 2.35 and later know both."""

TIME_ZONES = Path("/usr/share/zoneinfo")
DUPLICATE_ZONES = {"posix", "right"}
"""The same zones again, without and with leap seconds."""

TABLES = (Path("/etc/services"), Path("/etc/protocols"), Path("/lib/terminfo"))
"""Names of ports and protocols, and what the usual terminals can do."""

_FOLDERS = {"tmp": 0o1777, "usr/bin": 0o755, "proc": 0o755, "var": 0o755}
FILES = {
    "etc/passwd": "root:x:0:0::/:/none\nnobody:x:65534:65534::/:/none\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 sandbox\n",
}


def base_archive() -> bytes:
    """A tar archive of a root file system that holds Python and no other program.

    Every file has the path that it has here, so that the interpreter finds its library.
    Raises SandboxError if the libraries of this Python cannot be listed.
    """
    binary = Path(sys.executable).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder, mode in _FOLDERS.items():
            add_folder(archive, folder, mode)

        for path in sorted(interpreter_files(binary)):
            add_file(archive, path)
        for path in (*locale_files(), *time_zone_files(), *table_files()):
            add_file(archive, path)

        for name in ("python", "python3", version):
            if binary != Path("/usr/bin", name):
                add_link(archive, f"usr/bin/{name}", str(binary))
        add_link(archive, "var/tmp", "/tmp")
        for name, text in FILES.items():
            add_text(archive, name, text)
    return buffer.getvalue()


def interpreter_files(binary: Path) -> set[Path]:
    """The interpreter, its standard library, and the shared libraries of both."""
    library = list(library_files())
    extensions = [path for path in library if path.suffix == ".so"]
    libraries = library_dependencies([binary, *extensions])
    return {binary, *library, *libraries, *late_libraries(libraries)}


def library_files() -> Iterator[Path]:
    """Files of the standard library that the image gets, compiled ones included."""
    names = ("stdlib", "platstdlib")
    roots = {Path(sysconfig.get_path(name, vars=PREFIXES)) for name in names}
    for root in sorted(roots):
        for path in root.rglob("*"):
            if path.is_file() and not is_excluded(path.relative_to(root)):
                yield path


def is_excluded(path: Path) -> bool:
    """Whether a path inside the standard library stays out of the image."""
    if EXCLUDED.intersection(path.parts):
        return True
    return any(EXCLUDED_PATTERN.fullmatch(part) for part in path.parts)


def locale_files() -> Iterator[Path]:
    """Files of the locale C.UTF-8, which is in LANG; none if this machine lacks it."""
    for folder in LOCALES:
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def time_zone_files() -> Iterator[Path]:
    """Files of the time zones; none if this machine lacks them."""
    for path in sorted(TIME_ZONES.rglob("*")):
        if path.is_file() and not DUPLICATE_ZONES.intersection(path.parts):
            yield path


def table_files() -> Iterator[Path]:
    """Files of the tables that programs look up; those that this machine lacks are left out."""
    for table in TABLES:
        if table.is_file():
            yield table
        yield from sorted(path for path in table.rglob("*") if path.is_file())


def library_dependencies(programs: list[Path]) -> set[Path]:
    """Shared libraries that the programs load, the loader included, by the paths in the programs.

    Raises SandboxError if one is missing, or if they cannot be listed.
    """
    try:
        listing = subprocess.run(
            ["ldd", *map(str, programs)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(
            f"ldd cannot list the libraries of {programs[0]}: {error}"
        ) from error

    missing = re.findall(r"(\S+) => not found", listing.stdout)
    if missing:
        raise SandboxError(
            f"this Python lacks the shared libraries {', '.join(sorted(missing))}"
        )
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", listing.stdout)}


def late_libraries(libraries: Collection[Path]) -> Iterator[Path]:
    """What the C library itself loads on demand, so that `ldd` does not list it.

    Without it a thread that still runs when its process ends, such as asyncio's that waits for a
    child, aborts: "libgcc_s.so.1 must be installed for pthread_exit to work".
    """
    for path in libraries:
        helper = path.with_name("libgcc_s.so.1")
        if path.name.startswith("libc.so") and helper.exists():
            yield helper


def add_file(archive: tarfile.TarFile, path: Path) -> None:
    """Adds the contents behind `path` under that path, owned by root."""
    source = path.resolve()
    info = archive.gettarinfo(str(source), arcname=str(path).lstrip("/"))
    # A file with two hard links would become a link to a member that is not there.
    info.type, info.linkname = tarfile.REGTYPE, ""
    info.size = source.stat().st_size
    info.mode = 0o755 if info.mode & 0o111 else 0o644
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    with source.open("rb") as file:
        archive.addfile(info, file)


def add_folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    """Adds an empty folder, owned by root."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    archive.addfile(info)


def add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    """Adds a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    archive.addfile(info)


def add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    """Adds a file of ASCII text, owned by root."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text), 0o644
    archive.addfile(info, io.BytesIO(text.encode()))
