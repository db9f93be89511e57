"""One case of a store as plain data: its requests, what settles them, and edits that flip it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from envs.tools.store.policy import Decision, Rules, decide, policy_text
from envs.tools.store.tools import Step
from envs.tools.store.words import STATUSES, VOCABULARIES, Words
from envs.tools.store.world import WRITES, State, apply, deep_copy

__all__ = ["Case", "decisions", "flip", "goal", "plan", "prompt", "solution_steps"]

Case = Mapping[str, Any]
"""A task's payload.

| key | meaning |
|---|---|
| level | difficulty; at level 0 the first order that is settled ends the episode |
| vocabulary | key of `VOCABULARIES` |
| rules | fields of `Rules` |
| state | `people`, `orders` and `items` by id, at the start |
| person | id of who asks |
| says | answers by order, when the person is asked |
| requests | `op` (`cancel`, `return`, `exchange`, `undo`: cancel or return), `order`, `item` |
| offered | operations that have a tool |
| flaky | operations that fail the first time |
"""


def decisions(case: Case) -> list[Decision]:
    """What the policy decides about each request."""
    rules = Rules(**case["rules"])
    return [
        decide(rules, case["state"], case["says"], request, case["offered"])
        for request in case["requests"]
    ]


def plan(case: Case) -> list[Step]:
    """The operations that settle every request by the policy; none of them fails."""
    rules = Rules(**case["rules"])
    steps: list[Step] = []
    if rules.find:
        person = case["state"]["people"][case["person"]]
        name = person["name"]
        steps.append(("find", {"name": name}))

    pairs = zip(case["requests"], decisions(case), strict=True)
    for request, decision in pairs:
        steps += _steps_for(request, decision, looks=rules.look)

    # At level 0 the first settled order ends the episode.
    if case["level"] > 0:
        steps.append(("finish", {}))
    return steps


def _steps_for(
    request: Mapping[str, str],
    decision: Decision,
    *,
    looks: bool,
) -> Iterator[Step]:
    """The operations for one request: first those that the policy needs to decide."""
    order = request["order"]
    if looks:
        yield "look", {"id": order}
    if decision.clause == "stock":
        yield "look", {"id": request["item"]}
    if decision.clause == "ask":
        yield "ask", {"order": order}

    arguments = {"order": order}
    if decision.op == "exchange":
        arguments["item"] = request["item"]
    yield decision.op, arguments


def solution_steps(case: Case) -> list[Step]:
    """The plan; the first call of an operation that fails once is made twice."""
    failing = set(case["flaky"])
    steps = []
    for step in plan(case):
        op, _ = step
        if op in failing:
            failing.remove(op)
            steps.append(step)
        steps.append(step)
    return steps


def goal(case: Case) -> State:
    """The state in which an episode must end."""
    state = deep_copy(case["state"])
    words = VOCABULARIES[case["vocabulary"]]
    for op, arguments in plan(case):
        if op in WRITES:
            apply(state, op, arguments, case["says"], words)
    return state


def prompt(case: Case) -> str:
    """The policy and the person's message; at level 0 the orders with their status too."""
    words = VOCABULARIES[case["vocabulary"]]
    rules = Rules(**case["rules"])
    policy = policy_text(rules, words)
    lines = [policy]
    # A task without look-ups has to show their results.
    if not rules.look:
        lines.append(_orders_line(case, words))

    person = case["state"]["people"][case["person"]]
    speaker = person["name"]
    # The full name is needed only to look the person up.
    if not rules.find:
        speaker, *_ = speaker.split()
    requests = [_request_text(case, request) for request in case["requests"]]
    message = " ".join(requests)
    lines.append(f"{speaker}: {message}")
    return "\n".join(lines)


def _orders_line(case: Case, words: Words) -> str:
    orders = []
    for key, order in case["state"]["orders"].items():
        status = words.status[order["status"]]
        orders.append(f"{key} {status}")
    heading = words.order.capitalize()
    listed = ", ".join(orders)
    return f"{heading}s: {listed}."


def _request_text(case: Case, request: Mapping[str, str]) -> str:
    verbs = VOCABULARIES[case["vocabulary"]].verbs
    subject = _subject(case, request["order"])
    op = request["op"]
    if op == "undo":
        cancel = verbs["cancel"].capitalize()
        give_back = verbs["return"]
        return f"{cancel} or {give_back} {subject}, whichever is allowed."

    verb = verbs[op].capitalize()
    if op != "exchange":
        return f"{verb} {subject}."
    key = request["item"]
    item = case["state"]["items"][key]
    name = item["name"]
    return f"{verb} {subject} for {name} {key}."


def _subject(case: Case, key: str) -> str:
    """The order's id; if the person has to be looked up, a description by its item instead."""
    if not case["rules"]["find"]:
        return key
    words = VOCABULARIES[case["vocabulary"]]
    state = case["state"]
    order = state["orders"][key]
    item = state["items"][order["item"]]
    return words.own.format(item["name"])


def flip(case: Case) -> Case | None:
    """The case with one edit after which another operation is right; None if no edit does that."""
    before = [decision.op for decision in decisions(case)]
    may_refuse = "refuse" in case["offered"]
    for edited in _edits(case):
        after = [decision.op for decision in decisions(edited)]
        if after == before:
            continue
        # Without a tool to refuse, an edit must leave a request that can be met.
        if may_refuse or "refuse" not in after:
            return edited
    return None


def _edits(case: Case) -> Iterator[Case]:
    """Cases that differ in one fact, the facts of the deciding clauses first."""
    for request, decision in zip(case["requests"], decisions(case), strict=True):
        edit = _clause_edit(case, request, decision.clause)
        if edit is not None:
            path, value = edit
            yield _edit(case, path, value)

    for request in case["requests"]:
        path = ("state", "orders", request["order"], "status")
        for status in STATUSES:
            yield _edit(case, path, status)


def _clause_edit(
    case: Case,
    request: Mapping[str, str],
    clause: str,
) -> tuple[tuple[str, ...], object] | None:
    """Path and new value of the fact that a clause is about; None for a clause about none."""
    state = case["state"]
    key = request["order"]
    order = state["orders"][key]
    if clause == "days":
        limit = case["rules"]["days"] or 0
        is_late = order["days"] > limit
        # Past twice the limit, where favoured people cannot return either.
        days = 1 if is_late else 2 * limit + 1
        return ("state", "orders", key, "days"), days
    if clause == "gold":
        owner = order["person"]
        person = state["people"][owner]
        return ("state", "people", owner, "gold"), not person["gold"]
    if clause == "final":
        return ("state", "orders", key, "final"), False
    if clause == "stock":
        item_id = request["item"]
        item = state["items"][item_id]
        stock = 0 if item["stock"] > 0 else 3
        return ("state", "items", item_id, "stock"), stock
    if clause == "ask":
        agrees = case["says"][key]
        return ("says", key), not agrees
    return None


def _edit(case: Case, path: tuple[str, ...], value: object) -> Case:
    """A copy of the case with another value at the path."""
    edited: Any = deep_copy(case)
    *keys, last = path
    inner = edited
    for key in keys:
        inner = inner[key]
    inner[last] = value
    return edited
