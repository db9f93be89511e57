"""Every text that a model reads is the recorded one, to the byte.

Prompts, tools, replies and teacher prompts decide what a model does, so results measured with
different texts cannot be compared. A change of identifiers must leave them as they are. A change
that is meant to alter them records the new ones: `python -m tests.test_model_facing_text` writes
all sections, `python -m tests.test_model_facing_text toy_guess chat` only those named.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs import registry
from envs.base import TextEnv
from envs.code.file_tasks import FileTasks
from envs.math.published.env import BenchmarkMath
from envs.rollout import Limits
from envs.toolspec import render_call
from envs.types import Episode, Message, Segment, Stop, Task, Verdict
from evals.export.harbor import IMAGE, write_task
from sandboxes import SandboxConfig, open_pool
from scgrpo.credit.options import ReferenceLimits
from scgrpo.credit.references import Case, References
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.policies.completions import Server
from scgrpo.policies.server import ServerPolicy
from scgrpo.teachers.prompt_ids import gold_prompts, reference_prompts
from scgrpo.teachers.prompts import gold_messages, teacher_messages
from scgrpo.warm_start.examples import with_token_ids
from tests.scgrpo.policies.small_server import Scripted, completion
from tests.scgrpo.policies.test_chat import THINKING

RECORD = Path(__file__).with_name("model_facing_text.json")
HEX_DIGITS = 16
SHOWN = 3
"""How many changed texts a failure prints whole."""
PLACES = (0, 4, 9)
"""Which tasks of each split and level are sampled: near the start, as later ones cost more."""

Texts = dict[str, str]
"""Readable name of an item -> the text itself."""


def digest(text: str) -> str:
    """The start of the text's SHA-256, in hex."""
    # Text may hold half of a surrogate pair, which has no UTF-8.
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[
        :HEX_DIGITS
    ]


def as_json(value: Any) -> str:
    """JSON with the keys in the order in which the model reads them."""
    return json.dumps(value, ensure_ascii=False)


FAULTY_TURNS = (
    "",
    "no turn of sense",
    '{"name": "submit"',
    '{"name": "no_such_tool"}',
    '{"name": "no_such_tool", "arguments": [1]}',
    '{"name": 7}',
    '{"arguments": {}}',
    '{"name": "submit", "other": 1}',
    '{"name": "submit", "name": "submit"}',
    '{"name": "submit"} and more',
    '{"name": "submit", "arguments": {"n": NaN}}',
    '{"name": "submit", "arguments": {"n": 1e999}}',
    '{"name": "submit", "arguments": {"n": 1234567890123456789}}',
    '{"name": "submit", "arguments": {"text": "\\ud800"}}',
    '{"name": "submit", "arguments": {"n": ' + "[" * 40 + "]" * 40 + "}}",
    "<tool_call>[1]</tool_call>",
    '<tool_call>{"name": "a"}</tool_call><tool_call>{"name": "b"}</tool_call>',
    "5",
    "```python\nx = 1\n```",
)

PLAUSIBLE = {
    "string": "nothing",
    "integer": 1,
    "number": 0.5,
    "boolean": True,
    "array": [],
    "object": {},
}
"""JSON type -> a value of it that solves no task."""


