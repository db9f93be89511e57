"""The sandbox's image: its name, its inputs, and how it is built if there is none of them.

Its tag is the hash of its inputs, so two checkouts with different code have an image each, and
neither renames or removes one that the other may use. `.env` passes the tag on to Compose.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound
from docker.models.images import Image

from sandboxes.base import SandboxError
from sandboxes.image.base_image import base_archive
from sandboxes.inside.settings import INSIDE
from sandboxes.limits import COMPOSE_FILE, compose_limits

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
    """Name of the image of the current inputs. Raises SandboxError."""
    return f"{REPOSITORY}:{inputs_hash()}"


def inputs_hash() -> str:
    """Changes whenever the image has to be rebuilt. Raises SandboxError for a missing input."""
    ids = compose_limits().user_ids
    digest = hashlib.sha256(f"{sys.version} {chosen_base()} {ids}".encode())
    for name in INPUTS:
        path = CONTEXT / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SandboxError(f"cannot read {path}: {error.strerror}") from error
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def image_now(client: docker.DockerClient) -> Image | None:
    """The image if it exists and was built from the current inputs. Raises SandboxError.

    The label is what counts: `docker compose build` may have put newer code under an older tag.
    """
    try:
        image = client.images.get(image_name())
    except ImageNotFound:
        return None
    return image if image.labels.get(INPUTS_LABEL) == inputs_hash() else None


def prepare_image(client: docker.DockerClient) -> Image:
    """The image, built if it is missing; its name goes to Compose. Raises SandboxError."""
    try:
        image = image_now(client) or build(client, usable_base(client))
    except (BuildError, DockerException, OSError) as error:
        raise SandboxError(f"cannot build the image {image_name()}: {error}") from error
    # A checkout that cannot be written has no Compose of its own.
    with suppress(OSError):
        set_variable(IMAGE_VARIABLE, image_name())
    return image


def build(client: docker.DockerClient, base: str) -> Image:
    """Builds the image and names it, unless another process was faster."""
    image, _ = client.images.build(
        path=str(CONTEXT),
        dockerfile="image/Dockerfile",
        buildargs={
            "BASE_IMAGE": base,
            "USER_IDS": compose_limits().user_ids,
            "INPUTS": inputs_hash(),
        },
        network_mode="none",
        rm=True,
        forcerm=True,
    )
    existing = image_now(client)
    if existing:
        return existing
    image.tag(REPOSITORY, inputs_hash())
    return image


def variable(name: str) -> str:
    """The value of a variable in `.env`; empty if it is not set there."""
    text = ENV_FILE.read_text() if ENV_FILE.exists() else ""
    values = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return values[-1].strip() if values else ""


def set_variable(name: str, value: str) -> None:
    """Writes a variable into `.env`, where Compose reads it, and keeps every other line."""
    if variable(name) == value:
        return
    text = ENV_FILE.read_text() if ENV_FILE.exists() else ""
    lines = [line for line in text.splitlines() if not line.startswith(f"{name}=")]
    lines.append(f"{name}={value}")

    # Replaced in one step: another process may read or write the file at the same time.
    with tempfile.NamedTemporaryFile(
        "w", dir=ENV_FILE.parent, prefix=".env-", delete=False
    ) as file:
        file.write("\n".join([*lines, ""]))
    mode = ENV_FILE.stat().st_mode if ENV_FILE.exists() else 0o644
    os.chmod(file.name, mode & 0o777)
    os.replace(file.name, ENV_FILE)


def chosen_base() -> str:
    """The base image that the environment or `.env` names; else empty."""
    name = os.environ.get(BASE_VARIABLE) or variable(BASE_VARIABLE)
    # Our own offline base stands there for Compose only; no user chose it.
    return "" if name.startswith(f"{OFFLINE_BASE}:") else name


def usable_base(client: docker.DockerClient) -> str:
    """The chosen base, else the Dockerfile's own, else one made from this machine's Python.

    The last is written into `.env`, where `docker compose build` finds it.
    """
    base = chosen_base()
    if base:
        return base
    dockerfile = (CONTEXT / "image/Dockerfile").read_text()
    default = re.search(r"^ARG BASE_IMAGE=(\S+)", dockerfile, re.MULTILINE)
    assert default is not None
    if has_or_pulls(client, default[1]):
        return default[1]
    base = offline_base(client)
    set_variable(BASE_VARIABLE, base)
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
    """Name of the base image made from this machine's own Python, imported if it is missing."""
    recipe = (CONTEXT / "image/base_image.py").read_bytes()
    python = f"{sys.version} {sys.base_prefix}".encode()
    tag = hashlib.sha256(python + recipe).hexdigest()[:16]
    name = f"{OFFLINE_BASE}:{tag}"
    try:
        client.images.get(name)
    except ImageNotFound:
        client.api.import_image_from_data(base_archive(), OFFLINE_BASE, tag)
    return name
