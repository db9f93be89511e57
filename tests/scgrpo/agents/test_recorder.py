"""Calls of one agent are joined by their prefixes, and no id is ever made from a text twice."""

from typing import Any

import pytest

from envs.rollout import Limits, PromptTooLongError
from scgrpo.agents.errors import RequestError
from scgrpo.agents.history import Conversation
from scgrpo.agents.recorder import Recorder
from scgrpo.agents.requests import read_request
from scgrpo.models.tiny import make_tokenizer
from tests.scgrpo.agents.scripted_tokens import ScriptedTokens
from tests.scgrpo.policies.template_tokenizers import template_tokenizer

LIMITS = Limits(turn_tokens=64, episode_tokens=2000)
TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Runs it.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}
SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(
    recorder: Recorder, *messages: dict[str, Any], **options: Any
) -> dict[str, Any]:
    """The assistant's message that answers a chat."""
    body = recorder.complete(read_request({"messages": list(messages), **options}))
    return body["choices"][0]["message"]


@pytest.fixture
def policy() -> ScriptedTokens:
    return ScriptedTokens(make_tokenizer(), lambda history, n: f"turn {n} of it")


@pytest.fixture
def recorder(policy: ScriptedTokens) -> Recorder:
    return Recorder(policy, LIMITS, seed=3)


def text_of(recorder: Recorder, conversation: Conversation) -> str:
    ids = [i for segment in conversation.segments for i in segment.token_ids]
    return str(recorder.history._chat.tokenizer.decode(ids))


def sampled(conversations: list[Conversation]) -> list[tuple[int, ...]]:
    """Ids of every turn that is marked as sampled, in any conversation."""
    return [
        segment.token_ids
        for conversation in conversations
        for segment in conversation.segments
        if segment.source == "policy"
    ]


def test_a_chat_that_grows_is_one_conversation_of_the_very_ids(policy, recorder):
    chat = [SYSTEM, user("Fix it.")]
    for reply in ("a.py", "b.py", ""):
        chat += [call(recorder, *chat), user(reply)]
    (conversation,) = recorder.history.conversations()
    assert [s.source for s in conversation.segments] == [
        "prompt", "policy", "env", "policy", "env", "policy",
    ]  # fmt: skip
    assert conversation.messages == (SYSTEM, user("Fix it."))
    assert conversation.versions == (5, 5, 5)
    # What the policy was fed before each turn is the beginning of what is kept.
    ids = [i for segment in conversation.segments for i in segment.token_ids]
    assert all(ids[: len(fed)] == fed for fed in policy.fed)
    assert text_of(recorder, conversation) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nFix it.<|im_end|>\n"
        "<|im_start|>assistant\nturn 0 of it<|im_end|>\n<|im_start|>user\na.py<|im_end|>\n"
        "<|im_start|>assistant\nturn 1 of it<|im_end|>\n<|im_start|>user\nb.py<|im_end|>\n"
        "<|im_start|>assistant\nturn 2 of it<|im_end|>"
    )
    assert policy.open_count == 1


def test_a_fork_shares_the_ids_of_its_beginning(policy, recorder):
    chat = [SYSTEM, user("Fix it.")]
    chat += [call(recorder, *chat), user("one")]
    first = [*chat, call(recorder, *chat)]
    other = [*chat[:-1], user("two")]
    call(recorder, *other)
    last, fork = recorder.history.conversations()
    assert first[-1]["content"] == "turn 1 of it"
    # That of the last call comes first; what both have was sampled once.
    assert "two" in text_of(recorder, last)
    assert [s.source for s in last.segments] == ["prompt", "policy", "env", "policy"]
    assert [s.source for s in fork.segments] == ["prompt", "policy"]
    shared = [i for segment in last.segments[:2] for i in segment.token_ids]
    assert list(fork.segments[0].token_ids[: len(shared)]) == shared
    assert len(sampled([last, fork])) == len(policy.fed) == 3
    # An agent holds one slot of the policy, whatever it forks.
    assert policy.open_count == 1


def test_the_same_call_twice_samples_twice_and_goes_on_from_the_second(policy):
    texts = iter(["first", "second", "third"])
    recorder = Recorder(
        ScriptedTokens(make_tokenizer(), lambda *_: next(texts)), LIMITS, 0
    )
    opening = user("Go.")
    assert call(recorder, opening)["content"] == "first"
    answer = call(recorder, opening)
    assert answer["content"] == "second"
    call(recorder, opening, answer, user("on"))
    last, lost = recorder.history.conversations()
    assert "second" in text_of(recorder, last)
    assert "first" not in text_of(recorder, last)
    assert [s.source for s in lost.segments] == ["prompt", "policy"]


