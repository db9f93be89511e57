"""The supply of store tasks: seeded, levelled, and split by the numbers of the orders."""

from __future__ import annotations

import hashlib
from functools import cache
from random import Random
from typing import Any

from envs.supply import TaskSource
from envs.tools.store.cases import Case, decisions, flipped, prompt
from envs.tools.store.policy import Rules
from envs.tools.store.words import DOMAINS, PEOPLE, STATUSES
from envs.types import Task

__all__ = ["SPLITS", "VARIANTS", "as_task", "tasks"]

SPLITS = ("train", "id", "ood/tools", "ood/domain", "ood/noise")
VARIANTS = ("renamed", "missing", "extra", "schema")

# Of ten parts of all sets of order numbers, which belong to a split of the shop.
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
# By level: how often a requested order has a status that its request fits.
_FITS = (0.5, 0.6, 0.7, 0.7, 0.85)
_DAYS, _OVER = (7, 10, 14, 21, 30), (50, 80, 100)


@cache
def tasks(split: str, level: int) -> TaskSource:
    """The tasks in the order in which they are drawn; no two have the same prompt."""

    def drawn(rng: Random, task_id: str) -> Task | None:
        case = _case(rng, split, level, int(task_id.rpartition("/")[2]))
        task = as_task(task_id, split, case)
        ours = split == "ood/domain" or _part(task.family) in _PARTS[split]
        return task if ours and flipped(case) is not None else None

    return TaskSource("tool_store", split, level, drawn)


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


def _part(family: str) -> int:
    """One of ten parts, the same in every process."""
    return hashlib.sha256(family.encode()).digest()[0] % 10


def _case(rng: Random, split: str, level: int, number: int) -> dict[str, Any]:
    domain = ("library", "clinic")[number % 2] if split == "ood/domain" else "shop"
    variant = VARIANTS[number % len(VARIANTS)] if split == "ood/tools" else ""
    wishes, offered = _wishes(rng, level, variant)
    case: dict[str, Any] = {
        "level": level,
        "vocabulary": "renamed" if variant == "renamed" else domain,
        "rules": _rules(rng, level).to_json(),
        "says": {},
        "offered": _offered(offered, variant, level),
        "flaky": [],
    }
    _fill(rng, case, domain, wishes)
    if split == "ood/noise":
        settling = sorted({decision.op for decision in decisions(case)})
        case["flaky"] = [rng.choice(settling)] + (["look"] if level else [])
    return case


def _wishes(rng: Random, level: int, variant: str) -> tuple[list[str], list[str]]:
    """The requests' operations and the offered ones, before tools are added or merged."""
    if level == 0:
        pair = rng.choice(_PAIRS[:2] if variant == "missing" else _PAIRS)
        both = variant == "missing" or "refuse" not in pair
        return ["undo" if both else pair[0]], list(pair)
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


def _offered(offered: list[str], variant: str, level: int) -> list[str]:
    if variant == "extra":
        return [*offered, "delete", *(["favour"] if level >= 3 else [])]
    if variant == "schema":
        rest = [op for op in offered if op not in ("cancel", "return", "exchange")]
        return ["update", *rest] if "refuse" in rest else ["update", "refuse"]
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
    """Adds the records, who asks, and the requests."""
    words, level = DOMAINS[domain], case["level"]
    count = len(wishes) + 1
    # Two people at level 3 and above: the other one's orders must stay as they are.
    owners = rng.sample(["C1", "C2", "C3"], 2 if level >= 3 else 1)
    orders = [
        f"{words.prefixes[0]}{n}" for n in rng.sample(range(100, 1000), count + 1)
    ]
    orders = orders[: count + (level >= 3)]
    items = [
        f"{words.prefixes[1]}{n}" for n in rng.sample(range(10, 100), 2 * count + 1)
    ]
    names = rng.sample(words.items, len(items))
    case["person"] = owners[0]
    case["state"] = {
        "people": {
            key: {"name": name, "gold": level >= 3 and rng.random() < 0.5, "orders": []}
            for key, name in zip(owners, rng.sample(PEOPLE, len(owners)), strict=True)
        },
        "orders": {},
        "items": {
            key: _item(rng, case, name) for key, name in zip(items, names, strict=True)
        },
    }
    asked = rng.sample(orders[:count], len(wishes))
    ops = dict(zip(asked, wishes, strict=True))
    for place, key in enumerate(orders):
        owner = owners[0] if place < count else owners[1]
        case["state"]["people"][owner]["orders"].append(key)
        case["state"]["orders"][key] = _order(
            rng, case, owner, items[place], ops.get(key)
        )
        if level >= 4:
            case["says"][key] = rng.random() < 0.6
    spare = iter(items[count + 1 :])
    case["requests"] = [
        {"op": op, "order": key, "item": next(spare) if op == "exchange" else ""}
        for key, op in ops.items()
    ]


def _item(rng: Random, case: dict[str, Any], name: str) -> dict[str, Any]:
    stock = 0 if rng.random() < 0.35 else rng.randint(1, 5)
    over = case["rules"]["ask_over"]
    price = (
        rng.randint(10, 200)
        if over is None or rng.random() < 0.3
        else rng.randint(over, 200)
    )
    return {"name": name, "price": price, "stock": stock}


def _order(
    rng: Random, case: dict[str, Any], owner: str, item: str, wish: str | None
) -> dict[str, Any]:
    level, limit = case["level"], case["rules"]["days"] or 10
    fitting = _FITTING.get(wish or "", STATUSES)
    if wish == "undo" and "refuse" not in case["offered"]:
        fitting = ("open", "done")
    elif rng.random() > _FITS[level]:
        fitting = (
            tuple(status for status in STATUSES if status not in fitting) or STATUSES
        )
    spans = ((1, limit), (1, limit), (limit + 1, 2 * limit), (2 * limit + 1, 3 * limit))
    return {
        "person": owner,
        "item": item,
        "status": rng.choice(fitting),
        "days": rng.randint(*rng.choice(spans)),
        "final": level >= 4 and rng.random() < 0.25,
        "outcome": "",
    }
