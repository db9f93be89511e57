"""Other sandboxes to compare with, in an environment and an image of their own."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from benchmarks.peers.process import answering, environment
from sandboxes.image.base_image import add_file, base_archive, library_dependencies

HERE = Path(__file__).resolve().parent
# SWE-ReX does not name aiohttp, which its client imports.
REQUIREMENTS = ("swe-rex==1.4.0", "aiohttp>=3.13", "llm-sandbox[docker]==0.3.46")
PROGRAMS = ("sh", "bash", "mkdir", "cat", "rm")
REPOSITORY = "scgrpo-peers"
IDLE = 'CMD ["python3", "-c", "import time; time.sleep(86400)"]'


@contextmanager
def peers(
    client: docker.DockerClient, code: str
) -> Iterator[dict[str, Callable[[], float]]]:
    """By peer that works here, a function that runs `code` in it and returns the seconds."""
    try:
        python = environment("sandbox", REQUIREMENTS)
        image = _image(client, python)
    except (subprocess.CalledProcessError, DockerException, OSError) as error:
        print(f"[bench] the peers are left out: {error}", file=sys.stderr)
        yield {}
        return
    command = [str(python), str(HERE / "sandbox_side.py"), image, code]
    with answering(command) as actions:
        yield actions


def _image(client: docker.DockerClient, python: Path) -> str:
    """Name of an image with this machine's Python, the peers, and the programs that they call."""
    packages = next(python.parents[1].glob("lib/python3*/site-packages"))
    name = f"{REPOSITORY}:{python.parents[1].name}"
    try:
        client.images.get(name)
    except ImageNotFound:
        changes = ["ENV PYTHONPATH=/peers", IDLE]
        client.api.import_image_from_data(
            _archive(packages), REPOSITORY, python.parents[1].name, changes=changes
        )
    return name


def _archive(packages: Path) -> bytes:
    base = base_archive()
    buffer = io.BytesIO(base)
    paths = [shutil.which(name) for name in PROGRAMS]
    programs = [Path(path) for path in paths if path]
    with tarfile.open(fileobj=io.BytesIO(base)) as archive:
        in_base = set(archive.getnames())
    libraries = library_dependencies([*programs, *packages.rglob("*.so")])
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        archive.add(packages, "peers")
        for path in sorted({*programs, *libraries}):
            if str(path).lstrip("/") not in in_base:
                add_file(archive, path)
    return buffer.getvalue()
