"""What stands in front of an episode takes nothing of its budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.rollout import Limits, PromptTooLongError
from scgrpo.models.load import load_tokenizer
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.policies.conditioned import ConditionedPolicy
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.teachers.prompts import guide_messages

MESSAGES = [{"role": "system", "content": "Play."}, {"role": "user", "content": "Go."}]
LONG = Limits(episode_tokens=1000)


class Noting(ScriptedPolicy):
    def begin(self, messages, tools, *, limits, seed):
        self.seen = (list(messages), limits)
        return super().begin(messages, tools, limits=limits, seed=seed)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    folder: Path = make_tiny(
        tmp_path_factory.mktemp("m") / "m", hidden=8, layers=1, heads=1
    )
    return Chat(load_tokenizer(folder))


def test_the_room_for_turns_is_that_without_a_reference(chat):
    inner = Noting(["x"])
    policy = ConditionedPolicy(
        inner, chat, Limits(episode_tokens=200), {7: guide_messages}
    )
    policy.begin(MESSAGES, (), limits=LONG, seed=8)
    assert inner.seen == (MESSAGES, Limits(episode_tokens=200))

    policy.begin(MESSAGES, (), limits=LONG, seed=7)
    messages, limits = inner.seen
    assert messages == guide_messages(MESSAGES)
    added = len(chat.prompt(messages, ())[1]) - len(chat.prompt(MESSAGES, ())[1])
    assert added > 10
    assert limits.episode_tokens == 200 + added


def test_a_prompt_without_room_of_its_own_is_too_long_with_and_without(chat):
    policy = ConditionedPolicy(
        Noting(["x"]), chat, Limits(episode_tokens=5), {7: guide_messages}
    )
    for seed in (7, 8):
        with pytest.raises(PromptTooLongError, match="limits.episode_tokens=5"):
            policy.begin(MESSAGES, (), limits=LONG, seed=seed)
