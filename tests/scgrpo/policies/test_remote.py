"""A policy over an engine outside the process, with an engine that only reads weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.engines.vllm_worker import weight_checksum
from scgrpo.policies.remote import RemotePolicy, StaleWeightsError


class Reader:
    """An engine that loads what it is told to, and samples nothing."""

    def __init__(self) -> None:
        self.is_closed = False
        self.model: Any = None

    def load(self, folder: Path) -> None:
        self.model, _ = load_model(folder)

    def weight_checksums(self) -> set[str]:
        head = self.model.get_output_embeddings()
        return {weight_checksum(self.model, head.weight)}

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)


def test_the_engines_copies_of_the_weights_go_with_the_policy(tiny, tmp_path):
    model, tokenizer = load_model(tiny)
    engine: Any = Reader()
    folder = tmp_path / "run" / "weight_sync"
    with RemotePolicy(model, tokenizer, engine, folder) as policy:
        policy.sync_weights()
        assert [path.name for path in folder.iterdir()] == ["version-000001"]
    assert engine.is_closed
    assert list((tmp_path / "run").iterdir()) == []


def test_an_engine_with_other_weights_is_noticed(tiny, tmp_path):
    model, tokenizer = load_model(tiny)
    engine: Any = Reader()
    other = make_tiny(tmp_path / "other", hidden=16, layers=1, heads=2, seed=1)
    engine.load(other)
    engine.load = lambda folder: None
    with pytest.raises(StaleWeightsError, match="the engine computes with weights"):
        RemotePolicy(model, tokenizer, engine, tmp_path / "weight_sync")
    assert engine.is_closed
