"""`scgrpo export harbor`: tasks as folders that Harbor's agents can be run on.

Harbor (harborframework.com) builds `environment/`, lets an agent work in the container, uploads
`tests/` afterwards and runs `tests/test.sh`, which leaves the reward in a file.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from envs.base import TextEnv
from envs.code.swe_lite.grading import DEADLINE_S
from envs.types import Task
from evals.evaluation.arguments import positive, whole_number
from evals.evaluation.suites import Suite, open_envs, select_tasks
from evals.export.harbor_tasks import EXPORTS
from sandboxes.commands import exit_codes
from scgrpo.runs.disk import disk_errors_explained

__all__ = ["main", "write_task"]

PROG = "scgrpo export harbor"
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
VERIFIER_START_S = 60.0


def write_task(folder: Path, env: TextEnv, task: Task, image: str) -> Path:
    """Writes a task below `folder`, and returns the task's folder.

    Raises ValueError for an environment that has no export and for a folder that exists already,
    DiskError.
    """
    if env.name not in EXPORTS:
        known = ", ".join(EXPORTS)
        raise ValueError(f"{env.name} has no export, expected one of {known}")
    name = re.sub(r"[^a-z0-9]+", "-", f"{env.name}-{task.id}".lower())
    files = EXPORTS[env.name].files(task, image)
    files["task.toml"] = _schema(name, env, task, files)

    task_folder = folder / name
    if task_folder.exists():
        raise ValueError(
            f"{task_folder} exists; name another folder with --out, or remove it"
        )
    with disk_errors_explained(task_folder):
        for path, text in files.items():
            target = task_folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            # As bytes: a platform must not change line ends of what is graded.
            target.write_bytes(text.encode())
            if target.suffix == ".sh":
                target.chmod(0o755)
    return task_folder


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if the disk is at fault, 2 for bad arguments."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG):
        ((name, env),) = open_envs([arguments.env]).items()
        _check_choice("--split", arguments.split, env, env.splits)
        _check_choice("--level", arguments.level, env, env.levels)

        suite = Suite(name, arguments.level, arguments.split)
        tasks = select_tasks(
            suite, env.tasks(suite.split, suite.level), arguments.tasks, arguments.seed
        )
        for task in tasks:
            write_task(arguments.out, env, task, arguments.image)
        print(f"{arguments.out}: {len(tasks)} tasks of {suite}")


def _check_choice(
    option: str, value: object, env: TextEnv, known: Sequence[object]
) -> None:
    if value not in known:
        listed = ", ".join(map(str, known))
        raise ValueError(
            f"got {option} {value}, expected one of {env.name}'s: {listed}"
        )


def _schema(name: str, env: TextEnv, task: Task, files: Mapping[str, str]) -> str:
    """The text of task.toml.

    Strings are written as JSON, which TOML reads unless they hold half of a surrogate pair.
    """
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

    # Each suite of tests may take its whole deadline.
    suites = sum(path.startswith("tests/right/test_") for path in files)
    verifier_s = VERIFIER_START_S + suites * DEADLINE_S
    return SCHEMA.format(
        **quoted, level=task.level, agent_s=AGENT_S, verifier_s=verifier_s
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Writes tasks of an environment as folders in Harbor's format.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("env", metavar="ENV", help=f"one of {', '.join(EXPORTS)}")
    add("--split", default="id", help="default: id")
    add("--level", type=int, default=2, metavar="L", help="default: 2")
    add(
        "--tasks",
        type=positive,
        default=50,
        metavar="N",
        help="number of tasks to draw; default: 50",
    )
    add(
        "--seed",
        type=whole_number,
        default=0,
        metavar="S",
        help="of the draw; default: 0",
    )
    add("--image", default=IMAGE, help=f"that containers start from; default: {IMAGE}")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="each task is a folder in it",
    )
    return parser


if __name__ == "__main__":
    main()
