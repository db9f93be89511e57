"""Store tasks: drawn from a seed by level, and split by the numbers of their orders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Any

from envs.supply import TaskSource
from envs.tools.store.cases import Case, decisions, flip, prompt
from envs.tools.store.policy import Rules
from envs.tools.store.tools import MERGED
from envs.tools.store.words import DOMAINS, PEOPLE, STATUSES, Words
from envs.types import Task

__all__ = ["SPLITS", "VARIANTS", "as_task", "tasks"]

SPLITS = ("train", "id", "ood/tools", "ood/domain", "ood/noise")
VARIANTS = ("renamed", "missing", "extra", "schema")

# Sets of order numbers fall into ten parts: those of each split of the shop.
_PARTS = {
    "train": range(6),
    "id": range(6, 8),
    "ood/tools": range(8, 9),
    "ood/noise": range(9, 10),
}

_PAIRS = (("cancel", "refuse"), ("return", "refuse"), ("cancel", "return"))
_OFFERED = (
    (),
    ("look", "cancel", "return", "refuse", "finish"),
    ("look", "cancel", "return", "exchange", "refuse", "finish"),
    ("find", "look", "cancel", "return", "exchange", "refuse", "finish"),
    ("find", "look", "cancel", "return", "exchange", "refuse", "ask", "finish"),
)
_FITTING = {"cancel": ("open",), "exchange": ("open",), "return": ("done",)}
# By level: the probability that the status of a requested order fits its request.
_FITS = (0.5, 0.6, 0.7, 0.7, 0.85)
_DAYS, _OVER = (7, 10, 14, 21, 30), (50, 80, 100)


@cache
def tasks(split: str, level: int) -> TaskSource:
    """The tasks in the order in which they are drawn; no two have the same prompt."""

    def draw(rng: Random, task_id: str) -> Task | None:
        """A task; None when it belongs to another split or has no twin."""
        number = int(task_id.rpartition("/")[2])
        case = _case(rng, split, level, number)
        task = as_task(task_id, split, case)
        if not _belongs(task.family, split) or flip(case) is None:
            return None
        return task

    return TaskSource("tool_store", split, level, draw)


def as_task(task_id: str, split: str, case: Case) -> Task:
    """The task of a case; its family is the domain's letter and the numbers of the orders."""
    return Task(
        id=task_id,
        split=split,
        level=case["level"],
        family=" ".join(sorted(case["state"]["orders"])),
        prompt=prompt(case),
        payload=case,
    )


def _belongs(family: str, split: str) -> bool:
    """Whether the split may use a set of order numbers; other domains have numbers of their own."""
    if split == "ood/domain":
        return True
    # One of ten parts, the same in every process.
    digest = hashlib.sha256(family.encode()).digest()
    part = digest[0] % 10
    return part in _PARTS[split]


def _case(rng: Random, split: str, level: int, number: int) -> dict[str, Any]:
    domain = "shop"
    variant = ""
    if split == "ood/domain":
        domain = ("library", "clinic")[number % 2]
    if split == "ood/tools":
        variant = VARIANTS[number % len(VARIANTS)]

    wishes, offered = _wishes(rng, level, variant)
    case: dict[str, Any] = {
        "level": level,
        "vocabulary": "renamed" if variant == "renamed" else domain,
        "rules": _rules(rng, level).to_json(),
        "says": {},
        "offered": _vary(offered, variant, level),
        "flaky": [],
    }
    _fill(rng, case, domain, wishes)

    if split == "ood/noise":
        settling = sorted({decision.op for decision in decisions(case)})
        case["flaky"].append(rng.choice(settling))
        if level > 0:
            case["flaky"].append("look")
    return case


def _wishes(rng: Random, level: int, variant: str) -> tuple[list[str], list[str]]:
    """The operations of the requests, and the offered ones before tools are added or merged."""
    if level == 0:
        return _two_tools(rng, variant)
    if level == 1:
        wishes = [rng.choice(["cancel", "return", "undo"])]
    elif level < 4:
        wishes = rng.sample(["cancel", "return", "exchange", "undo"], 2)
    else:
        wishes = rng.sample(["cancel", "return", "exchange"], 3)

    offered = list(_OFFERED[level])
    if variant == "missing":
        wishes[0] = "undo"
        offered.remove(rng.choice(["cancel", "return"]))
    return wishes, offered


def _two_tools(rng: Random, variant: str) -> tuple[list[str], list[str]]:
    """The wish and the tools of level 0, between which the order's status decides."""
    missing = variant == "missing"
    pairs = _PAIRS[:2] if missing else _PAIRS
    pair = list(rng.choice(pairs))
    # A wish for "cancel or return" does not say which of two tools that act is right.
    if missing or "refuse" not in pair:
        return ["undo"], pair
    return pair[:1], pair


def _vary(offered: list[str], variant: str, level: int) -> list[str]:
    """The offered operations of a variant: with harmful ones, or with a merged one."""
    if variant == "extra":
        harmful = ["delete", "favour"] if level >= 3 else ["delete"]
        return offered + harmful
    if variant == "schema":
        others = [op for op in offered if op not in MERGED]
        if "refuse" not in others:
            others = ["refuse"]
        return ["update", *others]
    return offered


