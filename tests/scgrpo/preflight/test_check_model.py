"""What `scgrpo model check` says of a model, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from scgrpo.models.tiny import make_tiny
from scgrpo.preflight.check_model import main
from scgrpo.preflight.memory import LIBRARIES_MIB

THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)


def with_template(model: Path, template: str | None) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(model)
    (model / "chat_template.jinja").unlink()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(model)
    return model


def ended(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        code = end.code
    else:
        code = 0
    assert isinstance(code, int)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def report(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    _, printed, _ = ended(capsys, *words, "--json", "device=cpu", "dtype=float32")
    return json.loads(printed)


def test_a_model_that_works_has_no_problem(tiny, capsys):
    code, printed, _ = ended(capsys, tiny, "device=cpu")
    assert code == 0
    lines = {
        line.split()[0]: " ".join(line.split()[1:]) for line in printed.splitlines()
    }
    assert lines["model"] == f"{tiny} (LlamaForCausalLM, 0.0 million parameters)"
    assert lines["tokens"] == "99 in the tokenizer, 99 rows in the model"
    budgets = "limits.episode_tokens=640, reference.input_tokens=4096"
    assert lines["positions"] == f"2048; {budgets}"
    assert lines["path"].startswith("packed")
    assert lines["verdict"] == "a run with these settings can start"


def test_the_numbers_are_those_of_the_model(tiny, capsys):
    told = report(capsys, tiny)
    assert (told["tokens"], told["rows"], told["positions"]) == (99, 99, 2048)
    assert (told["template"], told["system_role"]) == ("text", True)
    assert told["end_tokens"] == ["<|im_end|>"]
    assert told["settings"] == {}
    assert told["problems"] == []
    assert 0 <= told["gap"] < 1e-5
    # One layer of 16 x 16 (four), 16 x 64 (three) and two norms, a norm, 99 rows of 16.
    assert told["parameters"] == 4 * 16 * 16 + 3 * 16 * 64 + 3 * 16 + 99 * 16
    # 32 episodes of 640 tokens, a key and a value of 16 numbers each, in four bytes.
    sampling = LIBRARIES_MIB + (told["parameters"] + 32 * 640 * 2 * 16) * 4 / 2**20
    assert told["sampling_mib"] == pytest.approx(sampling)
    assert told["training_mib"] > told["sampling_mib"]


def test_budgets_beyond_the_positions_are_problems_with_a_setting(tiny, capsys):
    words = (tiny, "limits.episode_tokens=4000", "device=cpu")
    code, printed, _ = ended(capsys, *words)
    assert code == 1
    assert "set         limits.episode_tokens=2048: 4000 goes beyond" in printed
    assert (
        "problem     limits.episode_tokens=4000 goes beyond the model's 2048" in printed
    )
    assert "can start" not in printed
    settings = report(capsys, *words)["settings"]
    assert list(settings) == [
        "limits.episode_tokens=2048",
        "reference.input_tokens=2048",
    ]
    assert ended(capsys, *words, *settings)[0] == 0


def test_a_model_that_may_think_is_told_how_not_to(tiny, capsys):
    with_template(tiny, THINKING)
    told = report(capsys, tiny)
    assert told["thinking"] == "may think"
    assert list(told["settings"]) == ["chat.enable_thinking=false"]
    assert "limits.turn_tokens=48" in told["settings"]["chat.enable_thinking=false"]
    assert report(capsys, tiny, "chat.enable_thinking=false")["settings"] == {}
    assert report(capsys, tiny, "limits.turn_tokens=2000")["settings"] == {}


def test_a_model_that_always_thinks_needs_longer_turns(tiny, capsys):
    always = THINKING.partition("{% if enable_thinking")[0]
    with_template(tiny, always + "{{ '<think>\\n' }}{% endif %}")
    told = report(capsys, tiny)
    assert told["thinking"] == "thinks: the template opens the thought"
    assert list(told["settings"]) == ["limits.turn_tokens=1024"]


def test_without_a_chat_template_a_run_cannot_work(tiny, capsys):
    with_template(tiny, None)
    code, printed, _ = ended(capsys, tiny, "device=cpu")
    assert code == 1
    assert "problem     the tokenizer has no chat template" in printed


def test_torn_weights_are_a_problem_and_the_rest_is_told(tiny, capsys):
    (tiny / "model.safetensors").write_bytes(b"torn")
    told = report(capsys, tiny)
    assert (told["positions"], told["rows"]) == (2048, None)
    (problem,) = told["problems"]
    assert problem.startswith("the model cannot be used")


def test_too_little_memory_is_answered_with_settings(tmp_path, capsys, monkeypatch):
    model = make_tiny(tmp_path / "deep", hidden=64, layers=8)
    place = "scgrpo.preflight.model_report.available_memory_mib"
    monkeypatch.setattr(place, lambda device: 1.0)
    # Of few episodes, so that learning takes more than sampling.
    few = ("tasks_per_step=1", "group_size=2")
    told = report(capsys, model, *few)
    settings = ["activation_checkpointing=true", "lora.rank=16"]
    assert list(told["settings"]) == settings
    less = report(capsys, model, *few, *settings)
    assert less["settings"] == {}
    assert less["training_mib"] < told["training_mib"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing/at/all"], "unknown model"),
        (["TINY", "limits.x=3"], "unknown setting"),
        (["TINY", "--jsn"], "unknown option --jsn"),
        ([], "required: NAME"),
    ],
)
def test_bad_arguments_end_with_2(tiny, capsys, words, message):
    words = [str(tiny) if word == "TINY" else word for word in words]
    code, printed, said = ended(capsys, *words)
    assert (code, printed) == (2, "")
    assert message in said
