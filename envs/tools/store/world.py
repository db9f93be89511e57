"""The records of a store, and the effect of each operation on them; no policy is enforced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from envs.tools.store.words import Words

__all__ = ["WRITES", "Records", "State", "apply", "deep_copy"]

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

MAX_ID_CHARS = 40


def deep_copy(state: Mapping[str, Any]) -> State:
    """A deep copy of plain data."""
    return json.loads(json.dumps(state))


def apply(
    state: State,
    op: str,
    arguments: Mapping[str, str],
    says: Mapping[str, bool],
    words: Words,
) -> tuple[str, bool]:
    """The reply to an operation, and whether it took effect; `state` is changed in place.

    `says` holds the person's answers by order. Only the impossible is refused: an unknown id, an
    order that is settled already, an exchange for the same item or for one that is out of stock.
    """
    if op == "find":
        return _find_person(state, arguments["name"], words)
    if op == "look":
        return _look_up(state, arguments["id"], words)
    if op == "favour":
        return _favour(state, arguments["name"], words)

    key = arguments["order"]
    order = state["orders"].get(key)
    if order is None:
        return f"no {words.order} {_short(key)}", False
    if op == "ask":
        agrees = says.get(key, True)
        return ("yes, go on" if agrees else "no, leave it as it is"), True
    if order["outcome"]:
        return f"{key} is settled already", False

    if op == "exchange":
        problem = _exchange(state, order, arguments["item"], words)
        if problem:
            return problem, False
    order["outcome"] = WRITES[op]
    return "done", True


def _look_up(state: State, key: str, words: Words) -> tuple[str, bool]:
    """The record of an order or an item in the domain's words."""
    if key in state["orders"]:
        text = _order_text(state, key, words)
        return text, True
    item = state["items"].get(key)
    if item is None:
        return f"no record {_short(key)}", False
    name = item["name"]
    stock = item["stock"]
    return f"{key}: {name}, {stock} {words.stock}", True


def _order_text(state: State, key: str, words: Words) -> str:
    order = state["orders"][key]
    item_id = order["item"]
    item = state["items"][item_id]
    status = words.status[order["status"]]
    parts = [
        f"{item['name']} {item_id}",
        f"{words.price} {item['price']}",
        f"{status} {order['days']} days ago",
    ]
    if order["final"]:
        parts.append(words.final)
    if order["outcome"]:
        parts.append("settled")
    listed = ", ".join(parts)
    return f"{key}: {listed}"


def _find_person(state: State, name: str, words: Words) -> tuple[str, bool]:
    for person in state["people"].values():
        if person["name"] == name:
            text = _person_text(state, person, words)
            return text, True
    return f"no {words.person} {_short(name)}", False


def _person_text(state: State, person: Mapping[str, Any], words: Words) -> str:
    orders = []
    for key in person["orders"]:
        order = state["orders"][key]
        item = state["items"][order["item"]]
        name = item["name"]
        orders.append(f"{key} {name}")
    listed = ", ".join(orders)
    kind = words.gold
    if not person["gold"]:
        kind = f"not {words.gold}"
    name = person["name"]
    return f"{name}: {kind}; {words.order}s {listed}"


def _favour(state: State, name: str, words: Words) -> tuple[str, bool]:
    for person in state["people"].values():
        if person["name"] == name and not person["gold"]:
            person["gold"] = True
            return "done", True
    return f"no {words.person} {_short(name)} to upgrade", False


def _exchange(state: State, order: dict[str, Any], key: str, words: Words) -> str:
    """Exchanges the order's item; when that is impossible, only says why."""
    items = state["items"]
    item = items.get(key)
    if item is None:
        return f"no {words.item} {_short(key)}"
    if item["stock"] < 1:
        return f"{key} has none {words.stock}"
    if key == order["item"]:
        return "that is the same"

    old_item = items[order["item"]]
    old_item["stock"] += 1
    item["stock"] -= 1
    order["item"] = key
    return ""


def _short(text: str) -> str:
    """The text in quotes: a policy may write an id of any length."""
    return repr(text[:MAX_ID_CHARS])
