"""Several optimizer steps a batch, and the KL term: against a loop over plain forward passes."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.types import Episode
from scgrpo.algorithms.presets import (
    DISTILL_FORWARD,
    GRPO,
    GSPO,
    OPSD,
    SC_GRPO,
    Algorithm,
)
from scgrpo.config import LoraConfig, TrainConfig
from scgrpo.models.load import load_model
from scgrpo.training.open_model import with_adapters
from scgrpo.update import PolicyUpdate
from tests.scgrpo.test_update import Setup, close, folder, mixed, setup

__all__ = ["folder", "setup"]

LR = 0.01
# Narrow, since larger steps of this model make rounding errors grow.
NARROW = replace(GRPO, clip_low=0.02, clip_high=0.03)
PARTS = [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]]
"""Rows of `mixed` in two mini-batches: each with a group of both outcomes."""


class Descent:
    """Plain gradient descent, whose steps show what a gradient was."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model

    def share_gradients(self) -> None:
        pass

    @torch.no_grad()
    def step(self, *, lr: float, max_norm: float) -> float:
        for weight in self.model.parameters():
            if weight.grad is not None:
                weight -= lr * weight.grad
        self.model.zero_grad(set_to_none=True)
        return 1.0


def learn(
    setup: Setup, algorithm: Algorithm, **options: Any
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weights after a step on `mixed`, and its log."""
    trainer = setup.trainer(algorithm, **options)
    trainer.optimizer = Descent(setup.model)  # pyright: ignore[reportAttributeAccessIssue]
    log = trainer.update(*mixed(setup), lr=LR).log
    return flat(setup.model), log


def flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def moved_alike(one: torch.Tensor, two: torch.Tensor) -> None:
    """Within what rounding makes of several steps, the difference of rounded weights included."""
    scale = two.abs().max()
    assert scale > 0
    torch.testing.assert_close(one / scale, two / scale, rtol=0, atol=5e-4)


def logprobs_of(model: Any, episode: Episode) -> torch.Tensor:
    """(|o|,) of the episode's action tokens, in one plain forward pass."""
    ids = torch.tensor([episode.token_ids])
    logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    taken = logprobs.gather(1, ids[0, 1:, None])[:, 0]
    return taken[torch.tensor(episode.action_mask[1:])]


def naive(
    setup: Setup,
    advantage: Sequence[float],
    parts: Sequence[list[int]],
    *,
    clip: tuple[float, float] = (0.02, 0.03),
    by_sequence: bool = False,
    cap: float = math.inf,
    kl: float = 0.0,
    reference: Any = None,
) -> torch.Tensor:
    """The weights after one step of descent for each part, in that order."""
    episodes, _ = mixed(setup)
    own, _ = load_model(setup.folder)
    with torch.no_grad():
        old = [logprobs_of(own, episode) for episode in episodes]
        anchor = [logprobs_of(reference or own, episode) for episode in episodes]
    low, high = clip
    for part in parts:
        loss = torch.zeros(())
        for row in part:
            new = logprobs_of(own, episodes[row])
            sampled = torch.tensor(
                [p for s in episodes[row].segments if s.logprobs for p in s.logprobs]
            )
            correction = torch.ones(len(new))
            if math.isfinite(cap):
                correction = (old[row] - sampled).exp().clamp(max=cap)
            ratio = (new - old[row]).exp()
            moved = ratio.log().mean().exp() if by_sequence else ratio
            a = advantage[row]
            gain = torch.minimum(moved * a, moved.clamp(1 - low, 1 + high) * a)
            r = anchor[row] - new
            terms = -gain + kl * ratio * (r.exp() - r - 1)
            loss = loss + (correction * terms).mean() / len(part)
        own.zero_grad(set_to_none=True)
        loss.backward()
        Descent(own).step(lr=LR, max_norm=1.0)
    return flat(own)


def z_scores() -> list[float]:
    """GRPO's advantages of `mixed`: groups of 2, 0, 1 and 4 successes among 4."""
    one = [-(3**-0.5), 3**0.5, -(3**-0.5), -(3**-0.5)]
    return [1.0, -1.0, 1.0, -1.0, *[0.0] * 4, *one, *[0.0] * 4]


@pytest.mark.parametrize("max_tokens_per_pack", [60, 100_000])
def test_later_updates_are_clipped_and_leave_what_has_moved_far(
    setup: Setup, max_tokens_per_pack: int
):
    expected = naive(setup, z_scores(), [list(range(16))] * 3)
    start = flat(setup.model)
    weights, log = learn(
        setup, NARROW, updates_per_batch=3, max_tokens_per_pack=max_tokens_per_pack
    )
    moved_alike(weights - start, expected - start)
    assert log["train/updates"] == 3
    # Without the clip the weights would be others.
    assert 0.05 < log["train/clipped"] < 0.95
    unclipped = replace(GRPO, clip_low=0.999, clip_high=1e9)
    other, _ = learn(Setup(setup.folder), unclipped, updates_per_batch=3)
    assert (other - weights).norm() > 0.1 * (weights - start).norm()


def test_a_mini_batch_is_of_whole_groups_with_a_step_of_its_own(setup: Setup):
    expected = naive(setup, z_scores(), PARTS * 2)
    start = flat(setup.model)
    weights, log = learn(setup, NARROW, updates_per_batch=2, mini_batches=2)
    moved_alike(weights - start, expected - start)
    assert log["train/updates"] == 4


def test_a_ratio_of_sequences_is_clipped_over_several_updates(setup: Setup):
    expected = naive(setup, z_scores(), PARTS * 2, clip=(3e-4, 4e-4), by_sequence=True)
    start = flat(setup.model)
    weights, log = learn(setup, GSPO, updates_per_batch=2, mini_batches=2)
    moved_alike(weights - start, expected - start)
    assert log["train/clipped"] > 0


def test_what_other_weights_sampled_is_corrected_by_the_policy_before_the_step(
    setup: Setup,
):
    expected = naive(setup, z_scores(), [list(range(16))] * 2, cap=0.015, kl=0.2)
    start = flat(setup.model)
    reference, _ = load_model(setup.folder)
    weights, log = learn(
        setup,
        NARROW,
        updates_per_batch=2,
        importance_cap=0.015,
        kl_coefficient=0.2,
        reference=reference,
    )
    moved_alike(weights - start, expected - start)
    assert 0 < log["train/importance_capped"] < 1


def moved_copy(path: Path) -> Any:
    """The model of the folder with other weights."""
    reference, _ = load_model(path)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in reference.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=draw)
    return reference.requires_grad_(False)


