"""BFCL's multi-turn items as episodes: a user's messages, one call a turn, simulated applications.

The verdict is that of the leaderboard's own checker: after each of the user's messages every public
attribute of every simulator equals the gold trajectory's, and the policy's calls have returned so
far all that the gold calls returned. The leaderboard evaluates calls as Python text. Here they are
JSON, checked against the functions' published schemas, so no text of a policy is ever evaluated.
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

from envs.tools.bfcl.tools import Call, functions, owner, parse_gold, render_gold
from envs.tools.bfcl.wheel import WHEEL, rows, simulator
from envs.toolspec import Malformed, call, render_call, schema_of
from envs.types import Task, Verdict

__all__ = [
    "DOMAIN",
    "BfclWorld",
    "items",
    "last_changes",
    "tasks",
    "turns",
    "unplayable",
]

DOMAIN = "ood/domain"
CATEGORIES = ("base", "miss_func", "miss_param", "long_context")
# By level, the most gold calls of its items; those with more belong to the last level.
MAX_CALLS = (3, 4, 5, 7)
MORE_FUNCTIONS = (
    "I have updated some more functions you can choose from. What about now?"
)

_UNPLAYABLE = Path(__file__).parents[2] / "data" / "tool_files" / "bfcl_broken.json"
# Digits and powers beyond this would keep the process busy for hours.
_COSTLY_ARGUMENTS = ("precision", "decimal_places", "exponent")
_MAX_COSTLY = 1000
# Simulators share module state, and set mpmath's precision for the entire process.
_LOCK = threading.Lock()

Item = Mapping[str, Any]
"""An item of the leaderboard, with its gold calls by user message under `gold`."""


# All that Python code about plain data raises. It includes recursion: a folder may hold itself.
_CAUGHT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


@cache
def items() -> Mapping[str, Item]:
    """All items of the four categories by id."""
    items_by_id = {}
    for category in CATEGORIES:
        name = f"BFCL_v4_multi_turn_{category}"
        answers = rows(f"possible_answer/{name}")
        gold = {answer["id"]: answer["ground_truth"] for answer in answers}
        for row in rows(name):
            key = row["id"]
            items_by_id[key] = {**row, "gold": gold[key]}
    return items_by_id


@cache
def unplayable() -> Mapping[str, str]:
    """By id, why an item's own gold calls cannot be played."""
    return json.loads(_UNPLAYABLE.read_text("utf-8"))


@cache
def tasks(level: int) -> list[Task]:
    """The playable items of a level as tasks."""
    playable = []
    for key, item in items().items():
        if key not in unplayable() and _level(item) == level:
            playable.append(_task(level, key, item))
    return playable


def _task(level: int, key: str, item: Item) -> Task:
    # The categories are variants of the same stories, which end in the same number.
    story = key.rpartition("_")[2]
    return Task(
        id=f"{DOMAIN}/{level}/{key}",
        split=DOMAIN,
        level=level,
        family=f"bfcl {story}",
        prompt=_message(item, 0),
        payload={"bfcl": WHEEL.version, "item": key},
    )


def turns(item: Item) -> list[str]:
    """The gold calls, with a call of `finish` after those for each message."""
    gold_turns = []
    for calls in item["gold"]:
        gold_turns += [render_gold(text) for text in calls]
        gold_turns.append(render_call("finish"))
    return gold_turns


def last_changes(item: Item) -> list[str]:
    """The last gold call for each of the user's messages that has any."""
    # A dictionary keeps the order of the messages.
    turns_of_calls: dict[str, None] = {}
    for calls in item["gold"]:
        if calls:
            turn = render_gold(calls[-1])
            turns_of_calls[turn] = None
    return list(turns_of_calls)


