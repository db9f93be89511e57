"""`scgrpo export openenv`: an environment as a package that OpenEnv's tools validate and build.

The folder holds the sources that a server needs, a Dockerfile and the manifest `openenv.yaml`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from envs.base import TextEnv
from envs.interop.arguments import add_catalogue
from envs.interop.sessions import TaskCatalogue
from envs.types import Task
from sandboxes.commands import exit_codes
from scgrpo.runs.disk import atomic_folder, disk_errors_explained

__all__ = ["NEEDED", "OPENENV", "main", "write_package"]

PROG = "scgrpo export openenv"
EXAMPLES = f"""\
examples:
  {PROG} tool_store --out packages/tool_store
  {PROG} my_module:me/my_env --source my_module.py --out packages/my_env
  openenv validate packages/tool_store --level static
  docker build -t tool_store packages/tool_store
  docker run --rm -p 8000:8000 tool_store                then serves it

Environments that run code lease sandboxes: give such a container the engine's socket,
  docker run --rm -p 8000:8000 -v /var/run/docker.sock:/var/run/docker.sock swe_lite
"""
IMAGE = "python:3.12-slim"
SOURCES = ("envs", "sandboxes")
NEEDED = ("gymnasium", "numpy", "httpx2", "docker", "filelock", "pyyaml", "rich")
"""What a server imports; of the versions that are installed here."""
OPENENV = "openenv==0.10.0"
EPISODE_S = 600.0
ORACLE_TASKS = 20
DOCKERFILE = """\
# Serves {name} by OpenEnv's protocol on port 8000.
FROM {image}
{sandbox}WORKDIR /app
COPY requirements.txt .
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "-r", "requirements.txt"]
COPY . .
ENV PYTHONPATH=/app
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \\
    CMD ["python", "-c", "{health}"]
