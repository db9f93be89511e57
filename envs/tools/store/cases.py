"""One case of a store as plain data: what was asked, what settles it, and edits that flip it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from envs.tools.store.policy import Decision, Rules, decide, policy_text
from envs.tools.store.tools import Step
from envs.tools.store.words import STATUSES, VOCABULARIES
from envs.tools.store.world import WRITES, State, applied, copied

__all__ = ["Case", "decisions", "flipped", "goal", "plan", "prompt", "turns_needed"]

Case = Mapping[str, Any]
"""A task's payload.

| key | meaning |
|---|---|
| level | of the task; at level 0 the first order that is settled ends the episode |
| vocabulary | key of `VOCABULARIES` |
| rules | fields of `Rules` |
| state | `people`, `orders` and `items` by id, at the start |
| person | id of who asks |
| says | answers by order, when the person is asked |
| requests | `op` (`cancel`, `return`, `exchange`, `undo`: cancel or return), `order`, `item` |
| offered | operations that there is a tool for |
| flaky | operations that fail the first time |
"""


def decisions(case: Case) -> list[Decision]:
    """What the policy wants done about each request."""
    rules, offered = Rules(**case["rules"]), case["offered"]
    return [
        decide(rules, case["state"], case["says"], r, offered) for r in case["requests"]
    ]


def plan(case: Case) -> list[Step]:
    """The operations that settle every request as the policy wants; none fails in it."""
    state, rules = case["state"], Rules(**case["rules"])
    steps: list[Step] = []
    if rules.find:
        steps.append(("find", {"name": state["people"][case["person"]]["name"]}))
    for request, decision in zip(case["requests"], decisions(case), strict=True):
        order = {"order": request["order"]}
        if rules.look:
            steps.append(("look", {"id": request["order"]}))
        if decision.clause == "stock":
            steps.append(("look", {"id": request["item"]}))
        if decision.clause == "ask":
            steps.append(("ask", order))
        item = {"item": request["item"]} if decision.op == "exchange" else {}
        steps.append((decision.op, order | item))
    return steps if case["level"] == 0 else [*steps, ("finish", {})]


def turns_needed(case: Case) -> list[Step]:
    """The plan, with the first call of every operation that fails once made twice."""
    waiting, steps = set(case["flaky"]), []
    for step in plan(case):
        steps += [step, step] if step[0] in waiting else [step]
        waiting.discard(step[0])
    return steps


def goal(case: Case) -> State:
    """The state in which an episode must end."""
    state, words = copied(case["state"]), VOCABULARIES[case["vocabulary"]]
    for op, arguments in plan(case):
        if op in WRITES:
            applied(state, op, arguments, case["says"], words)
    return state


def prompt(case: Case) -> str:
    """The policy and the person's message; at level 0 the orders with their status too."""
    words, state, rules = (
        VOCABULARIES[case["vocabulary"]],
        case["state"],
        Rules(**case["rules"]),
    )
    lines = [policy_text(rules, words)]
    if not rules.look:
        orders = state["orders"].items()
        listed = ", ".join(
            f"{key} {words.status[order['status']]}" for key, order in orders
        )
        lines.append(f"{words.order.capitalize()}s: {listed}.")
    name = state["people"][case["person"]]["name"]
    asked = " ".join(_asked(case, request) for request in case["requests"])
    return "\n".join([*lines, f"{name if rules.find else name.split()[0]}: {asked}"])


def _asked(case: Case, request: Mapping[str, str]) -> str:
    words, state = VOCABULARIES[case["vocabulary"]], case["state"]
    it = request["order"]
    if case["rules"]["find"]:
        it = words.own.format(state["items"][state["orders"][it]["item"]]["name"])
    cancel, give_back = words.verbs["cancel"], words.verbs["return"]
    if request["op"] == "undo":
        return f"{cancel.capitalize()} or {give_back} {it}, whichever is allowed."
    verb = words.verbs[request["op"]].capitalize()
    if request["op"] == "exchange":
        item = request["item"]
        return f"{verb} {it} for {state['items'][item]['name']} {item}."
    return f"{verb} {it}."


def flipped(case: Case) -> Case | None:
    """The case with one edit after which another operation is right; None where there is none."""
    before = [decision.op for decision in decisions(case)]
    for edited in _edits(case):
        after = [decision.op for decision in decisions(edited)]
        # Where nothing may be refused, an edit must leave a request that can be met.
        if after != before and ("refuse" in case["offered"] or "refuse" not in after):
            return edited
    return None


def _edits(case: Case) -> Iterator[Case]:
    """Cases that differ in one fact, those that the deciding clauses are about first."""
    for request, decision in zip(case["requests"], decisions(case), strict=True):
        yield from _clause_edits(case, request, decision.clause)
    for request in case["requests"]:
        for status in STATUSES:
            yield _edited(case, ("state", "orders", request["order"], "status"), status)


def _clause_edits(
    case: Case, request: Mapping[str, str], clause: str
) -> Iterator[Case]:
    key, state = request["order"], case["state"]
    order, limit = state["orders"][key], case["rules"]["days"] or 0
    at = ("state", "orders", key)
    if clause == "days":
        yield _edited(
            case, (*at, "days"), 1 if order["days"] > limit else 2 * limit + 1
        )
    elif clause == "gold":
        path = ("state", "people", order["person"], "gold")
        yield _edited(case, path, not state["people"][order["person"]]["gold"])
    elif clause == "final":
        yield _edited(case, (*at, "final"), False)
    elif clause == "stock":
        item = request["item"]
        left = 0 if state["items"][item]["stock"] else 3
        yield _edited(case, ("state", "items", item, "stock"), left)
    elif clause == "ask":
        yield _edited(case, ("says", key), not case["says"][key])


def _edited(case: Case, path: tuple[str, ...], value: object) -> Case:
    found: Any = copied(case)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return found
