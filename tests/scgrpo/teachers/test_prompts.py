import re

import pytest

from envs.types import Episode, Message, Segment, Stop, Task, Verdict
from scgrpo.teachers.prompts import (
    NEUTRAL_GUIDE,
    VERIFIED_GUIDE,
    guide_messages,
    teacher_messages,
    turn_texts,
)

CHAT: list[Message] = [
    {"role": "system", "content": "You fix bugs."},
    {"role": "user", "content": "Fix f."},
]


def words(text: str) -> int:
    return len(text.split())


def reference(*texts: str, passed: bool = True) -> Episode:
    """An episode whose segments after the prompt are policy, env, policy, ..."""
    sources = ("policy", "env") * len(texts)
    return Episode(
        task=Task(id="train/0/a", split="train", level=0, family="f", prompt="Fix f."),
        messages=tuple(CHAT),
        tools=(),
        segments=(
            Segment("prompt", "PROMPT"),
            *(Segment(s, t) for s, t in zip(sources, texts, strict=False)),
        ),
        stop=Stop.FINISHED,
        verdict=Verdict(passed=passed, score=float(passed)),
    )


def taught(episode: Episode, messages=CHAT, *, verified=True, chars=100, budget=1000):
    return teacher_messages(
        messages,
        episode,
        verified=verified,
        observation_chars=chars,
        budget_tokens=budget,
        count=words,
    )


SOLVED = reference("read f", "f = 1", "edit f", "done", "submit")


def test_the_reference_goes_into_the_system_message_and_nowhere_else():
    messages = taught(SOLVED)
    assert messages is not None
    assert messages[1:] == CHAT[1:]
    assert [m["role"] for m in messages] == ["system", "user"]
    assert messages[0]["content"] == (
        f"You fix bugs.\n\n{VERIFIED_GUIDE}\n\n<attempt>\n\n"
        "Action 1:\nread f\nObservation:\nf = 1\n\n"
        "Action 2:\nedit f\nObservation:\ndone\n\n"
        "Action 3:\nsubmit\n\n</attempt>"
    )


def test_a_chat_without_a_system_message_gets_one():
    messages = taught(SOLVED, CHAT[1:])
    assert messages is not None
    assert messages[0]["role"] == "system"
    assert messages[0]["content"].startswith(VERIFIED_GUIDE)
    assert messages[1:] == CHAT[1:]


def test_the_messages_given_stay_as_they_were():
    before = [dict(m) for m in CHAT]
    taught(SOLVED)
    assert before == CHAT


def test_the_reference_prompt_is_not_repeated():
    assert "PROMPT" not in "".join(turn_texts(SOLVED, 100))


def test_a_guide_alone_is_that_of_the_reference_that_it_stands_for():
    for verified, guide in ((True, VERIFIED_GUIDE), (False, NEUTRAL_GUIDE)):
        messages = guide_messages(CHAT, verified=verified)
        assert messages[0]["content"] == f"You fix bugs.\n\n{guide}"
        assert messages[1:] == CHAT[1:]


def test_the_neutral_guide_claims_no_success():
    messages = taught(reference("submit", passed=False), verified=False)
    assert messages is not None
    claim = re.compile(
        r"correct|verif|success|solv|pass|right|solution|guid", re.IGNORECASE
    )
    assert NEUTRAL_GUIDE in messages[0]["content"]
    assert not claim.search(messages[0]["content"])
    assert claim.search(VERIFIED_GUIDE)


def test_a_long_observation_is_cut_and_says_so():
    (turn,) = turn_texts(reference("read", "x" * 30), 10)
    assert turn == f"Action 1:\nread\nObservation:\n{'x' * 10}\n[20 characters cut]"


@pytest.mark.parametrize("chars", [9, 10])
def test_an_observation_of_just_the_limit_is_whole(chars):
    (turn,) = turn_texts(reference("read", "x" * 9), chars)
    assert turn.endswith("\n" + "x" * 9)


def test_actions_are_never_cut():
    (turn,) = turn_texts(reference("y" * 500), 10)
    assert "y" * 500 in turn


def test_whole_turns_are_dropped_from_the_oldest_until_it_fits():
    whole = taught(SOLVED)
    assert whole is not None
    base = words(CHAT[0]["content"])
    size = words(whole[0]["content"]) - base
    assert taught(SOLVED, budget=size) == whole
    fewer = taught(SOLVED, budget=size - 1)
    assert fewer is not None
    text = fewer[0]["content"]
    assert words(text) - base <= size - 1
    assert "[1 earlier turns left out]" in text
    assert "Action 1" not in text
    assert "Action 2:\nedit f\nObservation:\ndone" in text
    assert "Action 3:\nsubmit" in text


@pytest.mark.parametrize("budget", range(25, 45))
def test_what_is_added_never_exceeds_the_budget_and_holds_the_last_turn(budget):
    messages = taught(SOLVED, CHAT[1:], budget=budget)
    if messages is None:
        assert budget < words(VERIFIED_GUIDE) + 2 + 5 + 3
    else:
        assert words(messages[0]["content"]) <= budget
        assert "submit" in messages[0]["content"]


def test_a_reference_whose_last_turn_does_not_fit_is_an_overflow():
    assert taught(SOLVED, budget=10) is None


def test_a_reference_that_never_acted_is_no_reference():
    assert taught(reference()) is None