class BfclWorld:
    """An episode of one item: simulators for the policy's calls, and others for the gold calls."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self._apps = _simulators(item)
        self._gold_apps = _simulators(item)
        self._message = 0
        self._called = False
        self._results: list[str] = []
        self._turns: list[str] = []

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the functions that are offered at this message."""
        return [schema_of(function) for function in self._functions().values()]

    def play(self, text: str) -> str | Verdict | Malformed:
        """The answer to a turn: the result of a call, the user's next message, or the verdict."""
        step = call(self._functions(), text)
        if isinstance(step, Malformed):
            return step
        self._turns.append(text)
        name, arguments = step
        if name == "finish":
            return self._next_message()

        result = _result(self._apps, name, arguments)
        self._called = True
        self._results.append(result)
        return result

    def random_turn(self, rng: np.random.Generator) -> str:
        """A uniform offered function, with words of the message and small numbers."""
        offered = self._functions()
        name = str(rng.choice(list(offered)))
        parameters = schema_of(offered[name])["function"]["parameters"]
        words = _message(self._item, self._message).split()
        # One value of each type, so that the draws do not depend on the function.
        values = {
            "string": str(rng.choice(words)),
            "integer": int(rng.integers(100)),
            "number": float(rng.integers(100)),
            "boolean": bool(rng.integers(2)),
            "array": [],
            "object": {},
        }
        arguments = {}
        for key in parameters["required"]:
            arguments[key] = values[parameters["properties"][key]["type"]]
        return render_call(name, **arguments)

    def snapshot(self) -> Any:
        """The calls so far; their effects follow from them."""
        return list(self._turns)

    def restore(self, snapshot: Any) -> None:
        """Makes the calls again."""
        for turn in snapshot:
            self.play(turn)

    def _functions(self) -> Mapping[str, Callable[..., Call]]:
        """The functions of the item's classes, without those that a later message adds."""
        missing = set()
        for number, names in self._item.get("missed_function", {}).items():
            if self._message < int(number):
                missing.update(names)
        offered = dict(functions(tuple(self._item["involved_classes"])))
        for name in missing:
            offered.pop(name, None)
        return offered

    def _next_message(self) -> str | Verdict:
        """The user's next message; the verdict after the last one or for a wrong state."""
        number = self._message
        messages = len(self._item["gold"])
        expected = self._play_gold(number)
        problem = self._problem(expected)
        if problem:
            detail = f"message {number + 1}: {problem}"
            return Verdict(False, 0.0, detail, {"messages": number / messages})

        self._message += 1
        self._called = False
        if self._message == messages:
            return Verdict(True, 1.0, "all settled", {"messages": 1.0})
        return _message(self._item, self._message)

    def _play_gold(self, number: int) -> list[str]:
        """Makes the gold calls for a message on their simulators; returns their results."""
        results = []
        for text in self._item["gold"][number]:
            name, arguments = parse_gold(text)
            results.append(_result(self._gold_apps, name, arguments))
        return results

    def _problem(self, expected: list[str]) -> str:
        """What the leaderboard's checker has against this message's work; "" for nothing."""
        # Without gold calls the leaderboard checks nothing.
        if not expected:
            return ""
        if not self._called:
            return "no call was made"
        for name, app in self._gold_apps.items():
            if not _equal(self._apps[name], app):
                return f"{name} is not as it should be"
        if Counter(expected) - Counter(self._results):
            return "what was asked for was not looked up"
        return ""


def _level(item: Item) -> int:
    calls = sum(len(calls) for calls in item["gold"])
    return sum(calls > most for most in MAX_CALLS)


def _simulators(item: Item) -> dict[str, Any]:
    """The item's simulators at its start, by class."""
    apps = {}
    for name in item["involved_classes"]:
        app = simulator(name)()
        # MathAPI alone has no state to load.
        if hasattr(app, "_load_scenario"):
            config = copy.deepcopy(item["initial_config"].get(name, {}))
            app._load_scenario(config, long_context="long_context" in item["id"])
        apps[name] = app
    return apps


def _result(apps: Mapping[str, Any], name: str, arguments: Mapping[str, Any]) -> str:
    """The result of a function of the simulators, in the leaderboard's words."""
    for key in _COSTLY_ARGUMENTS:
        value = arguments.get(key)
        if isinstance(value, int) and abs(value) > _MAX_COSTLY:
            return (
                f"Error during execution: {key} must be between "
                f"-{_MAX_COSTLY} and {_MAX_COSTLY}"
            )
    function = getattr(apps[owner(name)], name)
    with _LOCK, localcontext(), mpmath.workdps(mpmath.mp.dps):
        try:
            result = function(**arguments)
        except _CAUGHT as error:
            return f"Error during execution: {error}"
        return _text(result)


def _text(result: Any) -> str:
    if not isinstance(result, dict):
        return str(result)
    try:
        return json.dumps(result)
    except (TypeError, ValueError):
        return str(result)


def _equal(app: Any, gold_app: Any) -> bool:
    """Whether two simulators have equal public attributes."""
    for key, value in vars(gold_app).items():
        if not key.startswith("_") and getattr(app, key) != value:
            return False
    return True


def _message(item: Item, number: int) -> str:
    """The user's text; if the message adds functions, their schemas come first."""
    contents = [message["content"] for message in item["question"][number]]
    text = "\n".join(contents)
    additions = item.get("missed_function", {})
    names = additions.get(str(number))
    if names is None:
        return text

    classes = tuple(item["involved_classes"])
    every = functions(classes)
    lines = []
    for name in names:
        schema = schema_of(every[name])
        lines.append(json.dumps(schema))
    lines.append(text or MORE_FUNCTIONS)
    return "\n".join(lines)
