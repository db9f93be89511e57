"""An environment for TRL's trainers: `environment_factory` and the dataset that goes with it.

    GRPOTrainer(..., environment_factory=environment_factory("tool_store"),
                train_dataset=task_dataset("tool_store"))

TRL shows a model the methods of a class as tools, from their signatures and docstrings; so this
module makes a class whose methods are an environment's tools, each of them one turn. TRL itself is
not imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from envs.interop.sessions import Session, TaskCatalogue
from envs.toolspec import Malformed, parse_call, render_call
from envs.types import Task, as_messages
from sandboxes import SandboxPool

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["TaskEnvironment", "environment_factory", "task_dataset"]

ASKED_TASKS = 20
"""How many tasks of each level are asked for their tools."""
OVER = "The episode is over. Stop calling tools."
SAY = {
    "name": "say",
    "description": "Write a turn of plain text, such as an answer.",
    "parameters": {
        "type": "object",
        "properties": {"text": {"type": "string", "description": "The turn"}},
        "required": ["text"],
    },
}
"""The tool of an environment that reads turns without a call."""

_TYPES: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


class TaskEnvironment:
    """The base of the classes that `environment_factory` makes. One rollout has it at a time."""

    def __init__(self, catalogue: TaskCatalogue, sandboxes: SandboxPool | None) -> None:
        self._session = Session(catalogue, sandboxes)
        self._reward = 0.0
        self._done = self._broken = False

    def reset(self, task_id: str, **_: Any) -> None:
        """Starts the task of a row of `task_dataset`, whose prompt holds all that is to be read."""
        self._reward, self._done, self._broken = 0.0, False, False
        try:
            self._session.reset(self._session.catalogue.find(task_id))
        except Exception:
            self._broken = True
            raise

    def get_reward(self) -> float | None:
        """1.0 if the verifier passed the episode, 0.0 if not, None if something of it broke.

        TRL leaves None out of its rewards. An episode that the model left before its end has not
        passed.
        """
        self._session.close()
        return None if self._broken else self._reward

    def _turn(self, text: str) -> str:
        if self._broken or self._done:
            return OVER
        try:
            reply = self._session.step(text)
        except Exception:
            # TRL tells the model of it, as of a tool that fails; the reward must say more.
            self._broken = True
            raise
        self._done, self._reward = reply.done, reply.reward
        return reply.text


def environment_factory(
    name: str,
    split: str = "train",
    *,
    levels: Sequence[int] = (),
    sandboxes: SandboxPool | None = None,
) -> Callable[[], TaskEnvironment]:
    """What `GRPOTrainer(environment_factory=...)` takes: a class of the environment's tools.

    The tools are those of the split's tasks at `levels`, by default the first level. Code runs in
    `sandboxes`, else in a pool that the process shares. Raises ValueError for an unknown split or
    level, and Gymnasium's errors for an unknown name.
    """
    catalogue = _catalogue(name, levels)
    methods: dict[str, Any] = {
        function["name"]: _method(function, calls=function is not SAY)
        for function in _functions(catalogue, split)
    }

    def __init__(self: TaskEnvironment) -> None:
        TaskEnvironment.__init__(self, catalogue, sandboxes)

    words = name.rpartition("/")[2].replace("-", "_").split("_")
    title = "".join(word.capitalize() for word in words)
    made = type(title, (TaskEnvironment,), {**methods, "__init__": __init__})
    return cast("Callable[[], TaskEnvironment]", made)


def task_dataset(
    name: str,
    split: str = "train",
    *,
    levels: Sequence[int] = (),
    count: int | None = None,
) -> Dataset:
    """The tasks as rows: `prompt` (a chat), `task_id`, `split` and `level`.

    All of the split at `levels` (by default the first), or the first `count`.
    """
    from datasets import Dataset

    catalogue = _catalogue(name, levels)
    total = catalogue.count(split)
    rows: list[dict[str, Any]] = []
    for index in range(total if count is None else min(count, total)):
        task = catalogue.task(split, index)
        rows.append(
            {
                "prompt": as_messages(catalogue.env.instructions, task.prompt),
                "task_id": task.id,
                "split": task.split,
                "level": task.level,
            }
        )
    if not rows:
        raise ValueError(
            f"{name} has no task in split {split!r} at levels {catalogue.levels}"
        )
    return Dataset.from_list(rows)


def _catalogue(name: str, levels: Sequence[int]) -> TaskCatalogue:
    catalogue = TaskCatalogue(name, levels)
    if levels:
        return catalogue
    return TaskCatalogue(name, catalogue.env.levels[:1])


def _functions(catalogue: TaskCatalogue, split: str) -> list[Mapping[str, Any]]:
    """The functions that tasks of a split offer, each once, in the order of their appearance.

    `SAY` comes with them if turns of an oracle are no calls, or if there are no tools.
    """
    functions: dict[str, Mapping[str, Any]] = {}
    session, says = Session(catalogue), False
    for level in catalogue.levels:
        for index in range(min(ASKED_TASKS, catalogue.count(split, level))):
            opening = session.reset(catalogue.task(split, index, level))
            for tool in opening.tools:
                function = tool["function"]
                functions.setdefault(function["name"], function)
            says = says or _speaks(catalogue, opening.task)
    session.close()
    return [*functions.values(), *([SAY] if says or not functions else [])]


def _speaks(catalogue: TaskCatalogue, task: Task) -> bool:
    """Whether a turn of the task's oracle is text and no call."""
    try:
        turns = catalogue.env.oracle(task)
    except NotImplementedError:
        return False
    return any(isinstance(parse_call(turn), Malformed) for turn in turns)


def _method(function: Mapping[str, Any], *, calls: bool) -> Callable[..., str]:
    """A method that takes what the function takes and plays the call as a turn."""
    name = function["name"]
    parameters = function.get("parameters", {})
    required = parameters.get("required", ())
    fields = parameters.get("properties", {})

    def method(self: TaskEnvironment, **arguments: Any) -> str:
        # Callers fill in None for what a model left out.
        given = {k: v for k, v in arguments.items() if v is not None or k in required}
        return self._turn(render_call(name, **given) if calls else str(given["text"]))

    keyword, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    annotations = {
        key: _annotation(field, optional=key not in required)
        for key, field in fields.items()
    }
    signature = [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        *(
            inspect.Parameter(
                key,
                keyword,
                default=empty if key in required else None,
                annotation=annotation,
            )
            for key, annotation in annotations.items()
        ),
    ]
    method.__name__, method.__qualname__ = name, f"TaskEnvironment.{name}"
    method.__doc__ = _docstring(function, fields)
    method.__annotations__ = {**annotations, "return": str}
    vars(method)["__signature__"] = inspect.Signature(signature, return_annotation=str)
    return method


def _annotation(field: Mapping[str, Any], *, optional: bool) -> Any:
    """The type whose JSON schema is the field's."""
    if "enum" in field:
        kind: Any = Literal[
            tuple(value for value in field["enum"] if value is not None)
        ]
    else:
        kinds = field.get("type", "string")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        kind = _TYPES[next(one for one in kinds if one != "null")]
        if kind is list and "items" in field:
            kind = list[_annotation(field["items"], optional=False)]
        optional = optional or "null" in kinds
    return kind | None if optional else kind


def _docstring(function: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """What the function is for, and its parameters, in Google's style, which TRL reads."""
    lines = [_one_line(function.get("description", "")) or function["name"], ""]
    if fields:
        lines.append("Args:")
        for key, field in fields.items():
            about = _one_line(field.get("description", "")) or key.replace("_", " ")
            lines.append(f"    {key}: {about}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())
