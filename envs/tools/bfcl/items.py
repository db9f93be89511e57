"""BFCL's multi-turn items as episodes: a user's messages, one call a turn, simulated applications.

Judged as the leaderboard's own checker judges: after each of the user's messages every public
attribute of every simulator equals the gold trajectory's, and what the gold calls returned stands
among what the policy's calls have returned so far. Calls it would evaluate as Python text are JSON
here and checked against the functions' published schemas, so no text of a policy is ever evaluated.
"""

from __future__ import annotations

import copy
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import localcontext
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

from envs.tools.bfcl.tools import Call, functions, owner, parsed, rendered
from envs.tools.bfcl.wheel import WHEEL, rows, simulator
from envs.toolspec import Malformed, call, render_call, schema_of
from envs.types import Task, Verdict

__all__ = ["DOMAIN", "BfclWorld", "broken", "items", "last_changes", "tasks", "turns"]

DOMAIN = "ood/domain"
CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
# Items of so many gold calls belong to a level, the rest to the last.
MOST_CALLS = (3, 4, 5, 7)
MORE_FUNCTIONS = (
    "I have updated some more functions you can choose from. What about now?"
)

_BROKEN = Path(__file__).parents[2] / "data" / "tool_files" / "bfcl_broken.json"
# Digits and powers beyond these would keep the process busy for hours.
_BOUNDED, _BOUND = ("precision", "decimal_places", "exponent"), 1000
# Simulators share module state, and set mpmath's precision for the entire process.
_LOCK = threading.Lock()

Item = Mapping[str, Any]
"""An item of the leaderboard, with its gold calls by user message under `gold`."""


@cache
def items() -> Mapping[str, Item]:
    """All items of the four categories by id."""
    found = {}
    for category in CATEGORIES:
        name = f"BFCL_v4_multi_turn_{category}"
        answers = {
            row["id"]: row["ground_truth"] for row in rows(f"possible_answer/{name}")
        }
        for row in rows(name):
            found[row["id"]] = {**row, "gold": answers[row["id"]]}
    return found


@cache
def broken() -> Mapping[str, str]:
    """By id, why an item's own gold calls cannot be played."""
    return json.loads(_BROKEN.read_text("utf-8"))


@cache
def tasks(level: int) -> list[Task]:
    """The sound items of a level as tasks."""
    sound = (pair for pair in items().items() if pair[0] not in broken())
    return [_task(level, *pair) for pair in sound if _level(pair[1]) == level]


def _task(level: int, key: str, item: Item) -> Task:
    return Task(
        id=f"{DOMAIN}/{level}/{key}",
        split=DOMAIN,
        level=level,
        # The categories tell the same stories.
        family=f"bfcl {key.rpartition('_')[2]}",
        prompt=_message(item, 0),
        payload={"bfcl": WHEEL.version, "item": key},
    )


def turns(item: Item) -> list[str]:
    """The gold calls, with the end of each user message's work."""
    found = []
    for calls in item["gold"]:
        found += [rendered(written) for written in calls]
        found.append(render_call("finish"))
    return found


def last_changes(item: Item) -> list[str]:
    """The last gold call for each of the user's messages that has any."""
    return list(dict.fromkeys(rendered(calls[-1]) for calls in item["gold"] if calls))


