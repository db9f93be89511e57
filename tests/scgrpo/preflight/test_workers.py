"""Rollout workers that cannot be had are refused before anything is opened."""

import importlib.util
from importlib.machinery import ModuleSpec

import pytest

from scgrpo.config import TrainConfig
from scgrpo.preflight import workers
from scgrpo.preflight.start import check_start
from scgrpo.preflight.workers import check_workers


def test_without_ray_they_are_refused(monkeypatch):
    monkeypatch.setattr(workers, "find_spec", lambda name: None)
    check_workers(0)
    with pytest.raises(ValueError, match=r'pip install "scgrpo\[ray\]"'):
        check_start(TrainConfig(env="toy_guess", rollout_workers=2))


def test_a_process_without_one_is_refused(monkeypatch):
    spec: ModuleSpec | None = importlib.util.find_spec("json")
    monkeypatch.setattr(workers, "find_spec", lambda name: spec)
    check_workers(2, processes=2)
    with pytest.raises(ValueError, match="rollout_workers=2 for 3 processes"):
        check_workers(2, processes=3)


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="rollout_workers must be at least 0, got -1"):
        TrainConfig(rollout_workers=-1)
