"""What the folder of a Harbor task holds, by environment."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from envs import parsing
from envs.code import driver, evidence, observe, values, vet, vet_tables
from envs.code.fn.tasks import calls_of, problem_of, reference
from envs.code.swe_lite import corpus
from envs.code.swe_lite.grading import DEADLINE_S
from envs.code.swe_lite.tasks import REPOSITORY, rows_in
from envs.code.witness import witness_text
from envs.types import Task
from evals.export.harbor_files import grade as harbor_grade
from evals.export.harbor_files import hide as harbor_hide

__all__ = ["EXPORTS", "Export"]

# Programs in the form of lists, and no entry point: a base need have no shell, and may have one.
DOCKERFILE = """\
FROM {image}
ENTRYPOINT []
COPY hide.py /tmp/hide.py
RUN ["python3", "-I", "/tmp/hide.py", {modules}]
WORKDIR /app
COPY app /app
"""
REPAIR = """\
{prompt}

The code is in `/app`. Repair it by changing {files} there, and nothing else. `python3 -m unittest`
in that folder runs the tests that you may see; others are run when you are done. A change that
brings in new ways out of the module (imports beyond a short list, `getattr`, `open`) is refused.
"""
WRITE = """\
{prompt}

Write it into `/app/solution.py`, and change nothing else.{trial} Other calls are tried when you are
done.
"""
TRIAL = " `python3 -m unittest` in that folder makes the calls that you may see."
TEST = """\
#!/bin/sh
exec python3 -s -E /tests/grade.py /app /logs/verifier/reward.txt
"""
SOLVE = """\
#!/bin/sh
set -e
"""


@dataclass(frozen=True)
class Export:
    """How tasks of an environment become folders.

    | field | meaning |
    |---|---|
    | description | of any of its tasks |
    | files | of a task by path, in containers that start from an image |
    """

    description: str
    files: Callable[[Task, str], dict[str, str]]


def _common(image: str, prompt: str, judges: Mapping[str, Any]) -> dict[str, str]:
    """What every task has. `judges`: module -> how `harbor_grade` judges it."""
    parts = (driver, evidence, observe, values, vet)
    # What `vet` imports, by the names that it has in this tree.
    shared = {
        "tests/envs/__init__.py": "",
        "tests/envs/parsing.py": _text_of(parsing),
        "tests/envs/code/__init__.py": "",
        "tests/envs/code/vet_tables.py": _text_of(vet_tables),
    }
    return {
        "instruction.md": prompt,
        "environment/Dockerfile": DOCKERFILE.format(
            image=image, modules=", ".join(json.dumps(name) for name in judges)
        ),
        "environment/hide.py": _text_of(harbor_hide),
        "tests/test.sh": TEST,
        "tests/grade.py": _text_of(harbor_grade),
        **{
            f"tests/{one.__name__.rpartition('.')[2]}.py": _text_of(one)
            for one in parts
        },
        **shared,
        "tests/wanted.json": json.dumps(
            {"timeout_s": DEADLINE_S, "modules": judges}, indent=1
        ),
        "solution/solve.sh": SOLVE
        + "".join(f"cp /solution/{name}.py /app/{name}.py\n" for name in judges),
    }


def _swe_files(task: Task, image: str) -> dict[str, str]:
    """Of `swe_lite`: tests that it hides, and the right code, are below `tests/` and `solution/`.

    The wanted repair is judged as `envs.code.swe_lite.grading.grade` does, but in the agent's own container.
    """
    rows = rows_in(task)
    packages = {row.package.name: row.package for row in rows}
    given = {row.package.name: row.broken for row in rows}
    if task.level == REPOSITORY:
        idle = corpus.source(task.payload["idle"])
        packages[idle.name], given[idle.name] = idle, idle.text
    changed = " and ".join(f"`{one.file}`" for one in packages.values())
    prompt = REPAIR.format(prompt=task.prompt, files=changed)
    files = _common(
        image, prompt, {name: {"tests": one.all_ids} for name, one in packages.items()}
    )
    for name, package in packages.items():
        files |= {
            f"environment/app/{package.file}": given[name],
            f"environment/app/{package.test_file}": package.visible,
            f"tests/right/{package.file}": package.text,
            f"tests/right/{package.test_file}": package.tests,
            f"tests/right/witness_{package.file}": witness_text(name),
            f"solution/{package.file}": package.text,
        }
    return files


def _fn_files(task: Task, image: str) -> dict[str, str]:
    """Of `code_fn`. What calls should give is never in the process that makes them."""
    problem, right = problem_of(task), reference(task)
    if problem is None:
        name, xs = task.payload["name"], task.payload["xs"]
        begun = f"def {name}({xs}):\n    raise NotImplementedError\n"
        calls = calls_of(task, hidden=True)
        arguments = [[ast.literal_eval(call[len(name) + 1 : -1])] for call in calls]
        judge = {
            "entry": name,
            "arguments": [observe.encode(one) for one in arguments],
            "values": [
                observe.encode(ast.literal_eval(value)) for value in calls.values()
            ],
        }
    else:
        begun, judge = (
            problem.prompt,
            {"entry": problem.entry, "check": problem.check()},
        )
    seen = calls_of(task, hidden=False)
    prompt = WRITE.format(prompt=task.prompt, trial=TRIAL if seen else "")
    trial = {"environment/app/test_solution.py": _suite(seen)} if seen else {}
    return {
        **_common(image, prompt, {"solution": judge}),
        **trial,
        "environment/app/solution.py": begun,
        "tests/right/solution.py": right,
        "solution/solution.py": right,
    }


def _suite(calls: Mapping[str, str]) -> str:
    """A test module that makes calls of `solution`; `calls`: call -> `repr` of what it gives."""
    tests = "".join(
        f"\n    def test_{number}(self):\n"
        f"        self.assertEqual(repr(solution.{call}), {value!r})\n"
        for number, (call, value) in enumerate(calls.items())
    )
    return f"import unittest\n\nimport solution\n\n\nclass Calls(unittest.TestCase):{tests}"


def _text_of(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text("utf-8")


EXPORTS: Mapping[str, Export] = {
    "code_fn": Export("Write a function", _fn_files),
    "swe_lite": Export("Repair code until its tests pass", _swe_files),
}
"""Those that have an export."""