def test_the_kl_pulls_every_episode_to_the_frozen_model(setup: Setup):
    rows = [list(range(16))] * 2
    plain = moved_copy(setup.folder)
    expected = naive(setup, z_scores(), rows, kl=0.5, reference=plain)
    start = flat(setup.model)
    reference = moved_copy(setup.folder)
    options = {"updates_per_batch": 2, "kl_coefficient": 0.5, "reference": reference}
    before = flat(reference)
    weights, log = learn(setup, NARROW, **options)
    moved_alike(weights - start, expected - start)
    assert log["train/reference_kl"] > 0.01
    assert torch.equal(flat(reference), before)


def test_a_policy_at_its_reference_has_no_kl_and_no_gradient_of_it(setup: Setup):
    reference, _ = load_model(setup.folder)
    plain, _ = setup.gradient(GRPO, *mixed(setup))
    held, log = setup.gradient(
        GRPO, *mixed(setup), kl_coefficient=0.5, reference=reference
    )
    close(held, plain)
    assert log["train/reference_kl"] == pytest.approx(0.0, abs=1e-6)


def test_the_reference_of_adapters_is_the_model_without_them(setup: Setup):
    torch.manual_seed(0)
    setup.model = with_adapters(setup.model, LoraConfig(rank=4))
    _, log = setup.gradient(GRPO, *mixed(setup), kl_coefficient=0.5)
    assert log["train/reference_kl"] == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        for name, weight in setup.model.named_parameters():
            if "lora_B" in name:
                weight += 0.2 * torch.randn(weight.shape)
    adapted, log = setup.gradient(GRPO, *mixed(setup), kl_coefficient=0.5)
    base, _ = load_model(setup.folder)
    same, logged = setup.gradient(
        GRPO, *mixed(setup), kl_coefficient=0.5, reference=base
    )
    close(adapted, same)
    assert log["train/reference_kl"] == pytest.approx(logged["train/reference_kl"])
    assert log["train/reference_kl"] > 1e-3


