"""`scgrpo sandbox build`: builds the sandbox's image, if there is none of the current inputs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing

from sandboxes.base import SandboxError
from sandboxes.commands import exit_codes

__all__ = ["main"]

PROG = "scgrpo sandbox build"
DESCRIPTION = """\
Builds the image that sandboxes of the backend `docker` start from, unless it exists already. Its
name holds a hash of its inputs (sandboxes/image, sandboxes/inside, this Python), and is written
into .env for Docker Compose.
"""
EPILOG = """\
The base is python:3.11-slim. If no registry answers, it is made from this machine's own Python.
SCGRPO_BASE_IMAGE=NAME, in the environment or in .env, names another base.

examples:
  scgrpo sandbox build
  SCGRPO_BASE_IMAGE=python:3.12-slim scgrpo sandbox build
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Builds the image if it is missing."""
    parser = argparse.ArgumentParser(
        PROG,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    # `--help` should not wait for Docker's SDK.
    import docker
    from docker.errors import DockerException

    from sandboxes.image.images import image_name, prepare_image

    with exit_codes(PROG, interrupted="stopped; the same command goes on"):
        try:
            with closing(docker.from_env(timeout=120)) as client:
                image = prepare_image(client)
        except DockerException as error:
            raise SandboxError(f"no Docker engine answers: {error}") from error
        print(f"image {image_name()} is ready ({image.short_id})")


if __name__ == "__main__":
    main()
