"""How a task of `swe_lite` is solved: the calls that repair it, and the texts that decide."""

from __future__ import annotations

import json

from envs.code.swe_lite.tasks import REPOSITORY, rows_in
from envs.toolspec import render_call
from envs.types import Task

__all__ = ["critical_texts", "right_calls"]


def right_calls(task: Task) -> list[str]:
    """The calls that repair every wrong line, without a test run and the submission."""
    rows = rows_in(task)
    if task.level == 0:
        return [render_call("apply", candidate=rows[0].answer)]

    calls: list[str] = []
    for row in rows:
        for number, line in zip(row.numbers, row.right, strict=True):
            edit = {"line": number, "text": line.strip()}
            if task.level == REPOSITORY:
                path = row.package.file
                call = render_call("edit_file", path=path, **edit)
            else:
                call = render_call("edit", **edit)
            calls.append(call)
    return calls


def critical_texts(task: Task) -> list[str]:
    """What decides, as `right_calls` writes it: a candidate's number or the right lines."""
    rows = rows_in(task)
    if task.level == 0:
        return [f'"candidate": {rows[0].answer}']

    texts: list[str] = []
    for row in rows:
        for line in row.right:
            text = json.dumps(line.strip(), ensure_ascii=False)
            texts.append(text)
    return texts
