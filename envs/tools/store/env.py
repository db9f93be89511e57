"""tool_store: settle a person's requests by a written policy, and change nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.base import TextEnv
from envs.tools.store.cases import decisions, flip, goal, solution_steps
from envs.tools.store.policy import Rules, rule_violation
from envs.tools.store.tasks import SPLITS, as_task, tasks
from envs.tools.store.tools import MERGED, functions, render
from envs.tools.store.words import VOCABULARIES
from envs.tools.store.world import WRITES, State, apply, deep_copy
from envs.toolspec import Malformed, call, schema_of
from envs.types import Task, Verdict

__all__ = ["ToolStore"]

CHOICE_TURNS = 3
TRY_AGAIN = "temporary failure, try again"
_CHANCE = (0.25, 0.01, 0.0, 0.0, 0.0)


class ToolStore(TextEnv):
    """Settle a person's requests in a store by its written policy, with tools.

    | | |
    |---|---|
    | prompt | the policy, and the person's message; at level 0 the orders with their status too |
    | turn | a tool call, one JSON object |
    | tools | `find_customer`, `look_up`, `cancel_order`, `return_order`, `exchange_order`, |
    | | `refuse`, `ask_customer` (answers by script) and `finish`; fewer at lower levels |
    | reply | a record, `done`, the person's answer, or what is impossible; no tool enforces the |
    | | policy, and an order that is settled stays so |
    | verifier | every record equals the goal's, so nothing else changed, and the log keeps the |
    | | hard rules: orders are looked up before they are settled, the person is looked up first, |
    | | an expensive order is cancelled only after asking the person |
    | limits | 15 turns; at level 0 three. An episode without `finish` fails |
    | level 0 | one of two tools for one of two orders; the first order that is settled ends it |
    | level 1 | one request; the status must be looked up; 3 calls |
    | level 2 | two requests, exchanges, stock; 5 to 6 calls |
    | level 3 | orders are named by item, the person must be looked up; some have twice the days |
    | level 4 | three requests, marked orders, questions to the person; up to 10 calls |
    | `train`, `id` | a shop, different numbers of orders, drawn alike |
    | `ood/tools` | the shop, with tools and arguments of other names; one tool missing, so that |
    | | what it did is refused; more tools that harm; one tool with an action for three |
    | `ood/domain` | a library and a clinic: other records, verbs and tools |
    | `ood/noise` | the shop; one or two tools fail at their first call, without effect |
    | size | 2,000 tasks of `train` and 300 of every other split, at each level |
    | family | the numbers of all orders in the records; every split has its own |
    | critical | the names of the tools that settle, or the action of a merged tool |
    | oracle | looks up what the policy needs, settles each request, finishes |
    | twin | one fact differs (a status, a date, a mark, an answer), and so does the right tool |
    | chance | level 0: a uniform offered tool for a uniform order, 2 * 2 ways, so 0.25; above: |
    | | uniform calls of the offered tools, on 2,000 episodes of `train`: 0.01, then 0 |
    | source, licence | generated here; Apache-2.0 |
    """

    name = "tool_store"
    splits = SPLITS
    levels = (0, 1, 2, 3, 4)
    max_turns = 15
    instructions = (
        'Keep the policy. Reply with one tool call: {"name": ..., "arguments": {...}}'
    )

    def __init__(self) -> None:
        super().__init__()
        self._state: State = {}
        self._log: list[tuple[str, dict[str, str]]] = []
        self._failures: list[str] = []

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level, in the order in which they are drawn."""
        return tasks(split, level)

    def begin(self, task: Task) -> None:
        """Opens the store as the task describes it."""
        self._state = deep_copy(task.payload["state"])
        self._log = []
        self._failures = []

    def turn_budget(self, task: Task) -> int:
        """Three turns at level 0, where the first settled order ends it; else fifteen."""
        return CHOICE_TURNS if task.level == 0 else self.max_turns

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of the tools that the task offers."""
        return [schema_of(function) for function in self._functions().values()]

    def reply(self, text: str) -> str | Verdict:
        """Does what the turn calls for."""
        step = call(self._functions(), text)
        if isinstance(step, Malformed):
            self.malformed += 1
            return step.sentence
        op, arguments = step
        case = self.task.payload

        # A flaky operation fails at its first call, before it can have an effect.
        if op in case["flaky"] and op not in self._failures:
            self._failures.append(op)
            return TRY_AGAIN
        if op == "finish":
            return self._verdict()

        words = VOCABULARIES[case["vocabulary"]]
        answer, worked = apply(self._state, op, arguments, case["says"], words)
        if worked:
            self._log.append((op, arguments))
            if case["level"] == 0:
                return self._verdict()
        return answer

    def oracle(self, task: Task) -> list[str]:
        """Looks up what the policy needs, settles each request, and finishes."""
        case = task.payload
        vocabulary = case["vocabulary"]
        offered = tuple(case["offered"])
        return [
            render(vocabulary, offered, op, arguments)
            for op, arguments in solution_steps(case)
        ]

    def critical(self, task: Task) -> list[str]:
        """The names of the tools that settle the requests, or the actions of a merged one."""
        case = task.payload
        words = VOCABULARIES[case["vocabulary"]]
        merged = MERGED if "update" in case["offered"] else ()
        # A dictionary keeps the order of the requests.
        spans: dict[str, None] = {}
        for decision in decisions(case):
            op = decision.op
            names = words.verbs if op in merged else words.tools
            spans[f'"{names[op]}"'] = None
        return list(spans)

    def twin(self, task: Task) -> Task:
        """The same task with one fact changed, so that another tool is right."""
        case = flip(task.payload)
        if case is None:
            raise ValueError(f"no single fact flips what is right in {task.id}")
        return as_task(task.id, task.split, case)

    def chance(self, level: int) -> float:
        """Success rate on `train` of `random_turn` at every turn; above level 0 measured."""
        return _CHANCE[level]

    def random_turn(self, rng: np.random.Generator) -> str:
        """A uniform one of the offered tools, with uniform arguments out of the records."""
        case = self.task.payload
        offered = tuple(case["offered"])
        op = self._random_op(rng, offered)
        arguments = {}
        for key, values in self._argument_values(op).items():
            value = rng.choice(values)
            arguments[key] = str(value)
        return render(
            case["vocabulary"],
            offered,
            op,
            arguments,
        )

    def _random_op(self, rng: np.random.Generator, offered: Sequence[str]) -> str:
        """A uniform one of the offered operations; for a merged tool, one of its actions."""
        # Functions and operations are in the same order.
        names = list(self._functions())
        name = str(rng.choice(names))
        op = offered[names.index(name)]
        if op != "update":
            return op
        # Exchanges begin at level 2.
        actions = MERGED[:2] if self.task.level < 2 else MERGED
        action = rng.choice(actions)
        return str(action)

    def _argument_values(self, op: str) -> Mapping[str, Sequence[str]]:
        """By argument of an operation, the values in the records that it can take."""
        state = self.task.payload["state"]
        orders = list(state["orders"])
        items = list(state["items"])
        if op == "finish":
            return {}
        if op in ("find", "favour"):
            people = state["people"].values()
            names = [person["name"] for person in people]
            return {"name": names}
        if op == "look":
            # Items matter once there are exchanges.
            ids = orders + items if self.task.level > 1 else orders
            return {"id": ids}
        if op == "exchange":
            return {"order": orders, "item": items}
        return {"order": orders}

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, the records, the log and which tools have failed."""
        snapshot = super().get_state()
        snapshot["state"] = deep_copy(self._state)
        snapshot["log"] = [[op, dict(arguments)] for op, arguments in self._log]
        snapshot["failed"] = list(self._failures)
        return snapshot

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with the records, the log and the failures as they were."""
        super().set_state(state)
        self._state = deep_copy(state["state"])
        self._log = []
        for op, arguments in state["log"]:
            self._log.append((op, dict(arguments)))
        self._failures = list(state["failed"])

    def _functions(self) -> Mapping[str, Any]:
        case = self.task.payload
        offered = tuple(case["offered"])
        return functions(case["vocabulary"], offered)

    def _verdict(self) -> Verdict:
        case = self.task.payload
        wrong = self._wrong_records()
        person = case["state"]["people"][case["person"]]
        violation = rule_violation(
            Rules(**case["rules"]),
            case["state"],
            person["name"],
            self._log,
        )
        passed = not wrong and not violation

        detail = violation or "settled"
        if wrong:
            listed = ", ".join(wrong)
            detail = f"not as it should be: {listed}"
        return Verdict(
            passed=passed,
            score=float(passed),
            detail=detail,
            parts=self._parts(wrong, violation),
        )

    def _parts(self, wrong: Sequence[str], violation: str) -> Mapping[str, float]:
        """The share of right orders, and whether the policy was kept.

        Both are 0 if nothing was settled: doing nothing keeps every rule.
        """
        settled = any(op in WRITES for op, _ in self._log)
        if not settled:
            return {"state": 0.0, "policy": 0.0}
        requests = self.task.payload["requests"]
        right = sum(request["order"] not in wrong for request in requests)
        return {
            "state": right / len(requests),
            "policy": float(not violation),
        }

    def _wrong_records(self) -> list[str]:
        """Ids of the records that are not as in the goal."""
        wrong = []
        for kind, records in goal(self.task.payload).items():
            for key, record in records.items():
                if self._state[kind][key] != record:
                    wrong.append(key)
        return wrong
