"""A checkpoint leaves the run as a model that transformers loads, with a card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

from scgrpo.export import card, main
from scgrpo.models.tiny import make_tiny
from scgrpo.train import main as train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    tiny = make_tiny(folder / "tiny", hidden=16, layers=1, heads=2)
    settings = (
        f"env=toy_guess model={tiny} runs={folder} name=a max_steps=2 tasks_per_step=2 "
        "group_size=2 levels=0 limits.turn_tokens=3 limits.episode_tokens=160 device=cpu "
        "dtype=float32 warm_start.mode=never validation.every=1 validation.tasks=2 save_every=1"
    )
    train(settings.split())
    return folder / "a"


@pytest.mark.parametrize("which", ["latest", "best", "2"])
def test_the_folder_is_a_model_with_a_card(run, tmp_path, which):
    out = tmp_path / "out"
    main([str(run), "--out", str(out), "--checkpoint", which])
    AutoModelForCausalLM.from_pretrained(out)
    AutoTokenizer.from_pretrained(out)
    assert not (out / "trainer.pt").exists()
    saved = ModelCard.load(out / "README.md")
    assert saved.data.library_name == "transformers"
    assert "sc_grpo" in saved.data.tags
    assert "tasks_per_step=2" in saved.text
    assert "| id | " in saved.text
    assert "at most 160 tokens" in saved.text
    assert "The model has 2048 positions." in saved.text


def test_the_card_says_that_a_budget_was_beyond_the_positions(run, tmp_path):
    """As runs of earlier releases may be, which did not look."""
    old = tmp_path / "old"
    shutil.copytree(run, old, symlinks=True)
    config = old / "checkpoints" / "step-000002" / "config.json"
    about = json.loads(config.read_text()) | {"max_position_embeddings": 64}
    config.write_text(json.dumps(about))
    assert "beyond the 64 positions of the model" in card(old, 2).text
    # A step that is not kept has no configuration to read.
    assert "positions" not in card(old, 7).text


def test_what_the_run_lacks_is_refused_with_what_it_has(run, tmp_path, capsys):
    for which, hint in (
        ("7", "no checkpoint 7; it keeps the steps"),
        ("oldest", "`best`"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([str(run), "--out", str(tmp_path / "out"), "--checkpoint", which])
        assert hint in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([str(run), "--out", str(tmp_path)])
    assert "exists" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
