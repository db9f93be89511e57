"""What is handed in of a task of `swe_lite`, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping

from envs.code.swe_lite.grading import all_of, grade
from envs.code.swe_lite.tasks import rows_in
from envs.code.swe_lite.workspace import Workspace
from envs.types import Task, Verdict
from sandboxes.base import SandboxPool

__all__ = ["agent_prompt", "starting_texts", "verdict_of"]


def starting_texts(task: Task, space: Workspace) -> dict[str, str]:
    """The text of each module as the task starts, by path."""
    texts = {path: source.text for path, source in space.sources.items()}
    for row in rows_in(task):
        texts[row.package.file] = row.broken
    return texts


def verdict_of(
    pool: SandboxPool, task: Task, space: Workspace, texts: Mapping[str, str]
) -> Verdict:
    """Passed if every broken or changed module passes all tests of its own, and its witness.

    Raises SandboxError if two sandboxes broke: there is no verdict then.
    """
    started = starting_texts(task, space)
    failing = {row.package.file: row.failing for row in rows_in(task)}
    verdicts: list[Verdict] = []
    for path, text in texts.items():
        # A right module that was left alone needs no verdict.
        if path not in failing and text == started[path]:
            continue
        source = space.sources[path]
        verdicts.append(grade(pool, source, text, failing.get(path, ())))
    return all_of(verdicts)


def agent_prompt(task: Task, space: Workspace) -> str:
    """The task's prompt, and how an agent with a shell works on it."""
    modules = ", ".join(space.sources)
    tests = [source.test_file for source in space.sources.values()]
    commands = " or ".join(f"`python -m unittest {test}`" for test in tests)
    return (
        f"{task.prompt}\n\n"
        f"The files are in the current directory. What counts is the final text of {modules}: "
        f"every test must pass, hidden ones included. Run the tests with {commands}."
    )
