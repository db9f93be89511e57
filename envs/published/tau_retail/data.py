"""tau-bench's retail shop, its policy and its tasks, as they were published (MIT licence)."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from envs.parsing import parse
from envs.releases import RepositoryFile

__all__ = ["FILES", "Action", "Case", "Table", "cases", "policy", "table"]

REPOSITORY = ("sierra-research/tau-bench", "59a200c6d575d595120f1cb70fea53cef0632f6b")
FOLDER = "tau_bench/envs/retail"

Table = Literal["orders", "products", "users"]


def _tasks_as_json(content: bytes) -> bytes:
    """The list of tasks that a Python module assigns, as JSON; nothing of the module runs.

    Raises ValueError for a module of another form.
    """
    try:
        tree = parse(content)
    except SyntaxError as error:
        raise ValueError(f"no Python module: {error}") from error
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    if len(values) != 1:
        raise ValueError(f"{len(values)} assignments, expected one list of tasks")
    return json.dumps(_value(values[0]), indent=0).encode()


def _value(node: ast.expr) -> Any:
    """A record of its arguments for a call, such as `Task(...)`; else the literal's value."""
    if isinstance(node, ast.Call) and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)


_TABLES = {
    "orders": "2598a12586d28f2d6bd16bc86f4c800029b6af18e0abb5c475ef5c869c11ced1",
    "products": "a9eabcc1a9742c5f5288c2779acce52b9308423383ed24706bbaf0889f762a0f",
    "users": "6f4fd104cc5e80b92166c4035315c31532c6cea52a90dcdf18425ee7f87c2b82",
}
_TASKS = {
    "train": "3b798e2cac31ec52bc5361c604d66cfb54f82be262fe2d2b1ecd34515712e209",
    "test": "5d46b7c19a3bb3456f1161b4df79ac42997938c76c6ede692b58aa0f90a433cd",
}
_POLICY = "wiki.md"

FILES: Mapping[str, RepositoryFile] = {
    **{
        name: RepositoryFile(
            *REPOSITORY, f"{FOLDER}/data/{name}.json", sha256, f"tau_retail/{name}.json"
        )
        for name, sha256 in _TABLES.items()
    },
    **{
        f"tasks_{name}": RepositoryFile(
            *REPOSITORY,
            f"{FOLDER}/tasks_{name}.py",
            sha256,
            f"tau_retail/tasks_{name}.json",
            convert=_tasks_as_json,
        )
        for name, sha256 in _TASKS.items()
    },
    _POLICY: RepositoryFile(
        *REPOSITORY,
        f"{FOLDER}/{_POLICY}",
        "d539fd2a46a8b8dd2e934ff9ed92f43e9f6b56bc7a718db8d2803ba8ad8f6bf7",
        f"tau_retail/{_POLICY}",
    ),
}


@dataclass(frozen=True)
class Action:
    """A call of a tool."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A customer, what the customer wants, and the calls that an agent should make."""

    instruction: str
    actions: Sequence[Action]


@cache
def table(name: Table) -> Mapping[str, Mapping[str, Any]]:
    """The shop's records by id, which nobody may change. Raises MissingDataError."""
    return json.loads(FILES[name].path().read_bytes())


@cache
def policy() -> str:
    """What an agent may do, in Markdown. Raises MissingDataError."""
    return FILES[_POLICY].path().read_text("utf-8").strip()


@cache
def cases(split: Literal["train", "test"]) -> Sequence[Case]:
    """The tasks of the authors' split, in the order of its file. Raises MissingDataError."""
    rows = json.loads(FILES[f"tasks_{split}"].path().read_bytes())
    return [_case(row) for row in rows]


def _case(row: Mapping[str, Any]) -> Case:
    actions = [Action(action["name"], action["kwargs"]) for action in row["actions"]]
    return Case(row["instruction"].strip(), actions)