class BfclWorld:
    """An episode of one item: the policy's simulators, and those of the gold calls beside them."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self._apps, self._wanted = _apps(item), _apps(item)
        self._message = 0
        self._called = False
        self._returned: list[str] = []
        self._turns: list[str] = []

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of what is offered at this message."""
        return [schema_of(function) for function in self._functions().values()]

    def play(self, text: str) -> str | Verdict | Malformed:
        """The answer to a turn: what a call returns, the user's next message, or the verdict."""
        step = call(self._functions(), text)
        if isinstance(step, Malformed):
            return step
        self._turns.append(text)
        name, arguments = step
        if name == "finish":
            return self._finished()
        answer = _returned(self._apps, name, arguments)
        self._called = True
        self._returned.append(answer)
        return answer

    def random_turn(self, rng: np.random.Generator) -> str:
        """A uniform offered function, with words of the message and small numbers."""
        offered = self._functions()
        name = str(rng.choice(list(offered)))
        parameters = schema_of(offered[name])["function"]["parameters"]
        words = _message(self._item, self._message).split()
        values = {
            "string": str(rng.choice(words)),
            "integer": int(rng.integers(100)),
            "number": float(rng.integers(100)),
            "boolean": bool(rng.integers(2)),
            "array": [],
            "object": {},
        }
        properties = parameters["properties"]
        given = {key: values[properties[key]["type"]] for key in parameters["required"]}
        return render_call(name, **given)

    def snapshot(self) -> Any:
        """The calls so far; what they did follows from them."""
        return [*self._turns]

    def restore(self, snapshot: Any) -> None:
        """Makes the calls again."""
        for turn in snapshot:
            self.play(turn)

    def _functions(self) -> Mapping[str, Callable[..., Call]]:
        missing = {
            name
            for number, names in self._item.get("missed_function", {}).items()
            if self._message < int(number)
            for name in names
        }
        every = functions(tuple(self._item["involved_classes"]))
        return {
            name: function for name, function in every.items() if name not in missing
        }

    def _finished(self) -> str | Verdict:
        """The user's next message, or the verdict after the last one or a wrong state."""
        number, gold = self._message, self._item["gold"]
        due = [_returned(self._wanted, *parsed(written)) for written in gold[number]]
        wrong = self._wrong(due)
        done = number + (not wrong)
        if wrong or done == len(gold):
            parts = {"messages": done / len(gold)}
            detail = f"message {number + 1}: {wrong}" if wrong else "all settled"
            return Verdict(not wrong, float(not wrong), detail, parts)
        self._message, self._called = done, False
        return _message(self._item, done)

    def _wrong(self, due: list[str]) -> str:
        """What the leaderboard's checker would find wrong with this message's work."""
        if not due:
            return ""
        if not self._called:
            return "no call was made"
        for name, app in self._wanted.items():
            if not _same(self._apps[name], app):
                return f"{name} is not as it should be"
        if Counter(due) - Counter(self._returned):
            return "what was asked for was not looked up"
        return ""


def _level(item: Item) -> int:
    calls = sum(map(len, item["gold"]))
    return sum(calls > most for most in MOST_CALLS)


def _apps(item: Item) -> dict[str, Any]:
    """The item's simulators at its start."""
    long_context = "long_context" in item["id"]
    found = {}
    for name in item["involved_classes"]:
        found[name] = simulator(name)()
        if hasattr(found[name], "_load_scenario"):
            config = copy.deepcopy(item["initial_config"].get(name, {}))
            found[name]._load_scenario(config, long_context=long_context)
    return found


def _returned(apps: Mapping[str, Any], name: str, arguments: Mapping[str, Any]) -> str:
    """What a function of the simulators returns, in the leaderboard's words."""
    for key in _BOUNDED:
        if isinstance(value := arguments.get(key), int) and abs(value) > _BOUND:
            return (
                f"Error during execution: {key} must be between -{_BOUND} and {_BOUND}"
            )
    app = apps[owner(name)]
    with _LOCK, localcontext(), mpmath.workdps(mpmath.mp.dps):
        try:
            answer = getattr(app, name)(**arguments)
        except _RAISED as error:
            return f"Error during execution: {error}"
        if isinstance(answer, dict):
            try:
                return json.dumps(answer)
            except (TypeError, ValueError):
                return str(answer)
        return str(answer)


# All that Python code about plain data raises, recursion in a folder that holds itself included.
_RAISED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


def _same(one: Any, other: Any) -> bool:
    """Whether two simulators have equal public attributes."""
    wanted = {
        key: value for key, value in vars(other).items() if not key.startswith("_")
    }
    return all(getattr(one, key) == value for key, value in wanted.items())


def _message(item: Item, number: int) -> str:
    """What the user says; where functions are added, their schemas first."""
    said = "\n".join(message["content"] for message in item["question"][number])
    names = item.get("missed_function", {}).get(str(number))
    if names is None:
        return said
    added = functions(tuple(item["involved_classes"]))
    schemas = [json.dumps(schema_of(added[name])) for name in names]
    return "\n".join([*schemas, said or MORE_FUNCTIONS])
