"""A checkpoint is whole or absent, and training goes on from it exactly."""

import errno
import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from scgrpo.models import read_back
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.runs import checkpoints
from scgrpo.runs.checkpoints import CheckpointError, latest
from scgrpo.runs.disk import DiskError
from scgrpo.training import checkpoint
from scgrpo.training.checkpoint import Content, load_into
from scgrpo.training.optimizer import MasterAdamW


class Training:
    """A real model, optimizer and random generator, some steps in."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer = load_model(folder)
        self.optimizer = MasterAdamW(self.model.parameters(), lr=1e-3)
        self.rng = np.random.default_rng(0)

    def step(self) -> None:
        ids = torch.from_numpy(self.rng.integers(3, 90, (2, 8)))
        self.model(input_ids=ids, labels=ids).loss.backward()
        self.optimizer.step(lr=1e-3, max_norm=1.0)

    def content(self, step: int, **state: Any) -> Content:
        return Content(
            step, self.model, self.tokenizer, self.optimizer.state_parts(), state
        )

    def save(self, folder: Path, step: int, keep: int | None = None) -> Path:
        random = checkpoint.random_state(self.rng)
        content = self.content(step, random=random, level=2)
        return checkpoint.save(folder, content, keep=keep)

    def restore(self, path: Path) -> dict[str, Any]:
        state = load_into(path, self.optimizer)
        checkpoint.restore_random_state(state["random"], self.rng)
        return state


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


def test_training_goes_on_from_a_checkpoint_bit_for_bit(
    tiny: Path, tmp_path: Path
) -> None:
    first = Training(tiny)
    first.step()
    path = first.save(tmp_path, 1)
    expected_noise = torch.rand(3)
    first.step()
    second = Training(tiny)
    assert second.restore(path)["level"] == 2
    assert torch.equal(torch.rand(3), expected_noise)
    second.step()
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name


def test_transformers_loads_a_checkpoint_folder(tiny: Path, tmp_path: Path) -> None:
    training = Training(tiny)
    path = training.save(tmp_path, 1)
    loaded = AutoModelForCausalLM.from_pretrained(path)
    assert torch.equal(loaded.lm_head.weight, training.model.lm_head.weight)


def test_a_lora_checkpoint_holds_the_adapter_and_restores_it(
    tiny: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    def adapted() -> Training:
        training = Training(tiny)
        training.model = get_peft_model(
            training.model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
        )
        weights = [p for p in training.model.parameters() if p.requires_grad]
        training.optimizer = MasterAdamW(weights, lr=1e-2)
        return training

    first = adapted()
    first.step()
    path = first.save(tmp_path, 1)
    assert not (path / "model.safetensors").exists()
    second = adapted()
    second.restore(path)
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.equal(
            load_model(path)[0](ids).logits, first.model.eval()(ids).logits
        )


def test_only_the_newest_are_kept(tiny: Path, tmp_path: Path) -> None:
    training = Training(tiny)
    for step in (1, 2, 3):
        training.save(tmp_path, step, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000002",
        "step-000003",
    ]
    assert latest(tmp_path) == tmp_path / "step-000003"


@pytest.mark.parametrize("damage", ["torn", "changed", "missing", "no manifest"])
def test_latest_skips_a_damaged_checkpoint_and_says_so(
    damage: str, tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = Training(tiny)
    good = training.save(tmp_path, 1)
    bad = training.save(tmp_path, 2)
    weights = bad / "model.safetensors"
    if damage == "torn":
        os.truncate(weights, weights.stat().st_size - 10)
    elif damage == "changed":
        with weights.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)[0]
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last ^ 1]))
    else:
        (weights if damage == "missing" else bad / "manifest.json").unlink()
    with caplog.at_level("WARNING"):
        assert latest(tmp_path) == good
    assert "step-000002" in caplog.text
    with pytest.raises(CheckpointError, match="step-000002"):
        checkpoints.verify(bad)


def test_a_folder_without_checkpoints_has_no_latest(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    assert latest(tmp_path / "absent") is None


def test_what_a_killed_save_left_is_no_checkpoint_and_is_cleared(
    tiny: Path, tmp_path: Path
) -> None:
    left = tmp_path / ".step-000001-abc" / "new"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    assert latest(tmp_path) is None
    Training(tiny).save(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_a_failed_save_of_the_same_step_keeps_the_old_one(
    tiny: Path, tmp_path: Path
) -> None:
    training = Training(tiny)
    path = training.save(tmp_path, 1)

    def fails(folder: Path, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    training.model.save_pretrained = fails
    with pytest.raises(
        DiskError, match=r"step-000001: the disk is full: free some space"
    ):
        training.save(tmp_path, 1)
    assert latest(tmp_path) == path


def test_a_full_disk_keeps_the_checkpoint_before_it(tiny: Path, tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        training = Training(tiny)
        saved = 0
        with pytest.raises(DiskError, match="the disk is full"):  # noqa: PT012 - counts on the way
            for step in range(1, 30):
                training.save(tmp_path, step)
                saved = step
        assert saved > 0
        assert latest(tmp_path) == tmp_path / f"step-{saved:06d}"
        assert not list(tmp_path.glob(".step-*"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_state_that_only_pickled_code_could_restore_is_refused(
    tiny: Path, tmp_path: Path
) -> None:
    training = Training(tiny)
    with pytest.raises(ValueError, match=r"state\['rng'\]: got a Generator"):
        checkpoint.save(tmp_path, training.content(1, rng=training.rng))
    assert latest(tmp_path) is None


def test_the_manifest_names_every_file(tiny: Path, tmp_path: Path) -> None:
    path = Training(tiny).save(tmp_path, 7)
    manifest = json.loads((path / "manifest.json").read_text())
    files = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    assert {*manifest, "manifest.json"} == files
    assert {"optimizer/.metadata", "optimizer/__0_0.distcp", "trainer.pt"} <= files
    assert checkpoints.step_of(path) == 7


def spoil(path: Path, damage: str) -> None:
    """What a failing disk does to a file that was written without an error."""
    if damage == "torn":
        os.truncate(path, path.stat().st_size - 100)
        return
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(
    "name", ["model.safetensors", "trainer.pt", "optimizer/__0_0.distcp"]
)
@pytest.mark.parametrize("damage", ["torn", "changed"])
def test_a_save_that_the_disk_spoils_is_noticed_and_costs_nothing(
    damage: str, name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest of what lies on the disk holds for spoiled files as for whole ones."""
    training = Training(tiny)
    training.step()
    good = training.save(tmp_path, 1)
    sha256 = read_back._sha256

    def spoils(file: Path) -> bytes:
        if str(file).endswith(name):
            spoil(file, damage)
        return sha256(file)

    check = checkpoint.check_weights

    def spoils_weights(folder: Path, *model: Any) -> None:
        if name == "model.safetensors":
            spoil(folder / name, damage)
        check(folder, *model)

    monkeypatch.setattr(read_back, "_sha256", spoils)
    monkeypatch.setattr(checkpoint, "check_weights", spoils_weights)
    with pytest.raises(DiskError, match=r"step-000002.*: read back at once, it"):
        training.save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
    assert latest(tmp_path) == good
    monkeypatch.undo()
    training.save(tmp_path, 2)
    assert latest(tmp_path) == tmp_path / "step-000002"


