"""tool_files: do jobs across the files, mail and calendar of a desk, and change nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from envs.base import TextEnv
from envs.tools.bfcl import items as bfcl
from envs.tools.files import tasks as files_tasks
from envs.tools.files.tasks import COMPOSITION, MAX_TURNS, Case
from envs.tools.files.world import APPS, Desk, canonical
from envs.toolspec import Malformed, call, render_call, schema_of
from envs.types import Task, Verdict

__all__ = ["ToolFiles"]

CHOICE_TURNS = 3
_APP_OF_ARGUMENT = {
    "file": "files",
    "mail": "mail",
    "event": "calendar",
    "note": "notes",
}
_CHANCE = (0.25, 0.05, 0.0, 0.0, 0.0)


class ToolFiles(TextEnv):
    """Do jobs with the files, mail and calendar of a desk, by tools.

    | | |
    |---|---|
    | prompt | one to three requests; at level 0 what the apps hold too |
    | turn | a tool call, one JSON object |
    | tools | `list_items`, `read_item`, `write_file`, `move_file`, `delete_file`, `send_mail`, |
    | | `archive_mail`, `add_event`, `cancel_event`, `finish`; at levels 0 and 1 fewer |
    | reply | what a list or an item holds, `done`, or what is not there |
    | verifier | every app holds exactly what the goal holds, so nothing else changed; texts are |
    | | compared to the byte, ids of added items are not compared |
    | limits | 15 turns; at level 0 three, and the first change ends it. An episode without |
    | | `finish` fails |
    | level 0 | choose one of two calls, for one of two items each |
    | level 1 | one request in one app; the item must be searched; 3 to 6 calls |
    | level 2 | one request: a value from one app goes to another |
    | level 3 | two requests; conditions, several items, a free hour |
    | level 4 | three requests, one of them over two or three apps; up to 14 calls |
    | `train`, `id` | one to three apps, other items, drawn alike |
    | `ood/composition` | four or five apps: contacts and notes with two tools each; requests join |
    | | apps that no seen one joins. Level 0: one of four calls; level 1: four apps, one in |
    | | use; above: the plan spans four or more |
    | `ood/domain` | the multi-turn items of BFCL: eight simulated applications with 9 to 22 |
    | | tools each, a user with one to eight messages; `finish` calls for the next one, or |
    | | ends it. Levels by the number of gold calls: up to 3, 4, 5, 7, and more |
    | | verifier: after each message the simulators equal the gold calls', and what those |
    | | returned was returned |
    | | limits: twice the turns of the gold calls, 15 at least |
    | | left out: five items whose own gold calls cannot be played, with the reasons, in |
    | | `envs/data/tool_files/bfcl_broken.json`; no twins |
    | size | 2,000 tasks of `train`, 300 of `id` and `ood/composition` at each level; of |
    | | `ood/domain` 795 in all |
    | family | the ids of the items at the start, the story of a BFCL item; no two splits share |
    | | one |
    | critical | the last argument of each call that changes something; of BFCL the last call |
    | | for each message |
    | oracle | searches for what it needs, does every request, finishes; of BFCL the gold calls |
    | twin | two items have exchanged a value, and so the right calls differ |
    | chance | level 0: one of two calls, one of two items, 0.25; above, measured on 2,000 |
    | | episodes of `train`: 0.05 at level 1, then 0 |
    | source, licence | generated here; Apache-2.0. `ood/domain`: the wheel of bfcl-eval |
    | | 2026.3.23 (Gorilla project, Berkeley; Apache-2.0), fetched by pip at its first use and |
    | | checked by its hash; its simulators run in this process |
    """

    name = "tool_files"
    splits = ("train", "id", COMPOSITION, bfcl.DOMAIN)
    levels = (0, 1, 2, 3, 4)
    max_turns = MAX_TURNS
    instructions = 'Do just what is asked. Reply with one tool call: {"name": ..., "arguments": {}}'

    def __init__(self) -> None:
        super().__init__()
        self._world: _World = _DeskWorld(
            {"level": 0, "state": {}, "jobs": [], "offered": []}
        )

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level, in the order in which they are drawn.

        Raises ImportError: for `ood/domain`, when its wheel is not cached and cannot be fetched.
        """
        if split == bfcl.DOMAIN:
            return bfcl.tasks(level)
        return files_tasks.tasks(split, level)

    def begin(self, task: Task) -> None:
        """Lays the desk as the task describes it, or starts the simulators."""
        if "item" in task.payload:
            self._world = bfcl.BfclWorld(_item(task))
        else:
            self._world = _DeskWorld(task.payload)

    def turn_budget(self, task: Task) -> int:
        """Three turns at level 0, else fifteen; more for an item of BFCL with long gold calls."""
        if "item" in task.payload:
            gold_turns = len(bfcl.turns(_item(task)))
            return max(self.max_turns, 2 * gold_turns)
        return CHOICE_TURNS if task.level == 0 else self.max_turns

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the tools that the task offers."""
        return self._world.tools()

    def reply(self, text: str) -> str | Verdict:
        """Does what the turn calls for."""
        answer = self._world.play(text)
        if isinstance(answer, Malformed):
            self.malformed += 1
            return answer.sentence
        return answer

    def oracle(self, task: Task) -> list[str]:
        """Searches for what it needs, does every request, and finishes."""
        if "item" in task.payload:
            return bfcl.turns(_item(task))
        turns = []
        for name, arguments in files_tasks.plan(task.payload):
            turns.append(render_call(name, **arguments))
        return turns

    def critical(self, task: Task) -> list[str]:
        """The last argument of each call that changes something, or its last gold calls."""
        if "item" in task.payload:
            return bfcl.last_changes(_item(task))
        # A dictionary keeps the order of the calls.
        spans: dict[str, None] = {}
        for _, arguments in files_tasks.writes(task.payload):
            *_, name = arguments
            last = {name: arguments[name]}
            written = json.dumps(last, ensure_ascii=False)
            # The inside of the braces, spelled as in the turn: `"text": "310"`.
            spans[written[1:-1]] = None
        return list(spans)

    def twin(self, task: Task) -> Task:
        """The same task with a value exchanged between two items, so that other calls are right.

        Raises ValueError: when no exchange does that, and for every item of BFCL.
        """
        if "item" in task.payload:
            raise ValueError(f"{task.id} has no twin: its records are not ours to edit")
        case = files_tasks.flip(task.payload)
        if case is None:
            message = f"no exchange of two values changes the right calls of {task.id}"
            raise ValueError(message)
        return files_tasks.as_task(task.id, task.split, case)

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def random_turn(self, rng: np.random.Generator) -> str:
        """A uniform one of the offered tools, with uniform arguments that are there."""
        return self._world.random_turn(rng)

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot and what the apps hold."""
        state = super().get_state()
        return {**state, "world": self._world.snapshot()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the apps as they were."""
        super().set_state(state)
        self._world.restore(state["world"])


def _item(task: Task) -> bfcl.Item:
    return bfcl.items()[task.payload["item"]]


class _World(Protocol):
    """What an episode plays in: a desk, or the simulators of BFCL."""

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the offered tools."""
        ...

    def play(self, text: str) -> str | Verdict | Malformed:
        """The answer to a turn."""
        ...

    def random_turn(self, rng: np.random.Generator) -> str:
        """A random but well-formed turn."""
        ...

    def snapshot(self) -> Any:
        """What the apps hold, JSON-able."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Makes the apps hold it again."""
        ...


class _DeskWorld:
    """A desk and the task on it."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._desk = Desk(case["state"])
        self._functions = {}
        for name in case["offered"]:
            owner = self if name == "finish" else self._desk
            self._functions[name] = getattr(owner, name)

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the offered tools."""
        return [schema_of(function) for function in self._functions.values()]

    def play(self, text: str) -> str | Verdict | Malformed:
        """The answer to a turn; at level 0 the first change ends the episode."""
        answer = call(self._functions, text)
        if self._case["level"] > 0 or not self._desk.changed:
            return answer
        # A verdict stays one, and a malformed turn changes nothing.
        return self.finish() if isinstance(answer, str) else answer

    def finish(self) -> Verdict:
        """End, when all is done."""
        goal = files_tasks.goal(self._case)
        now = canonical(self._desk.state)
        end = canonical(goal)
        wrong = [app for app in end if now[app] != end[app]]
        detail = "done"
        if wrong:
            listed = ", ".join(wrong)
            detail = f"not as it should be: {listed}"
        return Verdict(
            passed=not wrong,
            score=float(not wrong),
            detail=detail,
            parts={"changes": self._share_of_changes()},
        )

    def _share_of_changes(self) -> float:
        """The share of the additions and removals of the goal that were made."""
        goal = files_tasks.goal(self._case)
        start = canonical(self._case["state"])
        now = canonical(self._desk.state)
        end = canonical(goal)
        changes: list[bool] = []
        for app in end:
            added = [item for item in end[app] if item not in start[app]]
            removed = [item for item in start[app] if item not in end[app]]
            changes += [item in now[app] for item in added]
            changes += [item not in now[app] for item in removed]
        return sum(changes) / len(changes)

    def random_turn(self, rng: np.random.Generator) -> str:
        """A uniform offered tool, with uniform arguments out of what the desk holds."""
        names = list(self._functions)
        name = str(rng.choice(names))
        schema = schema_of(self._functions[name])
        parameters = schema["function"]["parameters"]
        arguments = {}
        for key in parameters["properties"]:
            arguments[key] = self._random_value(key, rng)
        return render_call(name, **arguments)

    def snapshot(self) -> Any:
        """The desk's items, and how many changes there were."""
        copy = Desk(self._desk.state)
        return {
            "items": copy.state,
            "changed": self._desk.changed,
        }

    def restore(self, snapshot: Any) -> None:
        """Lays the desk as it was."""
        copy = Desk(snapshot["items"])
        self._desk.state = copy.state
        self._desk.changed = snapshot["changed"]

    def _random_value(self, argument: str, rng: np.random.Generator) -> str | int:
        """Of the kind that the argument names, if it names one; else any id or field."""
        state = self._desk.state
        if argument == "hour":
            return int(rng.integers(9, 18))
        if argument == "app":
            apps = list(state)
            return str(rng.choice(apps))

        app = _APP_OF_ARGUMENT.get(argument)
        if app is not None:
            values = list(state[app])
        else:
            values = self._ids()
            # An id alone names an item; any other text may be one of its fields too.
            if argument != "item":
                values += self._field_values()
        # Nothing is left of an app once its items are removed.
        return str(rng.choice(values or ["nothing"]))

    def _ids(self) -> list[str]:
        """Ids of all items on the desk, in the order of the apps."""
        ids = []
        for app in APPS:
            ids += self._desk.state.get(app, {})
        return ids

    def _field_values(self) -> list[str]:
        """Values of all fields on the desk, in the order of the apps."""
        values = []
        for app in APPS:
            items = self._desk.state.get(app, {})
            for item in items.values():
                values += item.values()
        return values
