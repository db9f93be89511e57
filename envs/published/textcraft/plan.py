"""Commands that craft an item from nothing, for the oracle."""

from __future__ import annotations

from collections import Counter

from envs.published.textcraft.recipes import RecipeBook, words

__all__ = ["plan"]


def plan(book: RecipeBook, goal: str) -> list[str]:
    """Commands that end with the goal in hand: what can be had is got, what cannot is crafted."""
    commands: list[str] = []
    stock: Counter[str] = Counter()

    def obtain(item: str, count: int) -> None:
        """Makes that many of an item, for the caller alone; what is left over goes into stock."""
        from_stock = min(stock[item], count)
        stock[item] -= from_stock
        missing = count - from_stock
        if missing and not book.recipes(item):
            commands.append(f"get {missing} {words(item)}")
            return

        while missing > 0:
            recipe = book.easiest(item)
            taken: list[str] = []
            for ingredient in recipe.ingredients:
                chosen = book.item_for(ingredient)
                obtain(chosen, ingredient.count)
                taken.append(f"{ingredient.count} {words(chosen)}")
            commands.append(
                f"craft {recipe.count} {words(item)} using {', '.join(taken)}"
            )
            stock[item] += max(0, recipe.count - missing)
            missing -= recipe.count

    obtain(goal, 1)
    return commands