def test_a_kl_without_a_reference_is_refused(setup: Setup):
    with pytest.raises(ValueError, match=r"got no PolicyUpdate\.reference"):
        setup.gradient(GRPO, *mixed(setup), kl_coefficient=0.5)


@pytest.mark.parametrize("algorithm", [SC_GRPO, DISTILL_FORWARD, OPSD])
def test_the_gradients_of_the_parts_add_up_to_that_of_the_batch(
    setup: Setup, algorithm: Algorithm
):
    """Weights that stay as they are, and parts of one size: each divides by half of the rows."""
    whole, log = setup.gradient(algorithm, *mixed(setup))
    trainer = setup.trainer(algorithm, mini_batches=2)
    parted = trainer.update(*mixed(setup), lr=1.0).log
    first, second = trainer.optimizer.gradients  # pyright: ignore[reportAttributeAccessIssue]
    assert (first - second).abs().max() > 0.1 * whole.abs().max()
    close((first + second) / 2, whole)
    assert parted["train/tokens"] == log["train/tokens"]
    if algorithm.distill:
        assert parted["distill/tokens"] == log["distill/tokens"]


def test_passes_that_were_kept_are_not_used_for_changed_weights(setup: Setup):
    """SC-GRPO's credit keeps the graph and the scores of its passes for the first update."""
    start = flat(setup.model)
    kept, log = learn(setup, SC_GRPO, updates_per_batch=2)
    again, same = learn(
        Setup(setup.folder), SC_GRPO, updates_per_batch=2, cached_forward_tokens=0
    )
    moved_alike(kept - start, again - start)
    assert log == pytest.approx(same, rel=1e-3, abs=1e-5)
    assert log["train/clipped"] > 0


def test_a_part_without_a_gradient_takes_no_step(setup: Setup):
    trainer = setup.trainer(GRPO, mini_batches=4)
    log = trainer.update(*mixed(setup), lr=1.0).log
    # Two of the four groups have both outcomes.
    assert log["train/updates"] == 2
    assert len(trainer.optimizer.gradients) == 2  # pyright: ignore[reportAttributeAccessIssue]
    failed = setup.group("Guess 1-3.", [False] * 4)
    assert "train/updates" not in trainer.update(failed, [0] * 4, lr=1.0).log


def test_the_recorded_entropy_is_from_before_the_first_update(setup: Setup):
    once = setup.trainer(GRPO).update(*mixed(setup), lr=1.0)
    trainer = setup.trainer(GRPO, updates_per_batch=2)
    trainer.optimizer = Descent(setup.model)  # pyright: ignore[reportAttributeAccessIssue]
    twice = trainer.update(*mixed(setup), lr=LR)
    for row, other in zip(once.credit_rows, twice.credit_rows, strict=True):
        assert row.entropy == pytest.approx(other.entropy, abs=1e-4)


def test_one_update_of_one_part_takes_no_more_passes_than_before(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    """What is off by default costs nothing."""
    passes = 0
    read = PolicyUpdate.forward

    def counted(self: PolicyUpdate, *args: Any) -> Any:
        nonlocal passes
        forward = read(self, *args)
        states = forward.states

        def count(*inputs: Any) -> torch.Tensor:
            nonlocal passes
            passes += 1
            return states(*inputs)

        monkeypatch.setattr(forward, "states", count)
        return forward

    monkeypatch.setattr(PolicyUpdate, "forward", counted)
    setup.gradient(GRPO, *mixed(setup))
    # One for each of the two groups that have a gradient.
    assert passes == 2


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"updates_per_batch": 0}, "updates_per_batch must be at least 1"),
        ({"mini_batches": 0}, "mini_batches must be at least 1"),
        ({"mini_batches": 5}, r"at most tasks_per_step \(4\)"),
        ({"kl_coefficient": -0.1}, "kl_coefficient must be at least 0, got -0.1"),
        ({"kl_coefficient": math.nan}, "kl_coefficient must be at least 0, got nan"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any], reason: str):
    with pytest.raises(ValueError, match=reason):
        TrainConfig(**settings)
