"""TextCraft's recipes: which item is made of which, and which can be had at once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from envs.releases import RepositoryFolder

__all__ = ["FILE", "Ingredient", "Recipe", "RecipeBook", "recipe_book", "words"]

PREFIX = "minecraft:"
SHAPED, SHAPELESS = "minecraft:crafting_shaped", "minecraft:crafting_shapeless"

FILE = RepositoryFolder(
    "WooooDyy/AgentGym",
    "3ef9235d23e68e7c2920c5422ad957dc8ced5c6c",
    "agentenv-textcraft/agentenv_textcraft/recipes",
    "1c317656added94554830543551940152bcb870ecafd3f2d15b3165fbb2e2ae6",
    "textcraft/recipes.json",
)


def words(name: str) -> str:
    """A name as commands write it: `oak_planks` as `oak planks`."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Ingredient:
    """What a recipe takes: an item, or any item of a tag; and how many of it."""

    name: str
    count: int
    is_tag: bool


@dataclass(frozen=True)
class Recipe:
    """How an item is made.

    | field | meaning |
    |---|---|
    | item, count | what one use makes |
    | tag | the tag of the item; empty if it has none |
    | ingredients | what one use takes |
    """

    item: str
    count: int
    tag: str
    ingredients: tuple[Ingredient, ...]

    @property
    def command(self) -> str:
        """As a prompt lists it: `craft 4 oak planks using 1 oak logs`."""
        taken = ", ".join(
            f"{ingredient.count} {words(ingredient.name)}"
            for ingredient in self.ingredients
        )
        return f"craft {self.count} {words(self.item)} using {taken}"


