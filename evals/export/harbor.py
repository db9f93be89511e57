"""`python -m evals.export.harbor ENV --out DIR`: tasks as folders that Harbor's agents can be run on.

Harbor (harborframework.com) builds `environment/`, lets an agent work in the container, uploads
`tests/` afterwards and runs `tests/test.sh`, which leaves the reward in a file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import gymnasium

from envs.base import TextEnv
from envs.code.swe_lite.grading import DEADLINE_S
from envs.types import Task
from evals.evaluation.suites import Cell, choose, open_envs
from evals.export.harbor_tasks import EXPORTS
from scgrpo.runs.disk import DiskError, disk_errors_explained

__all__ = ["main", "write_task"]

PROG = "python -m evals.export.harbor"
IMAGE = "python:3.11-slim"
EXAMPLES = f"""\
examples:
  {PROG} swe_lite --split id --level 2 --tasks 50 --out harbor
  {PROG} code_fn --split ood/domain --level 1 --tasks 164 --out harbor    HumanEval
  harbor run -p harbor -a oracle                then solves each with its own solution
"""
SCHEMA = """\
schema_version = "1.1"

[task]
name = {name}
description = {description}
keywords = ["python"]

[metadata]
environment = {env}
split = {split}
level = {level}
family = {family}
task = {task}
content_hash = {content_hash}

[verifier]
timeout_sec = {verifier_s}

[agent]
timeout_sec = {agent_s}

[environment]
build_timeout_sec = 600.0
cpus = 1
memory_mb = 1024
"""
AGENT_S = 900.0


def write_task(folder: Path, env: TextEnv, task: Task, image: str) -> Path:
    """Writes a task below `folder`, and returns its own folder.

    Raises ValueError for an environment that has no export and for a folder that is there already,
    DiskError.
    """
    if env.name not in EXPORTS:
        raise ValueError(
            f"got {env.name}, wanted one of {', '.join(EXPORTS)}: it has no export"
        )
    name = re.sub(r"[^a-z0-9]+", "-", f"{env.name}-{task.id}".lower())
    files = EXPORTS[env.name].files(task, image)
    files["task.toml"] = _schema(name, env, task, files)
    made = folder / name
    if made.exists():
        raise ValueError(f"{made} exists; name another folder with --out, or remove it")
    with disk_errors_explained(made):
        for path, text in files.items():
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
            if target.suffix == ".sh":
                target.chmod(0o755)
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 where the disk is at fault, 2 for bad arguments."""
    arguments = _parser().parse_args(argv)
    try:
        ((name, env),) = open_envs([arguments.env]).items()
        _check(env, arguments)
        cell = Cell(name, arguments.level, arguments.split)
        tasks = choose(
            cell, env.tasks(cell.split, cell.level), arguments.tasks, arguments.seed
        )
        for task in tasks:
            write_task(arguments.out, env, task, arguments.image)
        print(f"{arguments.out}: {len(tasks)} tasks of {cell}")
    except (ValueError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except DiskError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)


def _check(env: TextEnv, arguments: argparse.Namespace) -> None:
    if arguments.tasks < 1:
        raise ValueError(f"got --tasks {arguments.tasks}, wanted at least 1")
    for option, got, known in (
        ("--split", arguments.split, env.splits),
        ("--level", arguments.level, env.levels),
    ):
        if got not in known:
            wanted = ", ".join(map(str, known))
            raise ValueError(
                f"got {option} {got}, wanted one of {env.name}'s: {wanted}"
            )


def _schema(name: str, env: TextEnv, task: Task, files: Mapping[str, str]) -> str:
    """Strings as JSON writes them, which TOML reads where they hold no half of a surrogate pair."""
    suites = sum(path.startswith("tests/right/test_") for path in files)
    words = {
        "name": f"scgrpo/{name}",
        "description": f"{EXPORTS[env.name].description} ({env.name}, level {task.level})",
        "env": env.name,
        "split": task.split,
        "family": task.family,
        "task": task.id,
        "content_hash": task.content_hash,
    }
    quoted = {key: json.dumps(text, ensure_ascii=False) for key, text in words.items()}
    verifier_s = 60.0 + suites * DEADLINE_S
    return SCHEMA.format(
        **quoted, level=task.level, agent_s=AGENT_S, verifier_s=verifier_s
    )


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Writes tasks of an environment as folders in Harbor's format.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("env", metavar="ENV", help=f"one of {', '.join(EXPORTS)}")
    add("--split", default="id", help="default: id")
    add("--level", type=int, default=2, help="default: 2")
    add(
        "--tasks",
        type=int,
        default=50,
        metavar="N",
        help="how many, drawn; default: 50",
    )
    add("--seed", type=int, default=0, metavar="S", help="of the draw; default: 0")
    add("--image", default=IMAGE, help=f"that containers start from; default: {IMAGE}")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="each task is a folder in it",
    )
    return made


if __name__ == "__main__":
    main()
