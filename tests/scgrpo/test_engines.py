"""Which engines a run has: on which GPUs, and what cannot be."""

from __future__ import annotations

import pytest

from scgrpo.engines import gpus_apart, visible_gpus


def test_servers_apart_take_the_gpus_behind_the_trainers(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    gpus = list("abcdefgh")
    assert gpus_apart(gpus, 3, 2) == [["c", "d"], ["e", "f"], ["g", "h"]]
    with pytest.raises(ValueError, match="wants 4 servers of 2 GPUs besides the 2"):
        gpus_apart(gpus, 4, 2)
    # On a CPU they share it.
    assert gpus_apart([], 2, 1) == [(), ()]


def test_a_process_sees_what_it_was_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5")
    assert visible_gpus() == ["2", "GPU-5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
