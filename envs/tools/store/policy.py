"""The written policy of a store: its text, what it decides, and what breaks it in a log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from envs.tools.store.words import Words
from envs.tools.store.world import WRITES, State

__all__ = ["Decision", "Rules", "broken", "decide", "policy_text"]

_NEEDED = {"cancel": "open", "exchange": "open", "return": "done"}
_UNDO = {"open": "cancel", "done": "return"}


@dataclass(frozen=True)
class Rules:
    """The clauses that hold for a task; a clause that is off is None or False.

    | field | meaning |
    |---|---|
    | days | an order can be returned up to so many days after it is done |
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
    """What the policy wants done about a request, in the state before anything was settled.

    `update` among the offered operations stands for all three that carry out a wish.
    """
    order = state["orders"][request["order"]]
    wanted = request["op"]
    if wanted == "undo":
        wanted = _UNDO.get(order["status"], "refuse")
    if order["status"] != _NEEDED.get(wanted):
        return Decision("refuse", "status")
    if wanted not in offered and "update" not in offered:
        return Decision("refuse", "tool")
    if wanted == "exchange" and rules.stock:
        left = state["items"][request["item"]]["stock"]
        return Decision("exchange" if left > 0 else "refuse", "stock")
    if wanted == "cancel" and rules.ask_over is not None:
        if state["items"][order["item"]]["price"] <= rules.ask_over:
            return Decision("cancel", "status")
        return Decision(
            "cancel" if says.get(request["order"], True) else "refuse", "ask"
        )
    if wanted == "return":
        return _returned(rules, order, gold=state["people"][order["person"]]["gold"])
    return Decision(wanted, "status")


def _returned(rules: Rules, order: Mapping[str, Any], *, gold: bool) -> Decision:
    if rules.final and order["final"]:
        return Decision("refuse", "final")
    if rules.days is None:
        return Decision("return", "status")
    if order["days"] <= rules.days:
        return Decision("return", "days")
    if rules.gold and order["days"] <= 2 * rules.days:
        return Decision("return" if gold else "refuse", "gold")
    return Decision("refuse", "days")


def broken(
    rules: Rules, state: State, person: str, log: Iterable[Sequence[Any]]
) -> str:
    """The first hard rule that a log of `(operation, arguments)` breaks; "" where it keeps all.

    `state` is the one before the first operation, `person` the name of who asks.
    """
    found, seen, asked = False, set(), set()
    for op, arguments in log:
        if op == "find":
            found = found or arguments["name"] == person
        elif op == "look":
            seen.add(arguments["id"])
        elif op == "ask":
            asked.add(arguments["order"])
        elif op in WRITES:
            order = arguments["order"]
            price = state["items"][state["orders"][order]["item"]]["price"]
            if rules.find and not found:
                return f"{order} was settled before {person} was looked up"
            if rules.look and order not in seen:
                return f"{order} was settled before it was looked up"
            over = rules.ask_over is not None and price > rules.ask_over
            if op == "cancel" and over and order not in asked:
                return f"{order} was cancelled before {person} was asked"
    return ""


def policy_text(rules: Rules, words: Words) -> str:
    """The policy in the domain's words; one line where only the status matters."""
    cancel, give_back, exchange = (
        words.verbs[op] for op in ("cancel", "return", "exchange")
    )
    orders, status = f"{words.order}s", words.status
    if rules.days is None:
        return (
            f"Policy: {cancel} {orders} that are {status['open']}, {give_back} {orders} that are "
            f"{status['done']}, refuse all else."
        )
    lines = [
        f"Look up every {words.order} before you {cancel}, {give_back} or refuse it.",
        f"{cancel.capitalize()} only {orders} that are {status['open']}.",
        f"{give_back.capitalize()} only {orders} that are {status['done']}, at most {rules.days} "
        "days ago.",
    ]
    if rules.stock:
        lines.append(
            f"{exchange.capitalize()} only {orders} that are {status['open']}, for a {words.item} "
            f"with some {words.stock}."
        )
    if rules.find:
        lines.append(f"Look up the {words.person} first.")
    if rules.gold:
        lines.append(f"A {words.person} who is {words.gold} has {2 * rules.days} days.")
    if rules.final:
        lines.append(f"Never {give_back} {orders} marked {words.final}.")
    if rules.ask_over is not None:
        lines.append(
            f"Before you {cancel} {orders} with a {words.price} over {rules.ask_over}, ask the "
            f"{words.person}; on a no, refuse."
        )
    lines.append(
        "Refuse what is not allowed or what no tool can do. Change nothing else."
    )
    return "\n".join(
        ["Policy:", *(f"{n}. {line}" for n, line in enumerate(lines, start=1))]
    )
