"""Budgets that a prompt or a model does not fit, in an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from envs.base import TextEnv
from envs.registry import register
from envs.types import Task, Verdict
from evals.run import main
from scgrpo.models.tiny import make_tiny

LONG = "x" * 1000


class Essays(TextEnv):
    """A short and a long prompt at level 0, a long one alone at level 1; any answer is right."""

    name = "essays"
    levels = (0, 1)

    def tasks(self, split, level):
        prompts = [["a", LONG], [LONG]][level]
        return [
            Task(f"{split}/{level}/{len(prompt)}", split, level, prompt[0], prompt)
            for prompt in prompts
        ]

    def reply(self, text):
        return Verdict(True, 1.0)

    def random_turn(self, rng):
        return "o"


register(Essays, namespace="budgets")
ENV = f"{__name__}:budgets/essays"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)


def evaluation(model: Path, level: int) -> list[str]:
    words = f"--model {model} --envs {ENV} --levels {level} --rollouts 2 --out out"
    return words.split()


def score_of(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())["rows"][0]["scores"]["model"]


def test_prompts_that_are_too_long_are_a_number_of_their_own(tiny, capsys):
    main(evaluation(tiny, 0))
    score = score_of(Path("out"))
    assert (score["episodes"], score["errors"], score["prompts_too_long"]) == (2, 0, 2)
    # The short one alone counts.
    assert (score["success"]["value"], score["success"]["tasks"]) == (1.0, 1)
    assert score["causes"] == {}
    assert score["success_bound"] == 1.0

    printed = capsys.readouterr()
    assert "prompts too long" in printed.out
    words = (
        "task id/0/1000: the prompt has 1019 tokens, which leaves no room for a turn"
    )
    assert words in " ".join(printed.out.split())
    (page,) = Path("out").glob("*.md")
    table = next(line for line in page.read_text().splitlines() if "suite" in line)
    assert table.endswith("| prompts too long |")


def test_they_are_warned_of_before_and_not_played_again(tiny, capsys):
    main(evaluation(tiny, 0))
    said = capsys.readouterr().err
    assert "task id/0/1000: the prompt has 1019 tokens" in said
    assert "limits.episode_tokens=640" in said
    assert said.index("1019 tokens") < said.index("episodes: 4 to play")
    main(evaluation(tiny, 0))
    assert "episodes: 0 to play, 4 on disk" in capsys.readouterr().err


def test_a_suite_that_nobody_can_begin_has_no_success(tiny, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(evaluation(tiny, 1))
    assert stopped.value.code == 1
    score = score_of(Path("out"))
    assert score["success"]["value"] is None
    assert (score["episodes"], score["errors"], score["prompts_too_long"]) == (0, 0, 2)
    said = capsys.readouterr().err.splitlines()[-1]
    for part in ("can be played", "id/1/1000", "1019 tokens", "episode_tokens=640"):
        assert part in said


def test_a_model_of_fewer_positions_is_refused(tiny, tmp_path, capsys):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.config.max_position_embeddings = 64
    model.save_pretrained(tiny)
    with pytest.raises(SystemExit) as stopped:
        main(evaluation(tiny, 0))
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "limits.episode_tokens=640" in said
    assert f"64 positions of the model {tiny}" in said
    assert not Path("out").exists()


def test_an_adapter_without_its_base_is_refused_with_both_names(tiny, tmp_path, capsys):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    about = {"base_model_name_or_path": str(tmp_path / "gone"), "peft_type": "LORA"}
    (adapter / "adapter_config.json").write_text(json.dumps(about))
    (adapter / "adapter_model.safetensors").touch()
    with pytest.raises(SystemExit) as stopped:
        main(evaluation(adapter, 0))
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert f"adapter {adapter} needs" in said
    assert str(tmp_path / "gone") in said
    assert not Path("out").exists()