def _rules(rng: Random, level: int) -> Rules:
    if level == 0:
        return Rules()
    return Rules(
        days=rng.choice(_DAYS),
        look=True,
        stock=level >= 2,
        gold=level >= 3,
        find=level >= 3,
        final=level >= 4,
        ask_over=rng.choice(_OVER) if level >= 4 else None,
    )


def _fill(rng: Random, case: dict[str, Any], domain: str, wishes: list[str]) -> None:
    """Adds the records, who asks, and the requests. The order of the draws fixes the tasks."""
    words = DOMAINS[domain]
    order_prefix, item_prefix = words.prefixes[:2]
    # One order more than requests, and from level 3 on one of a second person: both must stay.
    num_own = len(wishes) + 1
    has_second = case["level"] >= 3
    people = ["C1", "C2", "C3"]
    owners = rng.sample(people, 2 if has_second else 1)
    orders = _ids(rng, order_prefix, range(100, 1000), num_own + 1)
    if not has_second:
        orders.pop()
    items = _ids(rng, item_prefix, range(10, 100), 2 * num_own + 1)

    case["person"] = owners[0]
    case["state"] = {
        "people": {},
        "orders": {},
        "items": {},
    }
    _add_people_and_items(rng, case, owners, items, words)

    chosen = rng.sample(orders[:num_own], len(wishes))
    wish_by_order = dict(zip(chosen, wishes, strict=True))
    for place, key in enumerate(orders):
        owner = owners[0] if place < num_own else owners[1]
        wish = wish_by_order.get(key)
        order = _order(rng, case, owner, items[place], wish)
        _add_order(rng, case, key, order)

    # An order is exchanged for an item that no order has.
    spare = items[num_own + 1 :]
    case["requests"] = _requests(wish_by_order, spare)


def _add_people_and_items(
    rng: Random,
    case: dict[str, Any],
    owners: list[str],
    items: list[str],
    words: Words,
) -> None:
    """Adds who owns orders, and the items by id. The order of the draws fixes the tasks."""
    state = case["state"]
    names = rng.sample(words.items, len(items))
    state["people"] = _people(rng, owners, case["level"])
    for key, name in zip(items, names, strict=True):
        state["items"][key] = _item(rng, case, name)


def _add_order(
    rng: Random,
    case: dict[str, Any],
    key: str,
    order: dict[str, Any],
) -> None:
    """Adds an order to the records, to its owner, and from level 4 on an answer about it."""
    state = case["state"]
    state["orders"][key] = order
    owner = state["people"][order["person"]]
    owner["orders"].append(key)
    if case["level"] >= 4:
        case["says"][key] = rng.random() < 0.6


def _ids(rng: Random, prefix: str, numbers: range, count: int) -> list[str]:
    chosen = rng.sample(numbers, count)
    return [f"{prefix}{number}" for number in chosen]


def _people(rng: Random, owners: list[str], level: int) -> dict[str, Any]:
    names = rng.sample(PEOPLE, len(owners))
    people = {}
    for key, name in zip(owners, names, strict=True):
        people[key] = {
            "name": name,
            "gold": level >= 3 and rng.random() < 0.5,
            "orders": [],
        }
    return people


def _requests(wish_by_order: Mapping[str, str], spare: list[str]) -> list[Any]:
    unused = iter(spare)
    requests = []
    for key, op in wish_by_order.items():
        request = {
            "op": op,
            "order": key,
            "item": next(unused) if op == "exchange" else "",
        }
        requests.append(request)
    return requests


def _item(rng: Random, case: dict[str, Any], name: str) -> dict[str, Any]:
    stock = 0 if rng.random() < 0.35 else rng.randint(1, 5)
    over = case["rules"]["ask_over"]
    # Most prices are over the limit, so that asking is usually due.
    lowest = 10
    if over is not None and rng.random() >= 0.3:
        lowest = over
    price = rng.randint(lowest, 200)
    return {"name": name, "price": price, "stock": stock}


def _order(
    rng: Random,
    case: dict[str, Any],
    owner: str,
    item: str,
    wish: str | None,
) -> dict[str, Any]:
    level = case["level"]
    limit = case["rules"]["days"] or 10
    # Half of the orders are recent; the others are past the limit, or past twice the limit.
    recent = (1, limit)
    spans = (
        recent,
        recent,
        (limit + 1, 2 * limit),
        (2 * limit + 1, 3 * limit),
    )
    statuses = _statuses(rng, case, wish)
    status = rng.choice(statuses)
    first_day, last_day = rng.choice(spans)
    return {
        "person": owner,
        "item": item,
        "status": status,
        "days": rng.randint(first_day, last_day),
        "final": level >= 4 and rng.random() < 0.25,
        "outcome": "",
    }


def _statuses(rng: Random, case: dict[str, Any], wish: str | None) -> tuple[str, ...]:
    """The statuses that an order may have: those that fit the wish, or those that do not."""
    if wish == "undo" and "refuse" not in case["offered"]:
        return ("open", "done")
    fitting = _FITTING.get(wish or "", STATUSES)
    if rng.random() <= _FITS[case["level"]]:
        return fitting
    others = tuple(status for status in STATUSES if status not in fitting)
    return others or STATUSES
