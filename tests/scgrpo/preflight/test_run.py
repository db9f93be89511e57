"""What cannot work in a run is refused before a run folder is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
)

from envs.base import TextEnv
from envs.registry import register
from envs.types import Task, Verdict
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import read_metrics
from scgrpo.train import main

LONG = "x" * 1000


class Wordy(TextEnv):
    """One short and one long prompt at the first level, long ones alone at the second."""

    name = "wordy"
    levels = (0, 1, 2)

    def tasks(self, split, level):
        prompts = {0: ["a", "b" * 20], 1: ["a", LONG], 2: [LONG, LONG + "y"]}[level]
        return [
            Task(f"{split}/{level}/{len(prompt)}", split, level, "f", prompt)
            for prompt in prompts
        ]

    def reply(self, text):
        return Verdict(True, 1.0)

    def oracle(self, task):
        return ["o" * 40]


class Growing(Wordy):
    """Without the level that nobody can begin."""

    name = "growing"
    levels = (0, 1)


class Chatty(TextEnv):
    """Answers the first turn with more than any budget."""

    name = "chatty"

    def tasks(self, split, level):
        return [
            Task(f"{split}/{level}/{n}", split, level, "f", f"a{n}") for n in (1, 2)
        ]

    def reply(self, text):
        # By chance right, so that groups are mixed and the update reads them.
        return Verdict(True, 1.0) if sum(map(ord, text)) % 2 else LONG


register(Chatty, namespace="preflight")
register(Wordy, namespace="preflight")
register(Growing, namespace="preflight")
ENV, GROWING, CHATTY = (
    f"{__name__}:preflight/{env.name}" for env in (Wordy, Growing, Chatty)
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def small(tiny: Path, tmp_path: Path) -> Path:
    """The tiny model with 64 positions."""
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.config.max_position_embeddings = 64
    folder = tmp_path / "small"
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_bytes((tiny / name).read_bytes())
    return folder


def ended(model: Path, runs: Path, *extra: str) -> int:
    """The exit code of a training run."""
    words = [
        "env=toy_guess", f"model={model}", f"runs={runs}", "device=cpu", "dtype=float32",
        "levels=0", "tasks_per_step=2", "group_size=2", "max_steps=1", "limits.turn_tokens=3",
        "limits.episode_tokens=160", "warm_start.mode=never", *extra,
    ]  # fmt: skip
    try:
        main(words)
    except SystemExit as end:
        code = end.code
    else:
        code = 0
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("extra", [(), ("plan=true",)])
def test_budgets_beyond_the_positions_are_refused_without_a_folder(
    small, tmp_path, capsys, extra
):
    runs = tmp_path / "runs"
    assert ended(small, runs, "limits.episode_tokens=400", *extra) == 2
    said = capsys.readouterr().err
    assert "limits.episode_tokens=400" in said
    assert "64 positions" in said
    assert str(small) in said
    assert not runs.exists()


def test_the_teacher_of_references_is_checked_too(small, tmp_path, capsys):
    words = (f"env={ENV}", "limits.episode_tokens=64")
    assert ended(small, tmp_path / "runs", *words) == 2
    assert "reference.input_tokens=4096" in capsys.readouterr().err
    assert ended(small, tmp_path / "runs", *words, "reference.input_tokens=64") == 0
    assert ended(small, tmp_path / "runs", *words, "algo=grpo") == 0


def test_another_teacher_has_to_read_the_whole_episode(tiny, small, tmp_path, capsys):
    assert ended(tiny, tmp_path / "runs", "algo=opd", f"teacher={small}") == 2
    said = capsys.readouterr().err
    assert f"64 positions of the model teacher={small}" in said


def test_an_adapter_without_its_base_is_refused_with_both_names(tiny, tmp_path, capsys):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    about = {"base_model_name_or_path": str(tmp_path / "gone"), "peft_type": "LORA"}
    (adapter / "adapter_config.json").write_text(json.dumps(about))
    (adapter / "adapter_model.safetensors").touch()
    for extra in ((), ("plan=true",)):
        assert ended(adapter, tmp_path / "runs", *extra) == 2
        said = capsys.readouterr().err
        assert f"adapter {adapter} needs" in said
        assert str(tmp_path / "gone") in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("extra", [(), ("plan=true",)])
def test_a_prompt_longer_than_the_budget_is_refused_by_its_task(
    tiny, tmp_path, capsys, extra
):
    runs = tmp_path / "runs"
    words = (f"env={ENV}", "levels=1", "limits.episode_tokens=400", *extra)
    assert ended(tiny, runs, *words) == 2
    said = capsys.readouterr().err
    # The template's marks: 6 for <|im_start|>user, 2 after the text, 11 for the assistant.
    assert "wordy, task train/1/1000: the prompt has 1019 tokens" in said
    assert "limits.episode_tokens=400" in said
    assert "set limits.episode_tokens=1022 or more" in said
    assert not runs.exists()


def test_a_prompt_without_room_for_a_turn_is_too_long(tiny, tmp_path, capsys):
    words = (f"env={ENV}", "levels=0", "limits.turn_tokens=1")
    assert ended(tiny, tmp_path / "a", *words, "limits.episode_tokens=39") == 2
    assert "train/0/20: the prompt has 39 tokens" in capsys.readouterr().err
    assert ended(tiny, tmp_path / "b", *words, "limits.episode_tokens=40") == 0


def test_later_levels_may_hold_prompts_that_are_too_long_but_not_alone(
    tiny, tmp_path, capsys, caplog
):
    words = (f"env={ENV}", "limits.episode_tokens=400")
    assert ended(tiny, tmp_path, *words, "levels=[]") == 2
    assert "No prompt of level 2 is shorter" in capsys.readouterr().err
    assert "train/1/1000: the prompt has 1019 tokens" in caplog.text
    assert ended(tiny, tmp_path, *words, "levels=0") == 0


def test_a_teacher_must_have_room_for_the_prompt(tiny, tmp_path, capsys):
    words = (f"env={ENV}", "reference.input_tokens=39")
    assert ended(tiny, tmp_path / "runs", *words) == 2
    said = capsys.readouterr().err
    assert "train/0/20: the teacher's prompt has 39 tokens" in said
    assert "reference.input_tokens=39" in said


def test_a_solution_must_fit_what_the_teacher_is_shown(tiny, tmp_path, capsys):
    words = (f"env={ENV}", "algo=opsd")
    assert ended(tiny, tmp_path / "runs", *words, "reference.tokens=20") == 2
    said = capsys.readouterr().err
    assert "train/0/" in said
    assert "does not fit reference.tokens=20" in said
    assert ended(tiny, tmp_path / "runs", *words, "reference.input_tokens=200") == 2
    assert "reference.input_tokens=200" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_prompt_that_is_too_long_at_run_time_is_counted_in_the_log(
    tiny, tmp_path, capsys
):
    """Level 1 has a short and a long prompt, and the run comes to it by itself."""
    words = (
        f"env={GROWING}", "levels=[]", "limits.episode_tokens=400", "max_steps=12", "name=a",
        "validation.every=12", "algo=grpo",
    )  # fmt: skip
    assert ended(tiny, tmp_path, *words) == 0
    rows = read_metrics(tmp_path / "a" / "metrics.jsonl")
    # A level is left after 16 groups, here 8 steps; then a step has both tasks, two episodes each.
    counts = [row["episodes/prompts_too_long"] for row in rows]
    assert counts[:8] == [0.0] * 8
    assert set(counts[8:]) == {0.0, 2.0} or counts[8:] == [2.0] * 4
    assert [row["episodes/success"] for row in rows] == [1.0] * 12
    assert not any(key.startswith("errors/") for row in rows for key in row)
    assert "prompts too long: 2" in capsys.readouterr().err

    (row,) = read_metrics(tmp_path / "a" / "validation.jsonl")
    assert row["validation_prompts_too_long"] == 1.0
    assert row["validation/id"] == 1.0


@pytest.mark.parametrize("extra", [(), ("plan=true",)])
def test_more_tokens_than_rows_are_refused_before_the_weights_are_read(
    tiny, tmp_path, capsys, extra
):
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = len(tokenizer)
    tokenizer.add_tokens(["<one>", "<two>", "<three>"])
    tokenizer.save_pretrained(model)
    (model / "model.safetensors").write_bytes(b"torn")
    assert ended(model, tmp_path / "runs", *extra) == 2
    said = capsys.readouterr().err
    assert f"has {rows + 3} tokens" in said
    assert f"the model has {rows} rows" in said
    assert not (tmp_path / "runs").exists()


def test_a_reply_beyond_the_positions_ends_the_episode_and_not_the_run(tiny, tmp_path):
    """Learned positions have no row for what lies beyond them."""
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=200, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=1, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = tmp_path / "learned"
    GPT2LMHeadModel(config).save_pretrained(model)
    tokenizer.save_pretrained(model)
    words = (
        f"env={CHATTY}", "limits.episode_tokens=100", "reference.input_tokens=200",
        "group_size=8", "max_steps=2", "name=a",
    )  # fmt: skip
    assert ended(model, tmp_path / "runs", *words) == 0
    rows = read_metrics(tmp_path / "runs" / "a" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    assert sum(row["episodes/stop_max_tokens"] for row in rows) > 0
    assert not any(row.get("train/skipped") for row in rows)
