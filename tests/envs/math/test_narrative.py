"""Word problems: what the steps do, and how they are written, by hand."""

from __future__ import annotations

from random import Random

import pytest

from envs.math.narrative import (
    edits,
    first_step,
    numbers,
    outcome,
    random_part,
    sentences,
)
from envs.math.stories import HELD_OUT, NAMES, SEEN, STORIES

ANN = {
    "story": "apples",
    "who": "Ann",
    "start": 12,
    "steps": [["add", 3], ["share", 5], ["packs", 2, 6], ["times", 4], ["take", 20]],
}
BEN = {"story": "books", "who": "Ben", "start": None, "steps": [["take", 10]]}


def test_the_outcome_by_hand():
    assert outcome([ANN]) == ((12 + 3) // 5 + 12) * 4 - 20 == 40
    assert outcome([ANN, BEN]) == 30


@pytest.mark.parametrize(
    "steps", [[["share", 5]], [["take", 12]], [["take", 13], ["add", 5]]]
)
def test_what_cannot_be_counted_has_no_outcome(steps):
    assert outcome([{**ANN, "steps": steps}]) is None


def test_two_chained_stories_are_told_by_hand():
    assert sentences([{**ANN, "steps": [["packs", 2, 6]]}, BEN]) == [
        "Ann has 12 apples.",
        "Ann buys 2 bags of 6 apples.",
        "Ben has as many books as Ann now has apples.",
        "Ben gives 10 books away.",
        "How many books does Ben have now?",
    ]
    assert numbers([ANN, BEN]) == [12, 3, 5, 2, 6, 4, 20, 10]


def test_the_first_step_is_an_expression():
    def first(*step):
        return first_step([{**ANN, "steps": [list(step)]}])

    assert first("packs", 2, 6) == "12 + 2 * 6"
    assert first("add", 3) == "12 + 3"
    assert first("take", 3) == "12 - 3"
    assert first("times", 3) == "12 * 3"
    assert first("share", 3) == "12 / 3"


def test_an_edit_changes_one_number():
    before = numbers([ANN, BEN])
    for parts, _ in zip(edits([ANN, BEN]), range(200), strict=False):
        after = numbers(parts)
        assert sum(a != b for a, b in zip(after, before, strict=True)) == 1
        assert min(after) >= 1


def test_drawn_steps_come_to_what_is_said():
    for seed in range(300):
        part, quantity = random_part(
            Random(seed), SEEN[0], "Ann", None, 6, ("add", "share", "take")
        )
        assert outcome([part]) == quantity
        assert len(part["steps"]) == 6


def test_there_are_twelve_templates_and_six_held_out_each_with_its_words():
    assert (len(SEEN), len(HELD_OUT), len(STORIES)) == (12, 6, 18)
    assert len({story.start for story in STORIES.values()}) == 18
    assert len(set(NAMES)) == len(NAMES)
    for story in STORIES.values():
        for kind in ("add", "take", "times", "share"):
            assert getattr(story, kind).count("{n}") == 1, (story.name, kind)
        assert story.packs.index("{a}") < story.packs.index("{b}")
        assert "{n}" in story.start
        assert "{tail}" in story.start
        assert story.question.endswith("?")
