"""A trial's small model lies next to its plan, and is the one that the plan declares."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from evals.trials.plan import Cell, SmallModel
from evals.trials.small_model import TAUGHT, small_model
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny

CELLS = [Cell("toy_guess", 0)]


def test_a_model_that_was_taught_something_else_is_refused(tmp_path: Path):
    folder = make_tiny(tmp_path / "plan.model", hidden=16, layers=1, heads=2)
    options = SmallModel()
    taught = {"small": asdict(options), "cells": ["toy_guess/0"]}
    (folder / TAUGHT).write_text(json.dumps(taught))
    assert small_model(options, CELLS, folder) == folder
    with pytest.raises(ValueError, match=r"was taught .*'steps': 1500.* expected"):
        small_model(replace(options, steps=9), CELLS, folder)


def test_a_taught_model_is_taught_further(tmp_path: Path):
    start = make_tiny(tmp_path / "first.model", hidden=16, layers=1, heads=2)
    options = SmallModel(start=start.name, episodes=8, steps=2, tasks_per_step=1)
    folder = small_model(options, CELLS, tmp_path / "second.model")
    assert json.loads((folder / TAUGHT).read_text())["small"]["start"] == "first.model"

    before, tokenizer = load_model(start)
    after, same_tokenizer = load_model(folder)
    assert same_tokenizer.get_vocab() == tokenizer.get_vocab()
    pairs = list(zip(before.parameters(), after.parameters(), strict=True))
    assert all(a.shape == b.shape for a, b in pairs)
    # Two steps away from where it started, and not from other random weights.
    moved = torch.cat([(a - b).flatten() for a, b in pairs]).abs().max()
    assert 0 < moved < 3 * options.lr