def faulty_calls(tools: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Calls of each tool: without arguments, with wrong ones, and with senseless ones."""
    for function in (tool["function"] for tool in tools):
        name, properties = function["name"], function["parameters"]["properties"]
        senseless = {
            key: schema.get("enum", [PLAUSIBLE.get(schema.get("type"), "nothing")])[0]
            for key, schema in properties.items()
        }
        yield render_call(name)
        yield render_call(name, no_such_argument=1)
        if senseless:
            yield render_call(name, **senseless)
        yield from (render_call(name, **{**senseless, key: None}) for key in properties)


def sampled_tasks(env: TextEnv, split: str, level: int) -> list[Task]:
    tasks = env.tasks(split, level)
    return [tasks[place] for place in sorted({place % len(tasks) for place in PLACES})]


def is_boxed(env: TextEnv) -> bool:
    """Whether the environment runs code in a sandbox."""
    return "sandboxes" in inspect.signature(type(env)).parameters


def is_played(env: TextEnv, split: str, level: int) -> bool:
    """Whether episodes of a split and level are played.

    Those in a sandbox take time: every level of the first split, one level of each other split.
    """
    return not is_boxed(env) or split == env.splits[0] or level == env.levels[1]


def opened(env: TextEnv, task: Task) -> dict[str, Any]:
    """What the reset to a task offers to a policy."""
    options = {"split": task.split, "level": task.level, "task_id": task.id}
    observation, info = env.reset(seed=0, options=options)
    assert observation == task.prompt
    return info


def dialogue(env: TextEnv, task: Task, turns: Iterable[str]) -> tuple[str, str]:
    """An episode's turns with their replies, and what the last turn is answered with."""
    opened(env, task)
    lines: list[str] = []
    last = ""
    for turn in turns:
        last, _, terminated, truncated, _ = env.step(turn)
        lines += [f"turn: {turn}", f"reply: {last}"]
        if terminated or truncated:
            return "\n".join(lines[:-1]), last
    return "\n".join(lines[:-1]), last


def answers(env: TextEnv, task: Task, turns: Iterable[str]) -> str:
    """The turns with their replies, in as many episodes as they need."""
    opened(env, task)
    lines: list[str] = []
    for turn in turns:
        reply, _, terminated, truncated, _ = env.step(turn)
        lines += [f"turn: {turn}", f"reply: {reply}"]
        if terminated or truncated:
            opened(env, task)
    return "\n".join(lines)


def random_turns(env: TextEnv) -> Iterator[str]:
    rng = np.random.default_rng(0)
    while True:
        yield env.random_turn(rng)


def environment_texts(env: TextEnv) -> Texts:
    """What an environment says on a sample of each split and level.

    Answers to the turn that ends an episode are items of their own: the rollout loop shows them to
    no model, a foreign loop may.
    """
    texts: Texts = {}
    for split, level in product(env.splits, env.levels):
        key = f"{split} level {level}"
        tasks = sampled_tasks(env, split, level)

        tools = []
        for number, task in enumerate(tasks):
            info = opened(env, task)
            texts[f"{key} messages of task {number}"] = as_json(info["messages"])
            tools.append(info["tools"])
        texts[f"{key} tools"] = "\n".join(map(as_json, tools))
        if not is_played(env, split, level):
            continue

        played = tasks[:1] if is_boxed(env) else tasks
        for name, turns_of in (
            ("oracle", env.oracle),
            ("random", lambda _: random_turns(env)),
        ):
            parts = [dialogue(env, task, turns_of(task)) for task in played]
            texts[f"{key} {name} turns"] = "\n\n".join(part for part, _ in parts)
            texts[f"{key} {name} last answers"] = "\n\n".join(last for _, last in parts)
        faulty = [*FAULTY_TURNS, *faulty_calls(tools[0])]
        texts[f"{key} faulty turns"] = answers(env, tasks[0], faulty)
    return texts


# The default model's own template, as its tokenizer holds it.
DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>'"
    " + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = {"default": DEFAULT_TEMPLATE, "tools and thoughts": THINKING}

USER: Message = {"role": "user", "content": "Repair f."}
CHATS: dict[str, list[Message]] = {
    "system": [{"role": "system", "content": "You repair code."}, USER],
    "user alone": [USER],
}
TOOLS = (
    {
        "type": "function",
        "function": {
            "name": "edit",
            "description": "Edit a file.",
            "parameters": {
                "type": "object",
                "properties": {
                    "path": {"type": "string", "description": "Which file."},
                    "line": {"type": "integer"},
                    "other": {},
                },
                "required": ["path"],
            },
        },
    },
    {"type": "function", "function": {"name": "submit"}},
)


def episode(
    *texts: str, passed: bool, chat: str = "system", task: str = "a"
) -> Episode:
    """An episode of the given turns and replies, which begin with a turn and alternate."""
    sources = ("policy", "env") * len(texts)
    return Episode(
        task=Task(
            id=f"train/0/{task}", split="train", level=0, family="f", prompt="Repair f."
        ),
        messages=tuple(CHATS[chat]),
        tools=TOOLS,
        segments=(
            Segment("prompt", "PROMPT"),
            *(
                Segment(source, text)
                for source, text in zip(sources, texts, strict=False)
            ),
        ),
        stop=Stop.FINISHED,
        verdict=Verdict(passed=passed, score=float(passed)),
    )


LONG = "".join(f"line {number}\n" for number in range(99))
EPISODES = {
    "right": episode("read f", "f = 1", "edit f", "done", "submit", passed=True),
    "wrong": episode("read g", LONG, "submit", passed=False),
    "right, no system": episode(
        "edit f", LONG, "submit", passed=True, chat="user alone"
    ),
    "without a turn": episode(passed=False),
}


def message_texts() -> Texts:
    """The messages that a teacher reads: references of both guides and gold solutions, whole and
    without their oldest turns."""
    texts: Texts = {}
    for (chat, messages), budget in product(CHATS.items(), (20, 30, 60, 1000)):
        limits = {"budget_tokens": budget, "count": lambda text: len(text.split())}

        for (name, reference), verified in product(EPISODES.items(), (True, False)):
            read = teacher_messages(
                messages, reference, verified=verified, observation_chars=80, **limits
            )
            guide = "verified" if verified else "neutral"
            texts[f"{chat}, {name}, {guide}, {budget} words"] = as_json(read)

        read = gold_messages(messages, ["read f", "edit f", "submit"], **limits)
        texts[f"{chat}, gold, {budget} words"] = as_json(read)
    return texts


def teacher_texts(chat: Chat, template: str) -> Texts:
    """Rendered teacher prompts of a group, by the case of the group and the kind of reference."""
    texts: Texts = {}
    names = [name for name, one in EPISODES.items() if one.turns]
    rows = [with_token_ids(EPISODES[name], chat) for name in names]
    limits = ReferenceLimits(tokens=2000, observation_chars=80)

    for case, source in product(Case, range(len(rows))):
        drawn = torch.full((len(rows),), source)
        references = References(
            reference=drawn,
            negative_reference=torch.full_like(drawn, -1),
            case=torch.full_like(drawn, int(case)),
            overflow=torch.zeros(len(rows), dtype=torch.bool),
        )
        # Each row in a group of its own: rows of one group share a prompt.
        group = range(len(rows))
        openings = reference_prompts(chat, limits, rows, group, references, drawn)
        for row, ids in openings.items():
            key = f"{template}, case {int(case)}, {names[row]} reads {names[source]}"
            texts[key] = text_of(chat, ids)

    for row, name in zip(rows, names, strict=True):
        # One at a time: rows of one task share a prompt.
        openings = gold_prompts(chat, limits, [row], lambda task: ["edit f", "submit"])
        texts[f"{template}, {name} reads gold"] = text_of(chat, openings[0])
    return texts


def chat_texts(chat: Chat, template: str) -> Texts:
    """Openings and replies as the template renders them, and episodes of the warm start."""
    texts: Texts = {}
    for name, messages in CHATS.items():
        for tools in ((), TOOLS):
            key = f"{template}, opening, {name}, {len(tools)} tools"
            texts[key] = chat.prompt(messages, tools)[0]
    for ended in (True, False):
        key = f"{template}, reply, ended={ended}"
        texts[key] = text_of(chat, chat.reply("f = 1\n", ended=ended))
    for name, one in EPISODES.items():
        texts[f"{template}, warm start, {name}"] = text_of(
            chat, with_token_ids(one, chat).token_ids
        )
    return texts


def text_of(chat: Chat, ids: Sequence[int]) -> str:
    """The text of ids, special tokens included."""
    return str(chat.tokenizer.decode(list(ids), skip_special_tokens=False))


def rendered(texts_of: Callable[[Chat, str], Texts]) -> Texts:
    """The texts of each chat template, with the ids of a character-level tokenizer."""
    texts: Texts = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_tiny(Path(scratch) / "tiny", hidden=16, layers=1, heads=2)
        for name, template in TEMPLATES.items():
            tokenizer = load_model(folder)[1]
            tokenizer.chat_template = template
            texts |= texts_of(Chat(tokenizer), name)
    return texts


def server_texts() -> Texts:
    """What a server is asked, request by request: tools as text and as schemas."""
    call = {
        "id": "1",
        "type": "function",
        "function": {"name": "submit", "arguments": "{}"},
    }
    texts: Texts = {}
    for (name, messages), tools, native in product(
        CHATS.items(), ((), TOOLS), (True, False)
    ):
        answer = completion("5", calls=[call] if native and tools else None)
        scripted = Scripted(lambda n, body, answer=answer: (200, {}, answer))
        with ExitStack() as stack:
            address = stack.enter_context(scripted.running())
            server = Server(address, "m", native_tools=native)
            policy = stack.enter_context(ServerPolicy(server))
            opening = policy.begin(messages, tools, limits=Limits(), seed=0)
            conversation = stack.enter_context(opening)
            conversation.generate()
            conversation.append("f = 1\n")
            conversation.generate()

        form = "schemas" if native else "text"
        texts[f"{name}, {len(tools)} tools as {form}"] = as_json(
            [
                [body.get(key) for key in ("messages", "tools", "stop")]
                for body in scripted.bodies
            ]
        )
    return texts


def harbor_texts() -> Texts:
    """The instructions of exported tasks."""
    texts: Texts = {}
    for name in ("code_fn", "swe_lite"):
        with tempfile.TemporaryDirectory() as scratch, closing(made(name)) as env:
            for level in env.levels:
                folder = write_task(
                    Path(scratch), env, env.tasks("id", level)[0], IMAGE
                )
                texts[f"{name} level {level}"] = (folder / "instruction.md").read_text(
                    "utf-8"
                )
    return texts


def benchmark_texts() -> Texts:
    """What published benchmarks say around their questions, which are others' texts."""
    texts: Texts = {}
    task = Task("id/0/0", "id", 0, "f", "What is 9 + 9?", {"answer": "18"})
    for name in [*registry.benchmark_names(), *registry.served_names()]:
        env = made(name)
        if not isinstance(env, BenchmarkMath):
            # Their tasks need files, packages or servers.
            texts[f"{name} instructions"] = env.instructions
            texts[f"{name} tools"] = as_json(list(env.tools()))
            continue
        vars(env)["find"] = lambda *_: task
        info = opened(env, task)
        texts[f"{name} messages"] = as_json(info["messages"])
        texts[f"{name} tools"] = as_json(info["tools"])
        texts[f"{name} faulty turns"] = answers(env, task, FAULTY_TURNS)
    return texts


def agent_texts() -> Texts:
    """What agents of others are told of a task."""
    texts: Texts = {}
    env = made("swe_lite")
    assert isinstance(env, FileTasks)
    for level in env.levels:
        opened(env, env.tasks("id", level)[0])
        texts[f"swe_lite level {level}"] = env.agent_prompt()
    return texts


OTHERS: dict[str, Callable[[], Texts]] = {
    "teacher_messages": message_texts,
    "teacher_prompts": lambda: rendered(teacher_texts),
    "chat": lambda: rendered(chat_texts),
    "server": server_texts,
    "harbor": harbor_texts,
    "benchmarks": benchmark_texts,
    "agents": agent_texts,
}


def check(section: str, texts: Texts) -> None:
    """Fails with the names of all items that differ from the record, and the first texts whole."""
    recorded = json.loads(RECORD.read_text("utf-8")).get(section, {})
    current = {key: digest(text) for key, text in texts.items()}
    if current == recorded:
        return

    changed = [key for key in current if current[key] != recorded.get(key)]
    gone = [key for key in recorded if key not in current]
    shown = "\n\n".join(
        f"--- {section}: {key}, now:\n{texts[key]}" for key in changed[:SHOWN]
    )
    pytest.fail(
        f"{section}: {len(changed)} of {len(current)} texts that a model reads are not the "
        f"recorded ones, and {len(gone)} recorded ones are gone.\n"
        f"Changed: {'; '.join(changed) or 'none'}\n"
        f"Gone: {'; '.join(gone) or 'none'}\n\n{shown}\n\n"
        "If no text was to change, restore it. If the change is deliberate, record it with\n"
        f"    python -m tests.test_model_facing_text '{section}'\n"
        "Results measured with the old text are then no longer comparable with new ones: raise "
        "the version of an environment, and say so in CHANGELOG.md.",
        pytrace=False,
    )


@pytest.mark.parametrize("name", registry.names())
def test_what_an_environment_says_is_the_recorded_text(name, make_env):
    check(name, environment_texts(make_env(name)))


@pytest.mark.parametrize("section", OTHERS)
def test_what_a_model_reads_elsewhere_is_the_recorded_text(section):
    check(section, OTHERS[section]())


def test_the_record_has_no_other_sections():
    assert sorted(json.loads(RECORD.read_text("utf-8"))) == sorted(
        [*registry.names(), *OTHERS]
    )


def made(name: str, **options: Any) -> TextEnv:
    env = registry.make(name, **options).unwrapped
    assert isinstance(env, TextEnv)
    return env


def main(names: Sequence[str]) -> None:
    """Records the named sections, all where none is named."""
    wanted = names or [*registry.names(), *OTHERS]
    if unknown := set(wanted) - {*registry.names(), *OTHERS}:
        known = ", ".join([*registry.names(), *OTHERS])
        sys.exit(f"got {', '.join(sorted(unknown))}; sections are {known}")
    record = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}

    for name in wanted:
        if name in OTHERS:
            texts = OTHERS[name]()
        else:
            boxed = is_boxed(made(name))
            with open_pool(SandboxConfig(size=1)) if boxed else nullcontext() as pool:
                options = {"sandboxes": pool} if boxed else {}
                with closing(made(name, **options)) as env:
                    texts = environment_texts(env)
        before = record.get(name, {})
        record[name] = {key: digest(text) for key, text in texts.items()}
        changed = sum(record[name][key] != before.get(key) for key in texts)
        print(f"{name}: {len(texts)} texts, {changed} of them new or changed")
    RECORD.write_text(
        json.dumps(dict(sorted(record.items())), indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
