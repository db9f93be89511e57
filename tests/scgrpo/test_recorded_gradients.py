"""The gradient of every algorithm on fixed episodes is the one that was recorded.

A change that should not change what is learned does not. The numbers were recorded before credit
rules became objects; one that should change them says so, and records its own:
`python -m tests.scgrpo.test_recorded_gradients` prints the table.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.types import Episode
from scgrpo.algorithms.presets import ALGORITHMS
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.tiny import make_tiny
from tests.scgrpo.test_update import Setup, mixed

RECORDED: dict[str, tuple[float, float, float]] = {
    "grpo": (-1.024455e-08, 0.5993248, -0.04552764),
    "dapo": (0.04676429, 0.9408471, -0.1729876),
    "dr_grpo": (6.103516e-05, 0.001462608, -0.0002748331),
    "gspo": (-1.024455e-08, 0.5993247, -0.04552748),
    "rloo": (0.08333337, 1.996952, -0.3752404),
    "reinforce_pp": (0.01799837, 0.4425839, -0.0830767),
    "entropy_80_20": (0.04602411, 0.6895139, -0.06311564),
    "sc_grpo": (0.003689305, 0.3982685, -0.04547805),
    "sc_grpo_weights": (0.00434965, 0.390449, -0.0446373),
    "sc_grpo_above_noise": (0.00434965, 0.390449, -0.0446373),
    "sc_grpo_per_turn": (0.00402971, 0.4360054, -0.02832704),
    "grpo_mean_w": (-3.259629e-09, 0.3956503, -0.03005527),
    "sc_grpo_plus": (0.002280991, 0.5541982, -0.03464338),
    "contrastive": (0.009218981, 0.5853451, -0.01856707),
    "rlsd": (-9.798957e-05, 0.635718, -0.05723722),
    "signed": (-1.303852e-08, 1.702535, -0.3463228),
    "turn_belief": (0.002681124, 0.6591957, -0.06511917),
    "disagreement": (-0.1081498, 1.123768, 0.115611),
    "process_grpo": (-0.09407979, 1.084329, -0.03088896),
    "gigpo": (-0.04028947, 1.766205, -0.03416166),
    "graph": (-0.04778093, 1.929736, -0.09971254),
    "distill_forward": (0.0006078889, 0.6388726, -0.06674959),
    "distill_reverse": (0.0006015199, 0.6387152, -0.06679773),
    "distill_both": (0.0006047044, 0.6387934, -0.0667737),
    "opsd": (0.006539786, 0.410712, 0.06705516),
    "opsd_jsd": (0.001573817, 0.09857667, 0.01625856),
    "opd": (0.104932, 6.8693, -1.553916),
}
"""Algorithm -> loss, norm of the gradient, and its product with a fixed direction."""


def fixed_model(path: Path, *, hidden: int, layers: int) -> Path:
    """A tiny model whose weights are made of no random numbers, which differ between versions."""
    make_tiny(path, hidden=hidden, layers=layers, heads=2)
    model, _ = load_model(path)
    with torch.no_grad():
        for place, weight in enumerate(model.parameters()):
            scale = 1.0 if weight.dim() == 1 else 3.0 / hidden**0.5
            weight.copy_(scale * waves(weight.numel(), place).view(weight.shape))
    model.save_pretrained(path)
    return path


def waves(count: int, shift: float) -> torch.Tensor:
    """(count,) numbers in [-1, 1] that repeat nowhere."""
    places = torch.arange(count, dtype=torch.float64)
    return (places * 12.9898 + 78.233 * shift + 1.0).sin().float()


def outcomes(setup: Setup) -> tuple[list[Episode], list[int]]:
    """Groups of every outcome, whose turns have a state and a score."""
    rows, group = mixed(setup)
    states = [tuple(f"state {t}" for t in range(len(e.turns))) for e in rows]
    scores = [tuple((t + 1) / 4 for t in range(len(e.turns) - 1)) for e in rows]
    return [
        replace(e, states=s, progress=(*p, float(bool(e.verified))))
        for e, s, p in zip(rows, states, scores, strict=True)
    ], group


def measurement(folder: Path, name: str) -> tuple[float, float, float]:
    setup = Setup(fixed_model(folder / "model", hidden=32, layers=2))
    options: dict[str, Any] = {}
    if name == "opd":
        options["teacher"] = load_model(
            fixed_model(folder / "teacher", hidden=48, layers=1)
        )[0]
        choose_path(options["teacher"])
    gradient, log = setup.gradient(ALGORITHMS[name], *outcomes(setup), **options)
    direction = waves(len(gradient), 0.5)
    return log["train/loss"], float(gradient.norm()), float(gradient @ direction)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_the_gradient_is_the_recorded_one(tmp_path: Path, name: str):
    loss, norm, product = measurement(tmp_path, name)
    wanted_loss, wanted_norm, wanted_product = RECORDED[name]
    assert wanted_norm > 1e-3
    # Orders of summation differ between machines: by up to 5e-5, as far as was seen.
    assert norm == pytest.approx(wanted_norm, rel=1e-3)
    assert loss == pytest.approx(wanted_loss, rel=1e-3, abs=2e-5)
    assert product == pytest.approx(wanted_product, abs=1e-3 * wanted_norm)


if __name__ == "__main__":
    for algorithm in ALGORITHMS:
        with tempfile.TemporaryDirectory() as scratch:
            numbers = ", ".join(
                f"{value:.7g}" for value in measurement(Path(scratch), algorithm)
            )
        print(f'    "{algorithm}": ({numbers}),')
