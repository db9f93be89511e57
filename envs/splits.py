"""Which splits exist, and what two of them must not share."""

from __future__ import annotations

from collections.abc import Iterable

from envs.types import Task

__all__ = ["SHIFTS", "check_split", "overlaps"]

SHIFTS = ("difficulty", "surface", "tools", "composition", "domain", "noise")


def check_split(name: str) -> str:
    """The name itself. Raises ValueError for other than `train`, `id` and `ood/<shift>`."""
    splits = ["train", "id"]
    splits += [f"ood/{shift}" for shift in SHIFTS]
    if name not in splits:
        raise ValueError(
            f"unknown split {name!r}; expected train, id or ood/<shift>, shift one of "
            + ", ".join(SHIFTS)
        )
    return name


def overlaps(tasks: Iterable[Task]) -> list[str]:
    """A sentence for each family or content hash that two splits share, and each repeated id."""
    owners: dict[tuple[str, str], Task] = {}
    problems: list[str] = []
    for task in tasks:
        values = {
            "family": task.family,
            "content": task.content_hash,
        }
        for kind, value in values.items():
            owner = owners.setdefault((kind, value), task)
            if owner.split != task.split:
                problems.append(f"{owner.id} and {task.id} share {kind} {value}")
        owner = owners.setdefault(("id", task.id), task)
        if owner is not task:
            problems.append(f"two tasks have the id {task.id}")
    return problems
