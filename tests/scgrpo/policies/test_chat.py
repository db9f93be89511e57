"""What is fed is append-only, and equals what the template itself would render."""

import json
from pathlib import Path

import pytest

from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat

SMOL = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Like Qwen3's: tools in the system message, calls and answers in tags, and think blocks dropped
# from every assistant message that a later query of the user has left behind.
THINKING = """
{%- if tools %}
{{- '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
{{- '# Tools\n' }}{%- for tool in tools %}{{- tool | tojson + '\n' }}{%- endfor %}
{{- '<|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(last_query=-1) %}
{%- for m in messages %}{%- if m.role in ('user', 'tool') %}
{%- set ns.last_query = loop.index0 %}{%- endif %}{%- endfor %}
{%- for m in messages %}
{%- if m.role == 'user' %}
{{- '<|im_start|>user\n' + m.content + '<|im_end|>\n' }}
{%- elif m.role == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}
{%- elif m.role == 'assistant' %}
{%- set content = m.content %}
{%- if '</think>' in content and loop.index0 < ns.last_query %}
{%- set content = content.split('</think>')[-1].lstrip('\n') %}
{%- endif %}
{{- '<|im_start|>assistant\n' + content }}
{%- for call in m.tool_calls or [] %}
{{- '<tool_call>\n' + call.function | tojson + '\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""

SYSTEM = {"role": "system", "content": "Repair it."}
USER = {"role": "user", "content": "What is 6 * 7?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "apply",
        "description": "Apply a candidate.",
        "parameters": {
            "type": "object",
            "properties": {"candidate": {"type": "integer"}},
        },
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def tokenizer(folder: Path):
    return load_model(folder)[1]


def rendered(tokenizer, messages, tools=None) -> str:
    return tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=False, add_generation_prompt=True
    )


def spoken(
    chat: Chat, messages, turns: list[str], replies: list[str], *, ended: bool
) -> list[int]:
    """The ids of a conversation as a policy appends them."""
    ids = chat.prompt(messages, ())[1]
    for turn, reply in zip(turns, replies, strict=True):
        ids = ids + chat.ids(turn) + ([chat.end_id] if ended else [])
        ids = ids + chat.reply(reply, ended=ended)
    return ids


def encoded(tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("opening", [[USER], [SYSTEM, USER]])
@pytest.mark.parametrize("template", [SMOL, THINKING])
def test_appended_ids_are_the_templates_own_rendering(
    tokenizer, template, opening, ended
):
    tokenizer.chat_template = template
    chat = Chat(tokenizer)
    turns, replies = ["41", "40 + 2"], ["higher", " found\n"]
    messages = list(opening)
    for turn, reply in zip(turns, replies, strict=True):
        messages.append({"role": "assistant", "content": turn})
        messages.append({"role": "user", "content": reply})
    ids = spoken(chat, opening, turns, replies, ended=ended)
    assert ids == encoded(tokenizer, rendered(tokenizer, messages))


def test_a_template_that_drops_earlier_thoughts_is_still_append_only(tokenizer):
    tokenizer.chat_template = THINKING
    chat = Chat(tokenizer)
    thought = "<think>\nsix sevens\n</think>\n\n41"
    before = rendered(tokenizer, [USER]) + thought + "<|im_end|>\n"
    messages = [
        USER,
        {"role": "assistant", "content": thought},
        {"role": "user", "content": "higher"},
    ]
    # Rendered again, the history that the policy has already acted on would be another.
    assert not rendered(tokenizer, messages).startswith(before)
    ids = spoken(chat, [USER], [thought], ["higher"], ended=True)
    history = encoded(tokenizer, before)
    assert ids[: len(history) - 1] == history[:-1]
    reply = "<|im_start|>user\nhigher<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(ids) == before + reply
    turn = chat.read([*chat.ids(thought), chat.end_id])
    assert turn == ("41", "<think>\nsix sevens\n</think>", "", True)


def test_an_end_token_that_the_policy_sampled_is_not_fed_twice(tokenizer):
    chat = Chat(tokenizer)
    missing, there = chat.reply("no", ended=False), chat.reply("no", ended=True)
    assert missing == [chat.end_id, *there]
    assert chat.end_id not in there[:2]


def test_a_call_is_answered_as_the_template_answers_calls(tokenizer):
    tokenizer.chat_template = THINKING
    chat = Chat(tokenizer)
    call = {"name": "apply", "arguments": {"candidate": 1}}
    turn = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": call}],
    }
    answer = {"role": "tool", "content": "done"}
    ids = chat.prompt([USER], [TOOL])[1]
    ids = ids + chat.turn_ids(json.dumps(call))
    ids = ids + chat.reply("done", ended=True, call="apply")
    assert tokenizer.decode(ids) == rendered(tokenizer, [USER, turn, answer], [TOOL])


def test_a_template_that_knows_tools_gets_their_schemas(tokenizer):
    tokenizer.chat_template = THINKING
    text, ids = Chat(tokenizer).prompt([SYSTEM, USER], [TOOL])
    assert text == rendered(tokenizer, [SYSTEM, USER], [TOOL])
    assert '"candidate"' in text
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("opening", [[USER], [SYSTEM, USER]])
def test_a_template_without_tools_gets_one_line_each_in_the_system_message(
    tokenizer, opening
):
    text, _ = Chat(tokenizer).prompt(opening, [TOOL])
    line = "apply(candidate: integer): Apply a candidate."
    system = f"Repair it.\n{line}" if SYSTEM in opening else line
    assert text == (
        f"<|im_start|>system\n{system}<|im_end|>\n"
        "<|im_start|>user\nWhat is 6 * 7?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_environment_sees_no_special_tokens_of_a_turn(tokenizer):
    chat = Chat(tokenizer)
    assert chat.text([*chat.ids("42"), chat.end_id]) == "42"


def test_a_tokenizer_without_a_template_is_refused(tokenizer):
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        Chat(tokenizer)


def test_a_template_whose_end_is_no_token_needs_an_end_of_text(tokenizer):
    tokenizer.chat_template = SMOL.replace("<|im_end|>", "[end]")
    assert Chat(tokenizer).end_id == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match=r"ends a turn with '\[end\]\\n.*no eos_token"):
        Chat(tokenizer)
