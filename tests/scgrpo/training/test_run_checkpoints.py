"""A thread writes what was there when a save began, one checkpoint at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scgrpo.config import TrainConfig
from scgrpo.distributed.ranks import SINGLE_PROCESS
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.runs import checkpoints
from scgrpo.runs.disk import DiskError
from scgrpo.training import checkpoint
from scgrpo.training.curriculum import LevelCurriculum
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.training.run_checkpoints import RunCheckpoints

WAIT_S = 30


@pytest.fixture
def run(tmp_path: Path) -> RunCheckpoints:
    """The checkpoints of a run that writes them beside its training, as on a GPU."""
    model, tokenizer = load_model(make_tiny(tmp_path / "tiny", hidden=16, layers=1))
    run = RunCheckpoints(
        tmp_path / "checkpoints",
        TrainConfig(dtype="float32", device="cpu"),
        SINGLE_PROCESS,
        model=model,
        tokenizer=tokenizer,
        optimizer=MasterAdamW(model.parameters(), lr=1e-3),
        rng=np.random.default_rng(0),
        levels=LevelCurriculum((0,)),
    )
    run._writes_beside = True
    return run


def learn(run: RunCheckpoints, value: float) -> None:
    run.begin_step()
    with torch.no_grad():
        run._model.get_input_embeddings().weight.fill_(value)
    run.finish_step(run.step + 1)


def test_training_goes_on_while_a_copy_is_written(
    run: RunCheckpoints, monkeypatch: pytest.MonkeyPatch
):
    save, may_write = checkpoint.save, threading.Event()
    order: list[str] = []

    def waits(folder: Path, content: checkpoint.Content, **options: Any) -> Path:
        assert may_write.wait(WAIT_S)
        order.append(f"written {content.step}")
        return save(folder, content, **options)

    monkeypatch.setattr(checkpoint, "save", waits)
    learn(run, 1.0)
    run.save()
    learn(run, 2.0)
    assert run.saved == 0
    order.append("learned")
    threading.Timer(0.2, may_write.set).start()
    # One at a time: it waits for the first.
    run.save()
    assert run.saved == 1
    learn(run, 3.0)
    run.mark_best()
    assert run.saved == 3
    run.close()
    assert order == ["learned", "written 1", "written 2", "written 3"]
    folder = run._folder
    assert (folder / "best").resolve() == checkpoints.step_folder(folder, 3)
    for step in (2, 3):
        path = checkpoints.step_folder(folder, step)
        checkpoints.verify(path)
        weights = load_file(path / "model.safetensors")
        assert (weights["model.embed_tokens.weight"] == step).all()


def test_what_went_wrong_beside_is_raised_by_the_next_save(
    run: RunCheckpoints, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object, **__: object) -> Path:
        raise DiskError("cannot write it: the disk is full")

    monkeypatch.setattr(checkpoint, "save", full)
    learn(run, 1.0)
    run.save()
    learn(run, 2.0)
    with pytest.raises(DiskError, match="the disk is full"):
        run.save()
    assert run.saved == 0
    run.close()


def test_weights_in_the_middle_of_a_step_are_of_no_step(run: RunCheckpoints):
    assert run.can_save
    run.begin_step()
    assert not run.can_save
    run.finish_step(1)
    assert run.can_save
    run.close()
