"""`python -m sandboxes.image.build`: makes the sandbox's image, where there is none of today's inputs.

Its tag is the hash of its inputs, so two checkouts with different code have an image each, and
neither renames or removes one that the other may use. `.env` tells the tag to Compose.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from docker.models.images import Image

from sandboxes.base import SandboxError
from sandboxes.image.base_image import base_archive
from sandboxes.inside.settings import INSIDE
from sandboxes.limits import COMPOSE_FILE

__all__ = ["image_name", "image_now", "inputs_hash", "prepare_image"]

CONTEXT = Path(__file__).resolve().parents[1]
INPUTS = (
    "image/Dockerfile",
    "image/base_image.py",
    "image/prepare_image.py",
    *(f"inside/{name}" for name in INSIDE),
)
ENV_FILE = COMPOSE_FILE.with_name(".env")
BASE_VARIABLE, IMAGE_VARIABLE = "SCGRPO_BASE_IMAGE", "SCGRPO_SANDBOX_IMAGE"
REPOSITORY, OFFLINE_BASE = "scgrpo-sandbox", "scgrpo-base"
INPUTS_LABEL = "scgrpo.inputs"


def image_name() -> str:
    """Name of the image of today's inputs. Raises SandboxError."""
    return f"{REPOSITORY}:{inputs_hash()}"


def inputs_hash() -> str:
    """Changes whenever the image has to be made anew. Raises SandboxError for a missing input."""
    digest = hashlib.sha256(f"{sys.version} {chosen_base()}".encode())
    for name in INPUTS:
        try:
            digest.update(hashlib.sha256((CONTEXT / name).read_bytes()).digest())
        except OSError as error:
            raise SandboxError(
                f"cannot read {CONTEXT / name}: {error.strerror}"
            ) from error
    return digest.hexdigest()[:12]


def image_now(client: docker.DockerClient) -> Image | None:
    """The image if it is there and made of today's inputs. Raises SandboxError.

    The label is what counts: `docker compose build` may have put newer code under an older tag.
    """
    try:
        image = client.images.get(image_name())
    except ImageNotFound:
        return None
    return image if image.labels.get(INPUTS_LABEL) == inputs_hash() else None


def prepare_image(client: docker.DockerClient) -> Image:
    """The image, made if it is missing; Compose is told of it. Raises SandboxError."""
    try:
        image = image_now(client) or build(client, usable_base(client))
    except (BuildError, DockerException, OSError) as error:
        raise SandboxError(f"cannot make the image {image_name()}: {error}") from error
    # A checkout that cannot be written has no Compose of its own to tell.
    with suppress(OSError):
        remember(IMAGE_VARIABLE, image_name())
    return image


def build(client: docker.DockerClient, base: str) -> Image:
    """Makes the image; the name goes to it only if nobody else was faster."""
    image, _ = client.images.build(
        path=str(CONTEXT),
        dockerfile="image/Dockerfile",
        buildargs={"BASE_IMAGE": base, "INPUTS": inputs_hash()},
        network_mode="none",
        rm=True,
        forcerm=True,
    )
    if made := image_now(client):
        return made
    image.tag(REPOSITORY, inputs_hash())
    return image


def remembered(variable: str) -> str:
    """What `.env` says a variable is; else empty."""
    text = ENV_FILE.read_text() if ENV_FILE.exists() else ""
    lines = re.findall(rf"^{variable}=(.*)$", text, re.MULTILINE)
    return lines[-1].strip() if lines else ""


def remember(variable: str, value: str) -> None:
    """Writes a variable into `.env`, where Compose finds it, and keeps every other line."""
    if remembered(variable) == value:
        return
    text = ENV_FILE.read_text() if ENV_FILE.exists() else ""
    kept = [line for line in text.splitlines() if not line.startswith(f"{variable}=")]
    with tempfile.NamedTemporaryFile(
        "w", dir=ENV_FILE.parent, prefix=".env-", delete=False
    ) as file:
        file.write("\n".join([*kept, f"{variable}={value}", ""]))
    mode = ENV_FILE.stat().st_mode if ENV_FILE.exists() else 0o644
    os.chmod(file.name, mode & 0o777)
    os.replace(file.name, ENV_FILE)


def chosen_base() -> str:
    """The base image that somebody asked for, in the environment or in `.env`; else empty."""
    chosen = os.environ.get(BASE_VARIABLE) or remembered(BASE_VARIABLE)
    return "" if chosen.startswith(f"{OFFLINE_BASE}:") else chosen


def usable_base(client: docker.DockerClient) -> str:
    """The base asked for, else the Dockerfile's own, else one made from this machine's Python.

    The last is written into `.env`, where `docker compose build` finds it.
    """
    if base := chosen_base():
        return base
    default = re.search(
        r"^ARG BASE_IMAGE=(\S+)", (CONTEXT / "image/Dockerfile").read_text(), re.M
    )
    assert default is not None
    if has_or_pulls(client, default[1]):
        return default[1]
    base = offline_base(client)
    remember(BASE_VARIABLE, base)
    return base


def has_or_pulls(client: docker.DockerClient, name: str) -> bool:
    """Whether the image is on this machine now, from a registry if need be."""
    try:
        client.images.get(name)
    except ImageNotFound:
        try:
            client.images.pull(name)
        except (APIError, OSError):
            return False
    return True


def offline_base(client: docker.DockerClient) -> str:
    """Name of the base image made from this machine's own Python."""
    source = (CONTEXT / "image/base_image.py").read_bytes()
    version = hashlib.sha256(
        f"{sys.version} {sys.base_prefix}".encode() + source
    ).hexdigest()
    name = f"{OFFLINE_BASE}:{version[:16]}"
    try:
        client.images.get(name)
    except ImageNotFound:
        client.api.import_image_from_data(base_archive(), OFFLINE_BASE, version[:16])
    return name


def main() -> int:
    try:
        with closing(docker.from_env(timeout=120)) as client:
            image = prepare_image(client)
    except (DockerException, SandboxError) as error:
        print(f"[sandbox] no image: {error}", file=sys.stderr)
        return 1
    print(f"[sandbox] image {image_name()} is ready ({image.short_id})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
