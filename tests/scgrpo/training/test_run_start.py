"""A run's results load without the cache, on another machine, and give the run's logits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from peft import LoraConfig, get_peft_model

from scgrpo.models.load import load_model
from scgrpo.models.sources.folders import adapter_base, is_adapter
from scgrpo.models.tiny import make_tiny
from scgrpo.runs import checkpoints
from scgrpo.train import main
from tests.scgrpo.models.small_hub import COMMIT, small_hub

WARM = (
    "warm_start.mode=always",
    "warm_start.episodes=8",
    "warm_start.steps=3",
    "warm_start.tasks_per_step=2",
    "warm_start.lr=1e-2",
)
IDS = torch.arange(5, 25)[None]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def train(folder: Path, model: Path | str, *extra: str) -> Path:
    """The folder of a run of two steps, which learns from another model at each token."""
    teacher = folder / "teacher"
    if not teacher.exists():
        make_tiny(teacher, hidden=16, layers=1, heads=2, seed=5)
    settings = (
        f"env=toy_guess runs={folder / 'runs'} name=a max_steps=2 tasks_per_step=2 "
        "group_size=2 levels=0 limits.turn_tokens=3 limits.episode_tokens=160 device=cpu "
        f"dtype=float32 warm_start.mode=never lr=0.1 save_every=1 algo=opd teacher={teacher}"
    )
    main([*settings.split(), f"model={model}", *extra])
    return folder / "runs" / "a"


def resume(run: Path, steps: int) -> None:
    main(
        [f"runs={run.parent}", f"name={run.name}", "resume=true", f"max_steps={steps}"]
    )


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return load_model(folder)[0](input_ids=IDS).logits


def last(run: Path) -> Path:
    return sorted((run / "checkpoints").glob("step-*"))[-1]


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """The text files that tell what a model is."""
    for pattern in ("*.json", "*.md", "*.yaml"):
        for path in folder.rglob(pattern):
            yield str(path.relative_to(folder)), path.read_text()


def moved(run: Path, folder: Path) -> Path:
    """The run as it lies on another machine: elsewhere, as a copy without links."""
    return Path(shutil.copytree(run, folder / run.name))


@pytest.fixture
def auto(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default model, of which there is a small stand-in in the cache."""
    make_tiny(cache / "SmolLM2-135M-Instruct", hidden=16, layers=1, heads=2, seed=7)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return "auto"


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("model", ["folder", "auto"])
@pytest.mark.parametrize("warm", [(), WARM], ids=["cold", "warm"])
def test_a_run_needs_no_cache(
    warm, model, rank, tiny, auto, cache, tmp_path, monkeypatch
):
    name = tiny if model == "folder" else auto
    run = train(tmp_path, name, f"lora.rank={rank}", *warm)
    before = logits(last(run))
    assert not torch.equal(logits(run / "checkpoints" / "step-000001"), before)
    assert [file for file, text in texts(run) if str(cache) in text] == []
    assert not any(path.is_symlink() for path in run.iterdir())
    shutil.rmtree(cache)

    elsewhere = moved(run, tmp_path / "elsewhere")
    shutil.rmtree(run)
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "other_cache"))
    assert torch.equal(logits(last(elsewhere)), before)
    resume(elsewhere, 3)
    assert last(elsewhere).name == "step-000003"
    assert not torch.equal(logits(last(elsewhere)), before)


def test_what_a_run_keeps_takes_no_room_twice(tiny, cache, tmp_path):
    run = train(tmp_path, tiny, "lora.rank=4", *WARM)
    (cached,) = (cache / "warm_start").glob("*/model.safetensors")
    assert (run / "warm_start" / "model.safetensors").samefile(cached)
    # Who edits a template in the run must not change it for other runs.
    template = "chat_template.jinja"
    assert not (run / "warm_start" / template).samefile(cached.with_name(template))


