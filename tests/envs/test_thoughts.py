"""A thought is no action, wherever it stands and whether or not it closes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.base import TextEnv
from envs.registry import make
from envs.thoughts import CLOSING_OF, after_thought, split_thought

CALL = '<tool_call>{"name": "f", "arguments": {"x": "1"}}</tool_call>'
QUOTING = '{"name": "w", "arguments": {"text": "a </think> b <think> c"}}'


@given(st.text() | st.lists(st.sampled_from([*CLOSING_OF, *CLOSING_OF.values(), CALL])))
def test_no_text_raises_and_nothing_is_lost(text):
    turn = "".join(text)
    split = split_thought(turn)
    assert split.thought + split.action == turn


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("7", "7"),
        (f"<think>Perhaps {CALL}? No.</think>\nI will not.", "\nI will not."),
        (f"<think>Perhaps {CALL}</think>{CALL}", CALL),
        (f"Perhaps {CALL}?</think>{CALL}", CALL),
        (f"Well. <think>{CALL}</think> no <think>{CALL}</think> 7", " 7"),
        (f"<think>Perhaps {CALL}", ""),
        (f"{CALL}<think>or not", ""),
        ("<think>a</think>7<think>b", ""),
        (QUOTING, QUOTING),
        (f"<think>so</think>\n{QUOTING}", f"\n{QUOTING}"),
        (
            f"<think>so</think><tool_call>{QUOTING}</tool_call>",
            f"<tool_call>{QUOTING}</tool_call>",
        ),
        ("[THINK]a[/THINK]7", "7"),
        ("<|channel>thought\na<channel|>7", "7"),
        ("a <|end|> b", "a <|end|> b"),
    ],
)
def test_what_follows_the_last_thought_is_the_action(text, action):
    assert after_thought(text) == action


def test_a_thought_that_the_prompt_opened_lasts_until_it_closes():
    assert split_thought(f"so {CALL}", is_open=True) == (f"so {CALL}", "", False)
    assert split_thought("so</think>7", is_open=True).action == "7"


def test_a_long_turn_is_split_in_time():
    for text in ("<tool_call>{" * 80_000, "\n{" * 300_000 + "}", "<think>" * 100_000):
        split_thought(text)


class Echo(TextEnv):
    """Says what it was told."""

    name, instructions = "echo", ""
    splits, levels = ("train", "id"), (0,)

    def tasks(self, split, level):
        """One task."""
        return [make("toy_guess").tasks("train", 0)[0]]

    def reply(self, text):
        """The text itself."""
        return f"got {text!r}"


def test_no_environment_is_told_a_thought():
    env = Echo()
    env.reset()
    assert env.step("<think>secret</think>7")[0] == "got '7'"
    assert env.step("<think>secret")[0] == "got ''"
