"""A run's memory is measured, and does not grow."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import read_metrics
from scgrpo.training.memory import memory_log, release_memory, release_models

STEPS = 30
ALLOWED_GIB = 0.03
"""What may come on top between steps 10 and 30; a kept graph a step is twice that and more."""


def test_the_peak_is_at_least_what_is_resident():
    log = memory_log()
    assert 0 < log["memory/resident_gib"] <= log["memory/peak_gib"] + 1e-3


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_free_memory_is_given_back():
    # Small blocks come from the heap, which stays with the process until it is trimmed.
    blocks = [bytes(4000) for _ in range(50_000)]
    pinned = blocks[-1]
    full = memory_log()["memory/resident_gib"]
    del blocks
    release_memory()
    assert memory_log()["memory/resident_gib"] < full - 0.1
    assert len(pinned) == 4000


HOLES = """
from scgrpo.training.memory import limit_fragmentation, memory_log
limit_fragmentation()
# By default a large block that is freed has smaller ones come from the heap from then on.
large = b"x" * 2**24
del large
tensors = [(b"x" * 2**23, b"x" * 2**17) for _ in range(40)]
kept = [small for _, small in tensors]
full = memory_log()["memory/resident_gib"]
del tensors
print(full - memory_log()["memory/resident_gib"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_large_blocks_leave_no_holes_between_small_ones():
    command = [sys.executable, "-c", HOLES]
    freed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert float(freed) > 0.2


def test_what_only_a_cycle_holds_is_released():
    class Model:
        pass

    model = Model()
    model.itself = model  # pyright: ignore[reportAttributeAccessIssue]
    alive = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert alive() is not None
        release_models()
        assert alive() is None
    finally:
        gc.enable()


def test_what_the_allocator_of_a_gpu_keeps_is_given_back_with_the_models(monkeypatch):
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    release_models()
    assert emptied == [True]
    # Not with each step, which would have to ask the driver for its memory again.
    release_memory()
    assert emptied == [True]


def test_a_run_does_not_grow(tmp_path: Path):
    model = make_tiny(tmp_path / "model", hidden=64, layers=4)
    settings = [
        "env=toy_guess",
        f"model={model}",
        "levels=0",
        f"max_steps={STEPS}",
        "warm_start.mode=never",
        "tasks_per_step=2",
        "group_size=4",
        f"runs={tmp_path / 'runs'}",
        "name=a",
        "dtype=float32",
        "device=cpu",
        "save_every=100",
    ]
    subprocess.run([sys.executable, "-m", "scgrpo.train", *settings], check=True)
    rows = read_metrics(tmp_path / "runs/a/metrics.jsonl")
    resident = [row["memory/resident_gib"] for row in rows]
    assert len(resident) == STEPS
    assert max(resident[10:]) - resident[9] < ALLOWED_GIB, resident