def test_an_index_that_would_run_code_is_refused(tiny: Path, tmp_path: Path) -> None:
    training = Training(tiny)
    training.step()
    path = training.save(tmp_path / "checkpoints", 1)
    for attack in (
        os.system,
        type("Call", (), {"__reduce__": lambda self: (os.system, ("true",))})(),
    ):
        (path / "optimizer" / ".metadata").write_bytes(pickle.dumps(attack))
        with pytest.raises(CheckpointError, match="asks for posix.system"):
            load_into(path, training.optimizer)


def test_a_checkpoint_of_an_earlier_version_is_named(
    tiny: Path, tmp_path: Path
) -> None:
    training = Training(tiny)
    path = training.save(tmp_path, 1)
    shutil.rmtree(path / "optimizer")
    with pytest.raises(CheckpointError, match="earlier version.*model=.*step-000001"):
        load_into(path, training.optimizer)
    (path / "trainer.pt").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="trainer.pt cannot be read"):
        load_into(path, training.optimizer)


def test_a_snapshot_keeps_what_was_there_when_it_was_taken(
    tiny: Path, tmp_path: Path
) -> None:
    training = Training(tiny)
    training.step()
    expected = {k: v.clone() for k, v in training.model.state_dict().items()}
    content = checkpoint.snapshot(training.content(1), torch.float32)
    training.step()
    path = checkpoint.save(tmp_path, content)
    other = Training(tiny)
    load_into(path, other.optimizer)
    loaded = load_model(path)[0].state_dict()
    for name, value in expected.items():
        assert torch.equal(other.model.state_dict()[name], value), name
        assert torch.equal(loaded[name], value), name
