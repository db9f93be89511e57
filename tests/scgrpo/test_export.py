"""A checkpoint leaves the run as a model that transformers loads, with a card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from scgrpo.export import card, main
from scgrpo.models.load import load_model
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


IDS = torch.arange(5, 25)[None]
WARM = (
    "warm_start.mode=always warm_start.episodes=8 warm_start.steps=3 "
    "warm_start.tasks_per_step=2 warm_start.lr=1e-2"
)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A run of adapters on a warm start whose cache is gone, and the model before that."""
    folder = tmp_path_factory.mktemp("adapters")
    tiny = make_tiny(folder / "tiny", hidden=16, layers=1, heads=2)
    teacher = make_tiny(folder / "teacher", hidden=16, layers=1, heads=2, seed=5)
    settings = (
        f"env=toy_guess model={tiny} runs={folder} name=a max_steps=2 tasks_per_step=2 "
        "group_size=2 levels=0 limits.turn_tokens=3 limits.episode_tokens=160 device=cpu "
        f"dtype=float32 lora.rank=4 lr=0.1 algo=opd teacher={teacher} {WARM}"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCGRPO_CACHE", str(folder / "cache"))
        train(settings.split())
        shutil.rmtree(folder / "cache")
        yield folder / "a", tiny


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def of_run(run: Path) -> torch.Tensor:
    return logits(load_model(run / "checkpoints" / "step-000002")[0])


def test_adapters_are_merged_so_that_the_export_needs_no_other_model(
    adapters, tmp_path
):
    run, base = adapters
    expected = of_run(run)
    assert not torch.allclose(logits(load_model(base)[0]), expected, atol=1e-2)
    out = tmp_path / "out"
    main([str(run), "--out", str(out)])
    assert not (out / "adapter_config.json").exists()
    merged = AutoModelForCausalLM.from_pretrained(out)
    torch.testing.assert_close(logits(merged), expected, atol=1e-5, rtol=1e-4)
    saved = ModelCard.load(out / "README.md")
    assert "merged into the weights: it needs no other model" in saved.text
    assert saved.data.base_model is None
    assert [file for file in out.iterdir() if "cache" in text_of(file)] == []


def test_an_adapter_that_stays_apart_stands_on_the_base_that_its_card_names(
    adapters, tmp_path
):
    run, _ = adapters
    expected = of_run(run)
    out = tmp_path / "out"
    main([str(run), "--adapter", "--out", str(out)])
    saved = ModelCard.load(out / "README.md")
    assert saved.data.library_name == "peft"
    base = AutoModelForCausalLM.from_pretrained(out / saved.data.base_model)
    assert not torch.allclose(logits(base), expected, atol=1e-2)
    assert torch.equal(logits(PeftModel.from_pretrained(base, out)), expected)
    # The project finds the base beside the adapter, wherever both lie.
    elsewhere = shutil.move(out, tmp_path / "elsewhere")
    assert torch.equal(logits(load_model(elsewhere)[0]), expected)
    for file in Path(elsewhere).rglob("*"):
        assert "cache" not in text_of(file), file


def text_of(file: Path) -> str:
    """What a text file says of paths; settings of the cache in a model are no path."""
    if file.suffix not in (".json", ".md"):
        return ""
    return file.read_text().replace("use_cache", "")


def test_an_export_on_a_full_or_failing_disk_leaves_nothing(
    run, adapters, tmp_path, capsys, monkeypatch
):
    copy = shutil.copy2

    def spoils(source: Path, target: Path) -> None:
        copy(source, target)
        if target.suffix == ".safetensors":
            os.truncate(target, target.stat().st_size - 10)

    monkeypatch.setattr(shutil, "copy2", spoils)
    for folder, extra in ((run, []), (adapters[0], ["--adapter"])):
        with pytest.raises(SystemExit, match="1"):
            main([str(folder), *extra, "--out", str(tmp_path / "out")])
        assert "read back at once, it differs from" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


def test_an_adapter_whose_base_is_gone_is_refused_with_what_it_needs(
    adapters, tmp_path, capsys
):
    run = Path(shutil.copytree(adapters[0], tmp_path / "a"))
    shutil.rmtree(run / "warm_start")
    with pytest.raises(SystemExit, match="2"):
        main([str(run), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert "needs the model that it was trained on, ../../warm_start" in said
    assert not (tmp_path / "out").exists()
