"""ScienceWorld by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from envs.base import TextEnv
from envs.published.scienceworld.simulator import (
    FULL_SCORE,
    Simulator,
    description,
    gold_actions,
)
from envs.published.scienceworld.variations import VARIATIONS, variations
from envs.releases import PublishedFile
from envs.supply import TaskTable
from envs.types import Task, Verdict

__all__ = ["ScienceWorld"]

MAX_CHARS = 300
SHOWN_CHARS = 4000
LONG_TURNS = 1000
LONG = (
    "inclined-plane-determine-angle",
    "inclined-plane-friction-named-surfaces",
    "inclined-plane-friction-unnamed-surfaces",
    "mendelian-genetics-known-plant",
    "mendelian-genetics-unknown-plant",
)
_LABEL = re.compile(r"^(?:>|action:)\s*", re.IGNORECASE)


class ScienceWorld(TextEnv):
    """Do an experiment of grade school in a simulated house (arXiv:2203.07540).

    | | |
    |---|---|
    | prompt | what is to be done |
    | turn | an action in its last line, such as `open door to kitchen` or `look around` |
    | reply | what it shows |
    | verifier | the simulator's score is 100; a lower one is shown as partial credit |
    | limits | 100 turns, the authors' limit; 1,000 for five tasks that wait for a block to slide |
    | | or a plant to grow: their solutions have 65 to 744, up to chance |
    | `train`, `id` | the authors' train and test variations of 30 tasks |
    | size | 3,592 and 1,819 tasks |
    | family | the task, and the split: the authors' splits vary the same tasks |
    | oracle | the simulator's own solution; in some variations of `boil`, `melt`, `freeze` |
    | | and `change-the-state-of-matter-of` it looks around too often, for up to 130 turns |
    | twin, chance | none: actions are open |
    | source, licence | github.com/allenai/ScienceWorld, the package scienceworld; Apache-2.0 |

    With the authors' simplifications `easy`, as published agents are. Each environment starts a
    Java process of its own when it is first played.
    """

    name = "scienceworld"
    max_turns = 100
    instructions = (
        "Do the task in a simulated house. One action a turn, in its last line, such as "
        "`look around`, `inventory`, `teleport to kitchen`, `pick up thermometer`, "
        "`move orange to red box`, `focus on orange`, `use thermometer on water`, `wait`."
    )

    def __init__(self) -> None:
        super().__init__()
        self._simulator: Simulator | None = None
        self._actions: list[str] = []

    @classmethod
    def files(cls) -> Sequence[PublishedFile]:
        """None: the package brings its data."""
        return ()

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The variations of a split. Reading one starts the simulator."""
        return _tasks(split)

    def turn_budget(self, task: Task) -> int:
        """100, or 1,000 where the simulator's own solutions wait for longer than that."""
        return LONG_TURNS if task.payload["task"] in LONG else self.max_turns

    def begin(self, task: Task) -> None:
        """Loads the variation."""
        self._actions = []
        if self._simulator is None:
            self._simulator = Simulator()
        self._simulator.load(task.payload["task"], task.payload["variation"])

    def close(self) -> None:
        """Ends the episode and the simulator."""
        super().close()
        simulator, self._simulator = self._simulator, None
        if simulator is not None:
            simulator.close()

    def reply(self, text: str) -> str | Verdict:
        """Takes the action of the last line."""
        line = text.strip().rpartition("\n")[2]
        action = _LABEL.sub("", line.strip()).strip("`")
        if not action or len(action) > MAX_CHARS or not action.isprintable():
            self.malformed += 1
            return "No known action matches that input."
        return self._act(action)

    def _act(self, action: str) -> str | Verdict:
        assert self._simulator is not None
        self._actions.append(action)
        observation, score, is_over = self._simulator.act(action)
        if score >= FULL_SCORE:
            return Verdict(True, 1.0, "the task is done")
        if is_over:
            share = max(score, 0) / FULL_SCORE
            return Verdict(False, share, f"over with a score of {score}")
        return observation[:SHOWN_CHARS]

    def oracle(self, task: Task) -> list[str]:
        """The simulator's own solution."""
        return list(gold_actions(task.payload["task"], task.payload["variation"]))

    def critical(self, task: Task) -> list[str]:
        """The last action of the solution."""
        return self.oracle(task)[-1:]

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, and the actions so far."""
        return {**super().get_state(), "actions": list(self._actions)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode by taking its actions again."""
        super().set_state(state)
        for action in state["actions"]:
            self._act(action)


def _ids(split: str) -> Iterator[str]:
    for task in VARIATIONS:
        for variation in variations(task, split):
            yield f"{split}/0/{task}/{variation}"


@cache
def _tasks(split: str) -> TaskTable:
    """The variations of a split, whose ids need no simulator."""

    def task(task_id: str) -> Task:
        """The task of an id, as the simulator describes it."""
        *_, name, number = task_id.split("/")
        return Task(
            id=task_id,
            split=split,
            level=0,
            family=f"{name}-{split}",
            prompt=description(name, int(number)),
            payload={"task": name, "variation": int(number)},
        )

    return TaskTable(_ids(split), task)
