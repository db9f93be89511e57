"""TextCraft by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from envs.base import TextEnv
from envs.published.textcraft.plan import plan
from envs.published.textcraft.recipes import FILE, recipe_book, words
from envs.releases import PublishedFile
from envs.supply import split_of
from envs.types import Task, Verdict

__all__ = ["TextCraft"]

DISTRACTORS = 10
USES = 10
MAX_DEPTH = 3
OWNERS = ("train",) * 7 + ("id",) * 3

_CRAFT = re.compile(r"craft (?:\d{1,4} )?(.+) using (.+)")
_GET = re.compile(r"get (\d{1,4}) (.+)")
_COUNTED = re.compile(r"(\d{1,4}) (.+)")
_LABEL = re.compile(r"^(?:>|action:)\s*", re.IGNORECASE)


class TextCraft(TextEnv):
    """Craft an item of Minecraft by recipes that are listed among others (arXiv:2311.05772).

    | | |
    |---|---|
    | prompt | the recipes that are needed and up to ten others, in random order, and the goal |
    | turn | a command in its last line: `get 2 oak logs`, `craft 4 oak planks using 1 oak logs`, |
    | | `inventory`; with or without `Action:` before it |
    | reply | `Got 2 oak logs`, `Crafted 4 minecraft:oak_planks`, or what is wrong |
    | verifier | the goal is crafted |
    | limits | 20 turns, or twice what the oracle needs if that is more |
    | levels 0 to 2 | 1, 2, and 3 or 4 recipes follow each other to the goal |
    | `train`, `id` | seven and three of ten families of goals: the authors publish no split |
    | size | 544 goals |
    | family | the goal's group of recipes, such as `boat`, or the goal |
    | oracle | what can be had is got, what cannot is crafted, by the shortest chain of recipes |
    | twin, chance | none: commands are open |
    | source, licence | github.com/WooooDyy/AgentGym, MIT; recipes: Minecraft's |

    As AgentGym's environment plays it, but with tasks that are the same on every machine: recipes
    are read, and other ones drawn, in the order of their names.
    """

    name = "textcraft"
    levels = (0, 1, 2)
    max_turns = 20
    instructions = (
        "Craft the goal by the crafting commands below. One command a turn, in its last line: "
        "`get 2 oak logs` for an item that no command crafts, "
        "`craft 4 oak planks using 1 oak logs`, or `inventory`."
    )

    def __init__(self) -> None:
        super().__init__()
        self._inventory: Counter[str] = Counter()

    @classmethod
    def files(cls) -> Sequence[PublishedFile]:
        """What it reads."""
        return (FILE,)

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The goals of a split at a level. Raises MissingDataError without the recipes."""
        return _tasks(split, level)

    def turn_budget(self, task: Task) -> int:
        """20, or twice what the oracle needs."""
        return max(self.max_turns, 2 * len(self.oracle(task)))

    def begin(self, task: Task) -> None:
        """Nothing is carried."""
        self._inventory = Counter()

    def reply(self, text: str) -> str | Verdict:
        """Does what the last line commands."""
        line = text.strip().rpartition("\n")[2]
        command = _LABEL.sub("", line.strip()).strip("`. ").lower()
        if command == "inventory":
            return self._inventory_text()
        if match := _GET.fullmatch(command):
            return self._get(int(match[1]), _name(match[2]))
        if match := _CRAFT.fullmatch(command):
            return self._craft(_name(match[1]), match[2])
        self.malformed += 1
        return f"Could not execute {line[:100]}"

    def _inventory_text(self) -> str:
        items = [
            f"[{words(item)}] ({count})"
            for item, count in self._inventory.items()
            if count
        ]
        return f"Inventory: {' '.join(items) or 'You are not carrying anything.'}"

    def _get(self, count: int, item: str) -> str:
        if not recipe_book().is_available(item):
            return f"Could not find {words(item)}"
        self._inventory[item] += count
        return f"Got {count} {words(item)}"

    def _craft(self, item: str, listed: str) -> str | Verdict:
        taken: Counter[str] = Counter()
        for part in listed.split(","):
            match = _COUNTED.fullmatch(part.strip())
            if match is None:
                self.malformed += 1
                return f"Wrong item format: {part.strip()[:100]}"
            taken[_name(match[2])] += int(match[1])
        if any(self._inventory[name] < count for name, count in taken.items()):
            return f"Could not find enough items to craft minecraft:{item}"
        recipe = recipe_book().match(item, taken)
        if recipe is None:
            return f"Could not find a valid recipe for minecraft:{item}"

        self._inventory.subtract(taken)
        self._inventory[item] += recipe.count
        reply = f"Crafted {recipe.count} minecraft:{item}"
        if item == self.task.payload["goal"]:
            return Verdict(True, 1.0, reply)
        return reply

    def oracle(self, task: Task) -> list[str]:
        """Commands that craft the goal."""
        return plan(recipe_book(), task.payload["goal"])

    def critical(self, task: Task) -> list[str]:
        """The command that crafts the goal."""
        return self.oracle(task)[-1:]

    def get_state(self) -> dict[str, Any]:
        """The base's snapshot, and what is carried."""
        return {**super().get_state(), "inventory": dict(self._inventory)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters the episode with what was carried."""
        super().set_state(state)
        self._inventory = Counter(state["inventory"])


def _name(text: str) -> str:
    return "_".join(text.split())


@cache
def _tasks(split: str, level: int) -> Sequence[Task]:
    """The goals whose family belongs to the split, sorted."""
    book = recipe_book()
    tasks: list[Task] = []
    for goal in book.craftable:
        family = book.recipes(goal)[0].tag or goal
        depth_level = min(book.depth(goal), MAX_DEPTH) - 1
        if depth_level == level and split_of(family, OWNERS) == split:
            tasks.append(
                Task(
                    id=f"{split}/{level}/{goal}",
                    split=split,
                    level=level,
                    family=family,
                    prompt=_prompt(goal),
                    payload={"goal": goal},
                )
            )
    return tasks


def _prompt(goal: str) -> str:
    """The recipes that are needed among others, and the goal."""
    book = recipe_book()
    rng = Random(f"textcraft {goal}")
    needed = book.recipes_behind(goal)
    commands = {recipe.command for recipe in needed}
    others: dict[str, None] = {}
    for recipe in needed:
        for ingredient in recipe.ingredients:
            uses = book.uses(ingredient.name)
            for use in rng.sample(uses, min(USES, len(uses))):
                if use.command not in commands:
                    others[use.command] = None
    chosen = rng.sample(list(others), min(DISTRACTORS, len(others)))
    listed = [*sorted(commands), *chosen]
    rng.shuffle(listed)
    lines = "\n".join(listed)
    return f"Crafting commands:\n{lines}\n\nGoal: craft {words(goal)}."
