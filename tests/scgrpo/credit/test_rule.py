"""A credit rule from outside is enough: what it gives is what the gradient is scaled with."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace

import pytest
import torch

import scgrpo.models.forward as forward_module
from scgrpo.algorithms.presets import ENTROPY_80_20, GRPO, SC_GRPO
from scgrpo.credit.rule import Credit, reads_references, uniform
from tests.scgrpo.test_update import Setup, close, mixed
from tests.scgrpo.test_update import folder as folder
from tests.scgrpo.test_update import setup as setup


def test_the_gradient_is_scaled_with_the_rules_weight_and_advantage(setup: Setup):
    rows, group = mixed(setup)
    mask = setup.trainer(GRPO).forward(rows, group).batch.action_mask
    draw = torch.Generator().manual_seed(0)
    weight, sign = (torch.rand(mask.shape, generator=draw) for _ in range(2))
    seen = []

    def rule(forward, advantage, rng):
        seen.append(advantage)
        return Credit(weight, sign - 0.5, log={"credit/mine": 0.25})

    found, log = setup.gradient(replace(GRPO, credit=rule), rows, group)
    assert log["credit/mine"] == 0.25
    batch = setup.trainer(GRPO).forward(rows, group).batch
    assert torch.equal(seen[0], GRPO.advantage(batch.rewards, batch.group))
    close(found, setup.naive(rows, GRPO.weight(mask) * weight, sign - 0.5))


def test_a_rule_reads_entropy_and_divergence_without_a_prompt_of_its_own(setup: Setup):
    """Both of some rows alone, and in either order; each unconditioned pass is made once."""
    rows, group = mixed(setup)
    forward = setup.trainer(GRPO).forward(rows, group)
    everything = forward.entropy(range(len(rows)))
    assert (everything[forward.batch.action_mask] > 0).all()
    other = setup.trainer(GRPO).forward(rows, group)
    prompts = {row: forward.episodes[row].segments[0].token_ids for row in range(4)}
    assert other.divergence([0, 1, 2], prompts).abs().max() < 1e-6
    some = other.entropy([1, 2, 9])
    torch.testing.assert_close(some[[1, 2, 9]], everything[[1, 2, 9]])
    assert not some[[i for i in range(len(rows)) if i not in (1, 2, 9)]].any()


@pytest.mark.parametrize("algorithm", [ENTROPY_80_20, SC_GRPO])
def test_each_kept_graph_is_freed_once_it_was_used(
    setup: Setup, monkeypatch, algorithm
):
    rows, group = mixed(setup)
    kept: list[weakref.ref[torch.Tensor]] = []
    before = forward_module.predicting_states

    def spy(model, prefix, branches, masks):
        states = before(model, prefix, branches, masks)
        if states.requires_grad:
            kept.append(weakref.ref(states))
        return states

    monkeypatch.setattr(forward_module, "predicting_states", spy)
    trainer = setup.trainer(algorithm, max_tokens_per_pack=130)
    forward = trainer.forward(rows, group)
    trainer.credit(forward)
    passes, alive = len(kept), []
    assert passes >= 3
    for pack in forward.take([]):
        pack.states.sum().backward()
        del pack
        gc.collect()
        alive.append(sum(state() is not None for state in kept))
    assert alive == list(reversed(range(passes)))


def test_a_pass_that_is_asked_for_twice_is_made_once(setup: Setup, monkeypatch):
    rows, group = mixed(setup)
    read: list[int] = []
    before = forward_module.predicting_states

    def spy(model, prefix, branches, masks):
        read.append(len(branches))
        return before(model, prefix, branches, masks)

    monkeypatch.setattr(forward_module, "predicting_states", spy)
    forward = setup.trainer(GRPO).forward(rows, group)
    forward.entropy([0, 1])
    forward.entropy([0, 1, 2])
    assert sum(read) == 3
    assert [len(pack.rows) for pack in forward.take([0, 1, 2, 3])] == [1, 2, 1]
    assert sum(read) == 4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            lambda f, a: Credit(a, a),
            r"weight has shape \(16,\), expected \(16, \d+\): start from",
        ),
        (
            lambda f, a: Credit(f.batch.action_mask.float(), a[:3]),
            r"advantage has shape \(3,\)",
        ),
        (
            lambda f, a: Credit(f.batch.action_mask.float().requires_grad_(), a),
            r"weight has a gradient, expected a constant: detach\(\) it",
        ),
        (lambda f, a: Credit(f.batch.action_mask / 0.0, a), "weight is not finite"),
        (
            lambda f, a: Credit(f.batch.action_mask.float(), a * math.nan),
            "advantage is not finite",
        ),
    ],
)
def test_credit_that_cannot_be_used_is_refused_with_what_to_do(
    setup: Setup, wrong, said
):
    rows, group = mixed(setup)
    algorithm = replace(
        GRPO, credit=lambda forward, advantage, rng: wrong(forward, advantage)
    )
    with pytest.raises(ValueError, match=f"the credit rule's {said}"):
        setup.trainer(algorithm).update(rows, group, lr=1.0)


def test_a_rule_says_whether_it_reads_references():
    assert reads_references(SC_GRPO.credit)
    assert not reads_references(uniform)
    assert not reads_references(ENTROPY_80_20.credit)