class RecipeBook:
    """All recipes that lead from items which can be had at once to items that cannot.

    As AgentGym's environment reads them, and in the order of their files' names: a recipe is left
    out if it unpacks a block, and if with those before it an item would be needed to make itself. A
    tag of which no item can be made is an item.
    """

    def __init__(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        self._recipes: defaultdict[str, list[Recipe]] = defaultdict(list)
        self._tag_of: dict[str, str] = {}
        self._items: set[str] = set()
        self._tags: set[str] = set()
        for name in sorted(files):
            recipe = _recipe(files[name])
            if recipe is not None:
                self._add(recipe)
        # Later recipes may make items of a tag.
        for recipes in self._recipes.values():
            recipes[:] = [self._with_items_for_tags(recipe) for recipe in recipes]
        self._depths: dict[str, int] = {}

    @cached_property
    def craftable(self) -> Sequence[str]:
        """Items that have a recipe, sorted."""
        return sorted(self._recipes)

    def recipes(self, item: str) -> Sequence[Recipe]:
        """The recipes of an item; none for one that can be had at once."""
        return self._recipes.get(item, ())

    def members(self, tag: str) -> Sequence[str]:
        """Items of a tag that have a recipe, sorted."""
        return [item for item in self.craftable if self._tag_of.get(item) == tag]

    def is_available(self, item: str) -> bool:
        """Whether an item can be had at once."""
        is_made = item in self._recipes or bool(self.members(item))
        return item in self._items and item not in self._tags and not is_made

    def depth(self, name: str) -> int:
        """How many recipes follow each other to an item or an item of a tag; 0: none."""
        if name not in self._depths:
            recipes = [*self._makers(name)]
            depths = [1 + self._deepest(recipe) for recipe in recipes]
            self._depths[name] = min(depths, default=0)
        return self._depths[name]

    def easiest(self, item: str) -> Recipe:
        """The recipe of an item that has the least depth, the first of several."""
        return min(self.recipes(item), key=self._deepest)

    def item_for(self, ingredient: Ingredient) -> str:
        """The item itself; of a tag the one with the least depth, the first of several."""
        if not ingredient.is_tag:
            return ingredient.name
        return min(self.members(ingredient.name), key=self.depth)

    def match(self, item: str, taken: Mapping[str, int]) -> Recipe | None:
        """The recipe that makes an item of exactly these items and numbers; None if none does."""
        for recipe in self.recipes(item):
            if self._takes(recipe, taken):
                return recipe
        return None

    def recipes_behind(self, item: str) -> list[Recipe]:
        """All recipes of an item, of its ingredients, of theirs, and so on."""
        recipes: dict[Recipe, None] = {}
        waiting = [item]
        while waiting:
            for recipe in self._makers(waiting.pop()):
                if recipe not in recipes:
                    recipes[recipe] = None
                    waiting += [ingredient.name for ingredient in recipe.ingredients]
        return list(recipes)

    def uses(self, name: str) -> Sequence[Recipe]:
        """The recipes that take an item or tag, in the order of what they make."""
        return self._uses[name]

    @cached_property
    def _uses(self) -> defaultdict[str, list[Recipe]]:
        uses: defaultdict[str, list[Recipe]] = defaultdict(list)
        for item in self.craftable:
            for recipe in self._recipes[item]:
                for ingredient in recipe.ingredients:
                    uses[ingredient.name].append(recipe)
        return uses

    def _add(self, recipe: Recipe) -> None:
        self._items.add(recipe.item)
        for ingredient in recipe.ingredients:
            (self._tags if ingredient.is_tag else self._items).add(ingredient.name)
        only = recipe.ingredients[0].name if len(recipe.ingredients) == 1 else ""
        if only.endswith("_block"):
            return
        if recipe.tag and recipe.tag != recipe.item:
            self._tags.add(recipe.tag)
            self._tag_of[recipe.item] = recipe.tag
        if not self._needs_itself(recipe):
            self._recipes[recipe.item].append(recipe)

    def _needs_itself(self, recipe: Recipe) -> bool:
        """Whether some ingredient is made of the recipe's item, by the recipes so far."""
        names = {recipe.item, recipe.tag}
        inner = [ingredient.name for ingredient in recipe.ingredients]
        if names.intersection(inner):
            return True
        return any(
            names.intersection(part.name for part in needed.ingredients)
            for name in inner
            for needed in self.recipes_behind(name)
        )

    def _makers(self, name: str) -> Iterator[Recipe]:
        """The recipes of an item, or of all items of a tag."""
        if name in self._recipes:
            yield from self._recipes[name]
        elif name in self._tags:
            for item, recipes in sorted(self._recipes.items()):
                if self._tag_of.get(item) == name:
                    yield from recipes

    def _deepest(self, recipe: Recipe) -> int:
        return max(self.depth(ingredient.name) for ingredient in recipe.ingredients)

    def _with_items_for_tags(self, recipe: Recipe) -> Recipe:
        ingredients: list[Ingredient] = []
        for ingredient in recipe.ingredients:
            is_tag = ingredient.is_tag and any(self._makers(ingredient.name))
            if ingredient.is_tag and not is_tag:
                self._items.add(ingredient.name)
                self._tags.discard(ingredient.name)
            ingredients.append(Ingredient(ingredient.name, ingredient.count, is_tag))
        return Recipe(recipe.item, recipe.count, recipe.tag, tuple(ingredients))

    def _takes(self, recipe: Recipe, taken: Mapping[str, int]) -> bool:
        """Whether each ingredient is one of the items, and no item is left."""
        left = dict(taken)
        for ingredient in recipe.ingredients:
            for item, count in left.items():
                name = self._tag_of.get(item) if ingredient.is_tag else item
                if name == ingredient.name and count == ingredient.count:
                    del left[item]
                    break
            else:
                return False
        return not left


@cache
def recipe_book() -> RecipeBook:
    """The published recipes. Raises MissingDataError if they cannot be had."""
    return RecipeBook(json.loads(FILE.path().read_bytes()))


def _recipe(row: Mapping[str, Any]) -> Recipe | None:
    """The recipe of a file; None for one of another kind, such as a furnace's."""
    counts: defaultdict[tuple[str, bool], int] = defaultdict(int)
    if row["type"] == SHAPED:
        pattern = "".join(row["pattern"])
        for key, value in row["key"].items():
            counts[_name_and_kind(value)] += pattern.count(key)
    elif row["type"] == SHAPELESS:
        for value in row["ingredients"]:
            counts[_name_and_kind(value)] += 1
    else:
        return None

    result: Any = row["result"]
    if isinstance(result, str):
        result = {"item": result}
    return Recipe(
        item=_without_prefix(result["item"]),
        count=result.get("count", 1),
        tag=row.get("group", ""),
        ingredients=tuple(
            Ingredient(name, count, is_tag) for (name, is_tag), count in counts.items()
        ),
    )


def _name_and_kind(value: Any) -> tuple[str, bool]:
    """Name of an item or a tag, and whether it is a tag; the first of several choices."""
    if isinstance(value, list):
        value = value[0]
    is_tag = "item" not in value
    return _without_prefix(value["tag" if is_tag else "item"]), is_tag


def _without_prefix(name: str) -> str:
    return name.removeprefix(PREFIX)