def test_a_run_on_a_hubs_model_names_it_with_its_revision(
    tiny, cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with small_hub("somebody/small", tiny) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        run = train(tmp_path, "somebody/small", "lora.rank=4")
        about = json.loads((last(run) / "adapter_config.json").read_text())
        assert about["base_model_name_or_path"] == "somebody/small"
        assert about["revision"] == COMMIT
        assert adapter_base(last(run)).parent.name == "snapshots"
    assert not (run / "base").exists()


def adapter_on(base: Path, folder: Path) -> Path:
    """A user's adapter of another tool."""
    model, tokenizer = load_model(base)
    options = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(model, options).save_pretrained(str(folder))
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("warm", [(), WARM], ids=["cold", "warm"])
def test_an_adapter_is_trained_on(warm, auto, cache, tmp_path):
    adapter = adapter_on(cache / "SmolLM2-135M-Instruct", tmp_path / "adapter")
    run = train(tmp_path, adapter, *warm)
    before = logits(last(run))
    assert is_adapter(last(run))
    shutil.rmtree(cache)
    shutil.rmtree(adapter)
    assert torch.equal(logits(last(run)), before)
    resume(run, 3)


def test_an_adapter_without_a_tokenizer_has_that_of_its_base(tiny, cache, tmp_path):
    """As PEFT alone saves it."""
    adapter = adapter_on(tiny, tmp_path / "adapter")
    for file in (*adapter.glob("tokenizer*"), adapter / "chat_template.jinja"):
        file.unlink()
    run = train(tmp_path, adapter)
    assert (last(run) / "tokenizer.json").is_file()


def refused(*arguments: Any, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit, match="2"):
        train(*arguments)
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_an_adapter_on_top_of_an_adapter_is_refused_before_it_costs_anything(
    tiny, cache, tmp_path, capsys
):
    adapter = adapter_on(tiny, tmp_path / "adapter")
    said = refused(tmp_path, adapter, "lora.rank=4", *WARM, capsys=capsys)
    assert "is an adapter, and lora.rank=4 would train another one on top" in said
    assert "scgrpo export hf" in said
    # One that stands on another adapter already, too.
    second = tmp_path / "second"
    shutil.copytree(adapter, second)
    config = second / "adapter_config.json"
    about = json.loads(config.read_text()) | {"base_model_name_or_path": str(adapter)}
    config.write_text(json.dumps(about))
    said = refused(tmp_path, second, *WARM, capsys=capsys)
    assert f"stands on another adapter, {adapter}" in said
    assert not (tmp_path / "runs").exists()
    assert not cache.exists()


def test_an_adapter_whose_base_is_missing_is_refused_with_what_it_needs(
    tiny, cache, tmp_path, capsys
):
    base = shutil.copytree(tiny, tmp_path / "base")
    adapter = adapter_on(base, tmp_path / "adapter")
    shutil.rmtree(base)
    said = refused(tmp_path, adapter, capsys=capsys)
    assert (
        f"the adapter {adapter} needs the model that it was trained on, {base}" in said
    )
    assert not (tmp_path / "runs").exists()


def as_before(run: Path, cached: Path) -> None:
    """Makes the run one of the releases that linked the cache."""
    shutil.rmtree(run / "warm_start")
    (run / "warm_start").symlink_to(cached)
    for folder in (run / "checkpoints").iterdir():
        config = folder / "adapter_config.json"
        about = json.loads(config.read_text())
        config.write_text(json.dumps(about | {"base_model_name_or_path": str(cached)}))
        # The manifest of that time held for the file of that time.
        (folder / checkpoints.MANIFEST).unlink()
        checkpoints.write_manifest(folder)


def test_a_run_of_before_gets_what_its_link_points_to(tiny, cache, tmp_path):
    run = train(tmp_path, tiny, "lora.rank=4", *WARM)
    before = logits(last(run))
    (cached,) = (cache / "warm_start").iterdir()
    as_before(run, cached)
    assert torch.equal(logits(last(run)), before)
    resume(run, 3)
    shutil.rmtree(cache)
    assert not (run / "warm_start").is_symlink()
    assert torch.equal(logits(run / "checkpoints" / "step-000002"), before)
    resume(run, 4)


def test_a_run_of_before_whose_link_is_dead_is_refused_in_a_sentence(
    tiny, cache, tmp_path, capsys
):
    run = train(tmp_path, tiny, "lora.rank=4", *WARM)
    (cached,) = (cache / "warm_start").iterdir()
    as_before(run, cached)
    shutil.rmtree(cache)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        resume(run, 3)
    said = capsys.readouterr().err
    assert f"a warm start that lay in a cache, {cached}, and is gone" in said
    assert "Traceback" not in said


def test_a_run_of_before_that_trained_the_whole_model_goes_on_without_its_link(
    tiny, cache, tmp_path
):
    run = train(tmp_path, tiny, *WARM)
    shutil.rmtree(run / "warm_start")
    (run / "warm_start").symlink_to(cache / "warm_start" / "gone")
    shutil.rmtree(cache)
    resume(run, 3)
    assert last(run).name == "step-000003"
