"""The written policy of a store: its text, its decisions, and its violations in a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from envs.tools.store.words import Words
from envs.tools.store.world import WRITES, State

__all__ = ["Decision", "Rules", "decide", "policy_text", "rule_violation"]

_NEEDED = {"cancel": "open", "exchange": "open", "return": "done"}
_UNDO = {"open": "cancel", "done": "return"}


@dataclass(frozen=True)
class Rules:
    """The clauses of a task's policy; a clause that is off is None or False.

    | field | meaning |
    |---|---|
    | days | an order can be returned up to that many days after it is done |
    | look | every order is looked up before it is settled |
    | stock | an order is exchanged only for an item that is in stock |
    | gold | favoured people have twice the days |
    | find | the person is looked up before anything is settled |
    | final | orders with a mark are never returned |
    | ask_over | the person is asked before an order over this price is cancelled |
    """

    days: int | None = None
    look: bool = False
    stock: bool = False
    gold: bool = False
    find: bool = False
    final: bool = False
    ask_over: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields, for `Rules(**fields)`."""
        return asdict(self)


@dataclass(frozen=True)
class Decision:
    """What to do about a request, and the clause that decides it.

    Clauses: `status`, `days`, `gold`, `final`, `stock`, `ask` and `tool` (none can do it).
    """

    op: str
    clause: str


def decide(
    rules: Rules,
    state: State,
    says: Mapping[str, bool],
    request: Mapping[str, str],
    offered: Sequence[str],
) -> Decision:
    """What the policy decides about a request, in the state before anything was settled.

    `update` among the offered operations stands for cancel, return and exchange.
    """
    key = request["order"]
    order = state["orders"][key]
    op = request["op"]
    if op == "undo":
        op = _UNDO.get(order["status"], "refuse")
    if order["status"] != _NEEDED.get(op):
        return Decision("refuse", "status")
    if op not in offered and "update" not in offered:
        return Decision("refuse", "tool")

    if op == "exchange" and rules.stock:
        item = state["items"][request["item"]]
        in_stock = item["stock"] > 0
        return Decision("exchange" if in_stock else "refuse", "stock")

    if op == "cancel" and rules.ask_over is not None:
        # The person is asked about expensive orders alone.
        if not _is_expensive(rules, state, key):
            return Decision("cancel", "status")
        agrees = says.get(key, True)
        return Decision("cancel" if agrees else "refuse", "ask")

    if op == "return":
        person = state["people"][order["person"]]
        return _decide_return(rules, order, gold=person["gold"])
    return Decision(op, "status")


def _decide_return(rules: Rules, order: Mapping[str, Any], *, gold: bool) -> Decision:
    if rules.final and order["final"]:
        return Decision("refuse", "final")
    if rules.days is None:
        return Decision("return", "status")
    days = order["days"]
    if days <= rules.days:
        return Decision("return", "days")
    # Between the limit and twice the limit the mark alone decides.
    if rules.gold and days <= 2 * rules.days:
        return Decision("return" if gold else "refuse", "gold")
    return Decision("refuse", "days")


def rule_violation(
    rules: Rules,
    state: State,
    person: str,
    log: Iterable[Sequence[Any]],
) -> str:
    """How a log of `(operation, arguments)` first breaks a hard rule; "" when it keeps all of them.

    `state` is the one before the first operation, `person` the name of who asks.
    """
    person_seen = False
    looked_up = set()
    asked_about = set()
    for op, arguments in log:
        if op == "find":
            person_seen = person_seen or arguments["name"] == person
        elif op == "look":
            looked_up.add(arguments["id"])
        elif op == "ask":
            asked_about.add(arguments["order"])
        elif op in WRITES:
            order = arguments["order"]
            if rules.find and not person_seen:
                return f"{order} was settled before {person} was looked up"
            if rules.look and order not in looked_up:
                return f"{order} was settled before it was looked up"
            # Asking afterwards is too late: the log is read in its order.
            must_ask = op == "cancel" and _is_expensive(rules, state, order)
            if must_ask and order not in asked_about:
                return f"{order} was cancelled before {person} was asked"
    return ""


def _is_expensive(rules: Rules, state: State, order: str) -> bool:
    if rules.ask_over is None:
        return False
    item = state["orders"][order]["item"]
    return state["items"][item]["price"] > rules.ask_over


def policy_text(rules: Rules, words: Words) -> str:
    """The policy in the domain's words; one line when only the status matters."""
    cancel = words.verbs["cancel"]
    give_back = words.verbs["return"]
    orders = f"{words.order}s"
    is_open = words.status["open"]
    is_done = words.status["done"]
    if rules.days is None:
        return (
            f"Policy: {cancel} {orders} that are {is_open}, {give_back} {orders} that are "
            f"{is_done}, refuse all else."
        )

    clauses = [
        f"Look up every {words.order} before you {cancel}, {give_back} or refuse it.",
        f"{cancel.capitalize()} only {orders} that are {is_open}.",
        f"{give_back.capitalize()} only {orders} that are {is_done}, at most {rules.days} "
        "days ago.",
        *_optional_lines(rules, words),
        "Refuse what is not allowed or what no tool can do. Change nothing else.",
    ]
    lines = ["Policy:"]
    for number, clause in enumerate(clauses, start=1):
        lines.append(f"{number}. {clause}")
    return "\n".join(lines)


def _optional_lines(rules: Rules, words: Words) -> list[str]:
    """The clauses that higher levels add, in the order of the levels."""
    orders = f"{words.order}s"
    lines = []
    if rules.stock:
        exchange = words.verbs["exchange"].capitalize()
        lines.append(
            f"{exchange} only {orders} that are {words.status['open']}, for a {words.item} "
            f"with some {words.stock}."
        )
    if rules.find:
        lines.append(f"Look up the {words.person} first.")
    if rules.gold:
        days = 2 * (rules.days or 0)
        lines.append(f"A {words.person} who is {words.gold} has {days} days.")
    if rules.final:
        lines.append(f"Never {words.verbs['return']} {orders} marked {words.final}.")
    if rules.ask_over is not None:
        lines.append(
            f"Before you {words.verbs['cancel']} {orders} with a {words.price} over "
            f"{rules.ask_over}, ask the {words.person}; on a no, refuse."
        )
    return lines