def test_a_turn_that_the_agent_changed_is_context_and_the_sampled_one_a_branch(
    policy, recorder
):
    opening = user("Go.")
    call(recorder, opening)
    changed = {"role": "assistant", "content": "what I say"}
    call(recorder, opening, changed, user("on"))
    last, branch = recorder.history.conversations()
    text = text_of(recorder, last)
    assert "assistant\nwhat I say<|im_end|>\n<|im_start|>user\non<|im_end|>" in text
    assert text.count("turn") == 1
    assert [s.source for s in last.segments] == ["prompt", "policy"]
    assert last.messages == (opening, changed, user("on"))
    assert [s.source for s in branch.segments] == ["prompt", "policy"]


def test_a_compacted_chat_is_a_conversation_of_its_own(recorder):
    chat = [SYSTEM, user("Fix it.")]
    chat += [call(recorder, *chat), user("a.py")]
    call(recorder, *chat)
    call(recorder, SYSTEM, user("So far: nothing."))
    last, before = recorder.history.conversations()
    assert len(sampled([last])) == 1
    assert len(sampled([before])) == 2


def test_white_space_that_an_agent_strips_keeps_the_conversation(policy):
    recorder = Recorder(
        ScriptedTokens(make_tokenizer(), lambda *_: " ls \n"), LIMITS, seed=0
    )
    answer = call(recorder, user("Go."))
    assert answer["content"] == " ls \n"
    call(recorder, user("Go."), {"role": "assistant", "content": "ls"}, user("a.py"))
    (conversation,) = recorder.history.conversations()
    assert "assistant\n ls \n<|im_end|>" in text_of(recorder, conversation)


def test_other_tools_make_another_conversation(recorder):
    call(recorder, user("Go."))
    call(recorder, user("Go."), tools=[TOOL])
    first, second = recorder.history.conversations()
    assert first.tools == (TOOL,)
    assert second.tools == ()
    assert "bash(command: string): Runs it." in first.segments[0].text


def test_tools_go_through_a_template_that_has_them():
    turn = '{"name": "bash", "arguments": {"command": "ls"}}'
    policy = ScriptedTokens(template_tokenizer("qwen3"), lambda *_: turn)
    recorder = Recorder(policy, LIMITS, seed=0)
    answer = call(recorder, user("Go."), tools=[TOOL])
    (made,) = answer["tool_calls"]
    assert made["function"] == {"name": "bash", "arguments": '{"command": "ls"}'}
    result = {"role": "tool", "tool_call_id": made["id"], "content": "a.py"}
    call(recorder, user("Go."), answer, result, tools=[TOOL])
    (conversation,) = recorder.history.conversations()
    text = text_of(recorder, conversation)
    assert "<tool_response>\na.py\n</tool_response>" in text
    assert text.count("<|im_end|>") == text.count("<|im_start|>")


def test_the_budget_ends_in_the_words_of_openai(policy):
    recorder = Recorder(policy, Limits(turn_tokens=64, episode_tokens=60), seed=0)
    chat = [user("Go.")]
    chat += [call(recorder, *chat), user("and " * 20)]
    with pytest.raises(RequestError, match="maximum context length is 60") as refused:
        call(recorder, *chat)
    assert refused.value.code == "context_length_exceeded"
    assert recorder.spent
    assert recorder.failure is None


def test_a_prompt_without_room_for_a_turn_is_no_failure_of_the_policy(policy):
    recorder = Recorder(policy, Limits(turn_tokens=64, episode_tokens=10), seed=0)
    with pytest.raises(RequestError):
        call(recorder, user("a longer opening"))
    assert isinstance(recorder.failure, PromptTooLongError)


def test_a_call_may_ask_for_fewer_tokens(recorder):
    assert call(recorder, user("Go."), max_tokens=4)["content"] == "turn"


def test_what_breaks_the_policy_is_kept(policy, recorder):
    policy.script = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        call(recorder, user("Go."))
    assert isinstance(recorder.failure, ZeroDivisionError)


def test_a_closed_recorder_frees_its_slot_and_refuses_calls(policy, recorder):
    call(recorder, user("Go."))
    recorder.close()
    assert policy.open_count == 0
    with pytest.raises(RequestError, match="over"):
        call(recorder, user("Go."))


def test_two_turns_in_a_row_are_refused(recorder):
    turn = {"role": "assistant", "content": "a"}
    with pytest.raises(RequestError, match="follow each other"):
        call(recorder, user("Go."), turn, turn, user("on"))
