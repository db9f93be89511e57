"""ToolEnv: methods marked as tools become the turns of an episode."""

from __future__ import annotations

import pytest

from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict


class Box(ToolEnv):
    """A box to look into; the key word depends on the task."""

    name = "box"
    max_turns = 3

    def tasks(self, split, level):
        return [Task(f"{split}/{level}/0", split, level, split, "Open the box.")]

    @tool
    def look(self, side: str) -> str:
        """Looks at a side."""
        return f"nothing at the {side}"

    @tool
    def open(self, word: str) -> Verdict:
        """Opens the box."""
        return Verdict(word == "sesame", float(word == "sesame"))

    def secret(self, word: str) -> str:
        return word


class BetterBox(Box):
    """Another tool, and a changed one."""

    @tool
    def look(self, side: str, closely: bool = False) -> str:
        """Looks at a side, or through it."""
        return f"{side} {closely}"

    @tool
    def shake(self) -> str:
        """Shakes it."""
        return "rattle"


class ShutBox(Box):
    """Offers no look."""

    def tool_names(self):
        return ["open"]


def schemas(env):
    return {
        item["function"]["name"]: item["function"] for item in env.reset()[1]["tools"]
    }


def test_the_marked_methods_are_the_tools_in_order():
    assert list(schemas(Box())) == ["look", "open"]
    assert schemas(Box())["look"]["description"] == "Looks at a side."
    assert schemas(Box())["look"]["parameters"]["required"] == ["side"]


def test_a_derived_class_adds_and_changes_tools():
    found = schemas(BetterBox())
    assert list(found) == ["look", "open", "shake"]
    assert list(found["look"]["parameters"]["properties"]) == ["side", "closely"]


def test_a_call_is_answered_and_a_verdict_ends():
    env = Box()
    env.reset()
    assert env.step(render_call("look", side="left"))[:4] == (
        "nothing at the left",
        0.0,
        False,
        False,
    )
    assert env.step(render_call("open", word="sesame"))[1:4] == (1.0, True, False)


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ("please open", "no tool call found"),
        (
            render_call("secret", word="sesame"),
            'there is no tool "secret"; tools: look, open',
        ),
        (render_call("__init__"), 'there is no tool "__init__"'),
        (render_call("open"), "open: argument 'word' is missing"),
        (render_call("open", word=1), "must be of type string"),
        (render_call("open", word="sesame", self=1), 'unknown argument "self"'),
    ],
)
def test_a_malformed_turn_is_counted_costs_a_turn_and_says_why(turn, reason):
    env = Box()
    env.reset()
    text, reward, terminated, truncated, info = env.step(turn)
    assert text.startswith("Malformed tool call: ")
    assert reason in text
    assert (reward, terminated, truncated, info["malformed"]) == (0.0, False, False, 1)
    assert env.step(turn)[4]["malformed"] == 2
    assert env.step(turn)[3] is True
    assert env.reset()[1]["malformed"] == 0


def test_a_tool_that_is_not_offered_cannot_be_called():
    env = ShutBox()
    env.reset()
    assert "tools: open" in env.step(render_call("look", side="left"))[0]
