"""The records of a store, and what each operation does to them; it enforces no policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from envs.tools.store.words import Words

__all__ = ["WRITES", "Records", "State", "applied", "copied", "shown"]

Records = dict[str, dict[str, Any]]
State = dict[str, Records]

# What the operations that settle an order leave in its `outcome`.
WRITES = {
    "cancel": "cancelled",
    "return": "returned",
    "exchange": "exchanged",
    "refuse": "refused",
    "delete": "deleted",
}

_LONGEST_ID = 40


def copied(state: Mapping[str, Any]) -> State:
    """A deep copy of plain data."""
    return json.loads(json.dumps(state))


def applied(
    state: State,
    op: str,
    arguments: Mapping[str, str],
    says: Mapping[str, bool],
    words: Words,
) -> tuple[str, bool]:
    """The reply to an operation, and whether it took effect; `state` is changed in place.

    `says` holds the person's answers by order. Only what is impossible is refused: an unknown id,
    an order that is settled already, an item that is the same or that nothing is left of.
    """
    if op == "find":
        return _found(state, arguments["name"], words)
    if op == "look":
        return shown(state, arguments["id"], words)
    if op == "favour":
        return _favoured(state, arguments["name"], words)
    key = arguments["order"]
    order = state["orders"].get(key)
    if order is None:
        return f"no {words.order} {key[:_LONGEST_ID]!r}", False
    if op == "ask":
        return ("yes, go on" if says.get(key, True) else "no, leave it as it is"), True
    if order["outcome"]:
        return f"{key} is settled already", False
    if op == "exchange" and (
        problem := _exchanged(state, order, arguments["item"], words)
    ):
        return problem, False
    order["outcome"] = WRITES[op]
    return "done", True


def shown(state: State, key: str, words: Words) -> tuple[str, bool]:
    """A record of an order or an item in the domain's words."""
    if key in state["orders"]:
        order = state["orders"][key]
        item = state["items"][order["item"]]
        when = f"{words.status[order['status']]} {order['days']} days ago"
        parts = [
            f"{item['name']} {order['item']}",
            f"{words.price} {item['price']}",
            when,
        ]
        parts += [words.final] if order["final"] else []
        parts += ["settled"] if order["outcome"] else []
        return f"{key}: {', '.join(parts)}", True
    if key in state["items"]:
        item = state["items"][key]
        return f"{key}: {item['name']}, {item['stock']} {words.stock}", True
    return f"no record {key[:_LONGEST_ID]!r}", False


def _found(state: State, name: str, words: Words) -> tuple[str, bool]:
    for person in state["people"].values():
        if person["name"] == name:
            orders = state["orders"]
            listed = ", ".join(
                f"{key} {state['items'][orders[key]['item']]['name']}"
                for key in person["orders"]
            )
            kind = words.gold if person["gold"] else f"not {words.gold}"
            return f"{name}: {kind}; {words.order}s {listed}", True
    return f"no {words.person} {name[:_LONGEST_ID]!r}", False


def _favoured(state: State, name: str, words: Words) -> tuple[str, bool]:
    for person in state["people"].values():
        if person["name"] == name and not person["gold"]:
            person["gold"] = True
            return "done", True
    return f"no {words.person} {name[:_LONGEST_ID]!r} to upgrade", False


def _exchanged(state: State, order: dict[str, Any], key: str, words: Words) -> str:
    """What is wrong with an exchange; it takes place where nothing is."""
    item = state["items"].get(key)
    if item is None:
        return f"no {words.item} {key[:_LONGEST_ID]!r}"
    if key == order["item"] or item["stock"] < 1:
        return (
            f"{key} has none {words.stock}" if item["stock"] < 1 else "that is the same"
        )
    item["stock"] -= 1
    state["items"][order["item"]]["stock"] += 1
    order["item"] = key
    return ""
