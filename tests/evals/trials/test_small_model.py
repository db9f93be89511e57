"""A trial's small model lies next to its plan, and is the one that the plan declares."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from evals.trials.plan import Cell, SmallModel
from evals.trials.small_model import TAUGHT, small_model
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
