"""tau-bench's retail domain by name, without a simulated user."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

from envs.published.questions import question_family
from envs.published.tau_retail.data import FILES, Action, cases, policy
from envs.published.tau_retail.shop import Shop
from envs.published.tau_retail.writing import WritingTools
from envs.releases import PublishedFile
from envs.supply import TaskTable
from envs.tool_env import tool
from envs.toolspec import render_call
from envs.types import Task, Verdict

__all__ = ["TauRetailSolo"]

# Numbers of those that the final records cannot judge: the calls of their authors change none.
UNJUDGED = {
    "train": frozenset([161, 214, 229, 288, 349]),
    "id": frozenset([10, 12, 24, 25, 50, 57, 62, 65, 67, 68, 106]),
}
SIZES = {"train": 500, "id": 115}
_FILE_OF: Mapping[str, Literal["train", "test"]] = {"train": "train", "id": "test"}


class TauRetailSolo(WritingTools):
    """Settle a customer's requests in tau-bench's shop, without a simulated user.

    tau-bench (arXiv:2406.12045) has a language model play the customer; here the agent reads the
    customer's whole script at once, and nobody answers. So results are not tau-bench's.

    | | |
    |---|---|
    | prompt | the shop's policy, and the script of the customer |
    | tools | tau-bench's, but `think`; `done()` |
    | reply | a record as JSON, or why a call changes nothing, as tau-bench words it |
    | verifier | the final records are those that the authors' calls lead to, to the cent; what |
    | | the customer wants to be told is not judged |
    | limits | 30 turns, and neither `done` nor a transfer in them is a failure |
    | `train`, `id` | the authors' `train` and `test`, less tasks whose calls change no record |
    | size | 495 and 104 tasks |
    | family | the words of the script |
    | oracle | the authors' calls that change records, and `done` |
    | twin, chance | none: calls are open |
    | source, licence | github.com/sierra-research/tau-bench; MIT |
    """

    name = "tau_retail_solo"
    max_turns = 30
    instructions = (
        "You are the agent of a shop. Do what the customer's script asks for, as far as the "
        "policy allows it. Nobody answers: the script says all, and the customer has confirmed "
        "each action. Reply with one call a turn; end with "
        '{"name": "done"}'
    )

    @classmethod
    def files(cls) -> Sequence[PublishedFile]:
        """What it reads."""
        return tuple(FILES.values())

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split. Reading one raises MissingDataError without the files."""
        return _tasks(split)

    def begin(self, task: Task) -> None:
        """The shop is as it was published."""
        self.shop = Shop()

    @tool
    def transfer_to_human_agents(self, summary: str) -> Verdict:
        """Hand over to a human agent, if the tools cannot do it. This ends your work.

        Args:
            summary: of what the customer wants.
        """
        return self._verdict()

    @tool
    def done(self) -> Verdict:
        """Finish."""
        return self._verdict()

    def _verdict(self) -> Verdict:
        wanted = changes_after(self._actions(self.task))
        changes = self.shop.changes()
        names = sorted(wanted.keys() | changes.keys())
        wrong = [name for name in names if wanted.get(name) != changes.get(name)]
        if not wrong:
            return Verdict(True, 1.0, "the records are right")
        return Verdict(False, 0.0, f"wrong records: {', '.join(wrong)}")

    def _actions(self, task: Task) -> Sequence[Action]:
        return cases(_FILE_OF[task.split])[task.payload["place"]].actions

    def oracle(self, task: Task) -> list[str]:
        """The authors' calls that change records, and `done`."""
        return [*_writing_calls(self._actions(task)), render_call("done")]

    def critical(self, task: Task) -> list[str]:
        """The arguments of these calls."""
        return [
            json.dumps(dict(action.arguments), ensure_ascii=False)
            for action in self._actions(task)
            if _changes_records(action)
        ]

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, and the records that were changed."""
        return {**super().get_state(), "shop": self.shop.snapshot()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the records as they were."""
        super().set_state(state)
        self.shop.restore(state["shop"])


def changes_after(actions: Sequence[Action]) -> Mapping[str, Any]:
    """The records that calls change in the published shop, by table and id."""
    tools = WritingTools()
    for action in actions:
        if _changes_records(action):
            getattr(tools, action.name)(**action.arguments)
    return tools.shop.changes()


def _changes_records(action: Action) -> bool:
    return action.name in vars(WritingTools)


def _writing_calls(actions: Sequence[Action]) -> list[str]:
    return [
        render_call(action.name, **action.arguments)
        for action in actions
        if _changes_records(action)
    ]


@cache
def _tasks(split: str) -> TaskTable:
    """The tasks of a split, whose ids need none of its data."""

    def task(task_id: str) -> Task:
        """The task of an id, with its row of the file."""
        place = int(task_id.rpartition("/")[2])
        script = cases(_FILE_OF[split])[place].instruction
        return Task(
            id=task_id,
            split=split,
            level=0,
            family=question_family(script),
            prompt=f"{policy()}\n\n# The customer's script\n\n{script}",
            payload={"place": place},
        )

    places = [place for place in range(SIZES[split]) if place not in UNJUDGED[split]]
    return TaskTable((f"{split}/0/{place}" for place in places), task)