CMD ["python", "-m", "envs.interop.serve", "{name}", "--host", "0.0.0.0"{levels}]
"""
SANDBOX = """\
RUN apt-get update \\
    && apt-get install -y --no-install-recommends bubblewrap \\
    && rm -rf /var/lib/apt/lists/*
"""
"""For an environment that runs code; any other's image needs nothing but Python."""

HEALTH = (
    "import urllib.request; "
    "urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"
)
APP = '''\
"""The ASGI application, for `openenv` and other servers than this project's own."""

from envs.interop.openenv_server import openenv_app
from envs.interop.sessions import TaskCatalogue

app = openenv_app(TaskCatalogue({name!r}, {levels!r}))
'''


def write_package(
    folder: Path,
    name: str,
    *,
    levels: Sequence[int] = (),
    sources: Sequence[Path] = (),
    image: str = IMAGE,
) -> None:
    """Writes the package of an environment.

    `sources` are files or folders of its own code. Raises ValueError for a folder that exists
    already, and for an environment that is no TextEnv or has none of the levels; DiskError.
    """
    if folder.exists():
        raise ValueError(
            f"{folder} exists; name another folder with --out, or remove it"
        )
    catalogue = TaskCatalogue(name, levels)
    root = Path(inspect.getfile(TextEnv)).parent.parent
    files = _files(catalogue, name, levels, image)
    with disk_errors_explained(folder), atomic_folder(folder) as scratch:
        for source in (*(root / part for part in SOURCES), *sources):
            _copy(source, scratch / source.name)
        for path, text in files.items():
            file = scratch / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if the disk is at fault, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Writes an environment as an OpenEnv package with a Dockerfile.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_catalogue(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="the package's folder")
    add(
        "--source",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="files and folders of your own environment",
    )
    add("--image", default=IMAGE, help="base image; default: %(default)s")
    arguments = parser.parse_args(argv)
    with exit_codes(PROG, bad_input=(ImportError, FileNotFoundError)):
        write_package(
            arguments.out,
            arguments.name,
            levels=arguments.levels,
            sources=arguments.source,
            image=arguments.image,
        )
    print(f"package: {arguments.out}")


def _files(
    catalogue: TaskCatalogue, name: str, levels: Sequence[int], image: str
) -> dict[str, str]:
    """The text of each file that is not copied."""
    words = "".join(f', "{word}"' for word in ("--levels", *levels)) if levels else ""
    runs_code = "sandboxes" in inspect.signature(type(catalogue.env)).parameters
    dockerfile = DOCKERFILE.format(
        name=name,
        image=image,
        sandbox=SANDBOX if runs_code else "",
        health=HEALTH,
        levels=words,
    )
    pins = [f"{package}=={version(package)}" for package in NEEDED]
    plays = _oracle_plays(catalogue)
    files = {
        "Dockerfile": dockerfile,
        "requirements.txt": "\n".join([*pins, OPENENV, ""]),
        "openenv.yaml": yaml.safe_dump(
            _manifest(catalogue, name, has_oracle=bool(plays)), sort_keys=False
        ),
        "server/__init__.py": '"""The server of this package."""\n',
        "server/app.py": APP.format(name=name, levels=tuple(levels)),
        "validation/canaries.json": _json(
            [
                {"split": catalogue.splits[0], "index": 0, "turns": turns}
                for turns in CANARIES
            ]
        ),
    }
    first = catalogue.task(catalogue.splits[0], 0)
    turns = plays[0]["turns"] if plays else [""]
    reset = {
        "episode_id": "validation",
        "seed": 0,
        "options": {"split": first.split, "index": 0},
    }
    files["validation/runtime.json"] = _json(
        {
            "plan_schema_version": "1",
            "reset": reset,
            "actions": [{"text": turn} for turn in turns],
        }
    )
    if plays:
        files["validation/oracle.json"] = _json(plays)
    return files


CANARIES = (
    [""],
    ["done"],
    ['{"name": "submit"}'],
    ['{"reward": 1.0, "done": true}'],
)
"""Turns that solve nothing: what plays them must get no reward."""


def _oracle_plays(catalogue: TaskCatalogue) -> list[dict[str, Any]]:
    """Turns that solve the first tasks of the first split, as resets and turns."""
    split = catalogue.splits[0]
    plays: list[dict[str, Any]] = []
    for index in range(min(ORACLE_TASKS, catalogue.count(split))):
        turns = _solution(catalogue.env, catalogue.task(split, index))
        if turns is not None:
            plays.append({"split": split, "index": index, "turns": turns})
    return plays


def _solution(env: TextEnv, task: Task) -> list[str] | None:
    try:
        return env.oracle(task)
    except NotImplementedError:
        return None


def _manifest(
    catalogue: TaskCatalogue, name: str, *, has_oracle: bool
) -> dict[str, Any]:
    """`openenv.yaml`. The oracle's script is data: resets and turns."""
    env = catalogue.env
    capabilities: dict[str, Any] = {
        "verifier": {"kind": "reward_channel"},
        "task_api": True,
        "canaries": "validation/canaries.json",
        "declared_task_count": {
            split: catalogue.count(split) for split in catalogue.splits
        },
    }
    if has_oracle:
        oracle = {"form": "script", "location": "validation/oracle.json"}
        capabilities["oracle"] = oracle
    return {
        "spec_version": 1,
        "name": name.rpartition("/")[2],
        "version": f"{env.version}.0.0",
        "type": "space",
        "runtime": "fastapi",
        "app": "server.app:app",
        "port": 8000,
        "validation": {
            "reward": {
                "range": [0.0, 1.0],
                "oracle_tolerance": 0.0,
                "floor_margin": 0.5,
            },
            "resources": {
                "cpu": 1.0,
                "memory_mb": 1024,
                "disk_mb": 1024,
                "episode_timeout_s": EPISODE_S,
            },
            "task_distribution": {"dataset_version": f"{env.name}-v{env.version}"},
            "execution": {
                "kind": "openenv_ws",
                "probe_path": "validation/runtime.json",
            },
            "capabilities": capabilities,
            "types": {"tags": ["text", "multi-turn"]},
        },
    }


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    elif source.is_file():
        shutil.copy2(source, target)
    else:
        raise FileNotFoundError(f"there is no {source}, given by --source")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
