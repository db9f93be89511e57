"""Which items can be had, which are crafted, and of what."""

from __future__ import annotations

import pytest

from envs.published.textcraft.plan import plan
from envs.published.textcraft.recipes import recipe_book
from tests.envs.published.small import RECIPES, shapeless


@pytest.fixture
def book(small_data):
    return recipe_book()


def test_a_recipe_reads_as_a_command(book):
    (bowl,) = book.recipes("bowl")
    assert bowl.command == "craft 4 bowl using 3 planks"
    assert [recipe.command for recipe in book.recipes("a_planks")] == [
        "craft 4 a planks using 1 a logs"
    ]
    assert book.recipes("soup")[0].command == "craft 1 soup using 1 bowl, 2 root"


def test_a_recipe_that_would_need_its_own_item_is_left_out(book):
    # The ingot's comes first by name, so nuggets cannot be made of ingots.
    assert book.recipes("ingot")
    assert not book.recipes("nugget")
    assert book.is_available("nugget")
    assert not book.is_available("ingot")


def test_unpacking_a_block_and_smelting_are_left_out(book):
    assert [recipe.count for recipe in book.recipes("rod")] == [2]
    assert not book.recipes("stone")


def test_a_tag_without_a_recipe_is_an_item_and_another_is_none(book):
    assert book.is_available("a_logs")
    assert book.members("planks") == ["a_planks", "b_planks"]
    assert not book.is_available("planks")
    assert not book.is_available("a_planks")
    assert not book.is_available("nothing")


def test_the_depth_counts_recipes_that_follow_each_other(book):
    depths = {name: book.depth(name) for name in book.craftable}
    assert depths == {
        "a_planks": 1,
        "b_planks": 1,
        "bowl": 2,
        "ingot": 1,
        "rod": 1,
        "soup": 3,
        "spoon": 3,
        "stick": 2,
    }
    assert book.depth("b_log") == 0


@pytest.mark.parametrize(
    ("item", "taken", "is_made"),
    [
        ("bowl", {"a_planks": 3}, True),
        ("bowl", {"b_planks": 3}, True),
        ("bowl", {"a_planks": 2, "b_planks": 1}, False),
        ("bowl", {"a_planks": 4}, False),
        ("bowl", {"planks": 3}, False),
        ("soup", {"bowl": 1, "root": 2}, True),
        ("soup", {"bowl": 1, "root": 2, "gem": 1}, False),
        ("root", {"gem": 1}, False),
    ],
)
def test_a_recipe_takes_exactly_its_ingredients(book, item, taken, is_made):
    assert (book.match(item, taken) is not None) == is_made


def test_what_a_goal_needs_is_all_that_may_make_it(book):
    commands = {recipe.item for recipe in book.recipes_behind("spoon")}
    assert commands == {"spoon", "stick", "bowl", "a_planks", "b_planks"}


def test_a_plan_reuses_what_is_left_over(book):
    assert plan(book, "spoon") == [
        "get 1 a logs",
        "craft 4 a planks using 1 a logs",
        "craft 4 stick using 2 a planks",
        "get 1 a logs",
        "craft 4 a planks using 1 a logs",
        "craft 4 bowl using 3 a planks",
        "craft 1 spoon using 1 stick, 1 bowl",
    ]


def test_a_longer_circle_is_seen(small_data):
    from envs.published.textcraft.recipes import RecipeBook

    rows = {
        **RECIPES,
        "wood": shapeless("wood", 1, "soup"),
        "b_planks": shapeless("b_planks", 4, "wood", group="planks"),
    }
    book = RecipeBook(rows)
    # b_planks < bowl < soup < wood: wood of soup of bowl of planks of wood.
    assert not book.recipes("wood")
    assert book.is_available("wood")
