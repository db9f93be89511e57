"""What the folder of a Harbor task holds, by environment."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from envs import parsing, plain
from envs.code import driver, evidence, observe, values, vet, vet_names, vet_tables
from envs.code.fn.tasks import calls_of, problem_of, reference
from envs.code.swe_lite import corpus
from envs.code.swe_lite.grading import DEADLINE_S
from envs.code.swe_lite.tasks import REPOSITORY, rows_in
from envs.code.witness import witness_text
from envs.types import Task
from evals.export.harbor_files import grade as harbor_grade
from evals.export.harbor_files import hide as harbor_hide

__all__ = ["EXPORTS", "Export"]

# Programs as lists, and no entry point: a base image may have an entry point and no shell.
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
    | files | task, image that containers start from -> its files by path |
    """

    description: str
    files: Callable[[Task, str], dict[str, str]]


def _common(image: str, prompt: str, judges: Mapping[str, Any]) -> dict[str, str]:
    """What every task has. `judges`: module -> how `harbor_grade` judges it."""
    names = ", ".join(json.dumps(name) for name in judges)
    copies = "".join(f"cp /solution/{name}.py /app/{name}.py\n" for name in judges)
    expected = {"timeout_s": DEADLINE_S, "modules": judges}
    files = {
        "instruction.md": prompt,
        "environment/Dockerfile": DOCKERFILE.format(image=image, modules=names),
        "environment/hide.py": _text_of(harbor_hide),
        "solution/solve.sh": SOLVE + copies,
        "tests/test.sh": TEST,
        "tests/expected.json": json.dumps(expected, indent=1),
        "tests/grade.py": _text_of(harbor_grade),
        # What the files below import, by the names that it has in this tree.
        "tests/envs/__init__.py": "",
        "tests/envs/parsing.py": _text_of(parsing),
        "tests/envs/plain.py": _text_of(plain),
        "tests/envs/code/__init__.py": "",
        "tests/envs/code/vet_names.py": _text_of(vet_names),
        "tests/envs/code/vet_tables.py": _text_of(vet_tables),
    }
    # Flat, because the grader imports them as scripts that lie next to it.
    for part in (driver, evidence, observe, values, vet):
        name = part.__name__.rpartition(".")[2]
        files[f"tests/{name}.py"] = _text_of(part)
    return files


def _swe_files(task: Task, image: str) -> dict[str, str]:
    """The files of a `swe_lite` task: hidden tests and right code are in `tests/`, `solution/`.

    The repair is judged as `envs.code.swe_lite.grading.grade` does, but in the agent's container.
    """
    packages, texts = {}, {}
    for row in rows_in(task):
        package = row.package
        packages[package.name] = package
        texts[package.name] = row.broken
    # A repository holds a second package that is right as it is.
    if task.level == REPOSITORY:
        idle = corpus.source(task.payload["idle"])
        packages[idle.name], texts[idle.name] = idle, idle.text

    changed = " and ".join(f"`{package.file}`" for package in packages.values())
    prompt = REPAIR.format(prompt=task.prompt, files=changed)
    judges = {name: {"tests": package.all_ids} for name, package in packages.items()}
    files = _common(image, prompt, judges)
    for name, package in packages.items():
        files |= {
            f"environment/app/{package.file}": texts[name],
            f"environment/app/{package.test_file}": package.visible,
            f"tests/right/{package.file}": package.text,
            f"tests/right/{package.test_file}": package.tests,
            f"tests/right/witness_{package.file}": witness_text(name),
            f"solution/{package.file}": package.text,
        }
    return files


def _fn_files(task: Task, image: str) -> dict[str, str]:
    """The files of a `code_fn` task.

    The process that makes the calls holds no value that they should give.
    """
    problem, right = problem_of(task), reference(task)
    if problem is None:
        start, judge = _judge_of_calls(task)
    else:
        start = problem.prompt
        judge = {"entry": problem.entry, "check": problem.check()}

    visible = calls_of(task, hidden=False)
    prompt = WRITE.format(prompt=task.prompt, trial=TRIAL if visible else "")
    files = _common(image, prompt, {"solution": judge})
    if visible:
        files["environment/app/test_solution.py"] = _test_module(visible)
    return {
        **files,
        "environment/app/solution.py": start,
        "tests/right/solution.py": right,
        "solution/solution.py": right,
    }


def _judge_of_calls(task: Task) -> tuple[str, dict[str, Any]]:
    """The code that an agent starts from, and the judge, of a task with generated calls."""
    name, xs = task.payload["name"], task.payload["xs"]
    start = f"def {name}({xs}):\n    raise NotImplementedError\n"
    calls = calls_of(task, hidden=True)
    # A call is `name(argument)` as text.
    arguments = [ast.literal_eval(call[len(name) + 1 : -1]) for call in calls]
    results = [ast.literal_eval(value) for value in calls.values()]
    judge = {
        "entry": name,
        "arguments": [observe.encode([argument]) for argument in arguments],
        "values": [observe.encode(result) for result in results],
    }
    return start, judge


def _test_module(calls: Mapping[str, str]) -> str:
    """A test module that makes calls of `solution`; `calls`: call -> `repr` of its result."""
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
"""Environments that have an export."""
