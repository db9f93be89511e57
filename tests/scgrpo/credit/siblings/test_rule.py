"""What siblings say of an episode is read from a model, and scales its gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scgrpo.algorithms.presets import (
    CONTRASTIVE,
    DISAGREEMENT,
    GRPO,
    RLSD,
    SIGNED,
    TURN_BELIEF,
    Algorithm,
)
from scgrpo.credit.options import EVIDENCE_CONTROLS, WEIGHT_CONTROLS, CreditOptions
from scgrpo.credit.siblings.rule import SiblingRule
from tests.scgrpo.test_plain_passes import predictions
from tests.scgrpo.test_update import Setup, close, mixed
from tests.scgrpo.test_update import folder as folder
from tests.scgrpo.test_update import setup as setup

RULES = (CONTRASTIVE, RLSD, SIGNED, TURN_BELIEF, DISAGREEMENT)


def under(algorithm: Algorithm, control) -> Algorithm:
    rule = algorithm.credit
    assert isinstance(rule, SiblingRule)
    options = CreditOptions(control=control)
    return replace(algorithm, credit=replace(rule, options=options))


def test_log_probabilities_are_those_of_the_model_with_and_without_a_prompt(
    setup: Setup,
):
    rows, group = mixed(setup)
    forward = setup.trainer(GRPO).forward(rows, group)
    other = setup.chat.ids("Another beginning. ")
    prompts = {row: (*other, *rows[row].segments[0].token_ids) for row in (0, 1, 5)}
    plain, conditioned = forward.logprobs(range(3)), forward.logprobs([0, 5], prompts)
    assert not plain[3:].any()
    assert not conditioned[[1, 2, 3, 4, *range(6, 16)]].any()
    for row, values, prompt in (
        (2, plain, rows[2].segments[0].token_ids),
        (5, conditioned, prompts[5]),
    ):
        start = len(rows[row].segments[0].token_ids)
        ids = torch.tensor(rows[row].token_ids[start:])
        acts = torch.tensor(rows[row].action_mask[start:])
        expected = predictions(setup, prompt, rows[row])[range(len(ids)), ids][acts]
        torch.testing.assert_close(
            values[row][forward.batch.action_mask[row]], expected, rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("algorithm", RULES, ids=lambda a: a.name)
def test_the_gradient_is_grpos_scaled_with_the_weight(setup: Setup, algorithm):
    rows, group = mixed(setup)
    trainer = setup.trainer(algorithm)
    forward = trainer.forward(rows, group)
    credit = trainer.credit(forward)
    mask = forward.batch.action_mask
    base = GRPO.advantage(forward.batch.rewards, forward.batch.group)
    assert torch.equal(credit.advantage, base)
    assert (credit.weight[mask] >= 0).all()
    # Groups without a success or with nothing else have no siblings to ask and weight 1.
    assert (credit.weight[4:8][mask[4:8]] == 1).all()
    assert (credit.weight[12:][mask[12:]] == 1).all()
    assert credit.weight[:4][mask[:4]].unique().numel() > 1
    # The one success of a group has no verified sibling; those that failed have it.
    assert credit.references is not None
    assert credit.references.reference[8:12].tolist() == [9, -1, 9, 9]
    gradient, log = setup.gradient(algorithm, rows, group)
    close(gradient, setup.naive(rows, GRPO.weight(mask) * credit.weight, base))
    assert log["credit/mean_evidence"] > 0
    assert log["credit/overflow"] == 0.0


def test_a_row_without_a_failed_sibling_is_not_contrasted(setup: Setup):
    rows = setup.group("Guess 4-6.", [True, True, False])
    trainer = setup.trainer(CONTRASTIVE)
    forward = trainer.forward(rows, [0] * 3)
    credit = trainer.credit(forward)
    mask = forward.batch.action_mask
    assert (credit.weight[2][mask[2]] == 1).all()
    assert (credit.weight[:2][mask[:2]] != 1).any()
    assert credit.references is not None
    assert credit.references.reference.tolist() == [1, 0, -1]


@pytest.mark.parametrize("algorithm", RULES, ids=lambda a: a.name)
def test_without_references_the_same_rows_read_the_guide_alone(setup: Setup, algorithm):
    rows, group = mixed(setup)
    trainer = setup.trainer(under(algorithm, "no_ref"))
    forward = trainer.forward(rows, group)
    credit = trainer.credit(forward)
    assert credit.references is not None
    weighted = credit.references.weighted
    plain = setup.trainer(algorithm).credit(forward)
    assert plain.references is not None
    assert torch.equal(weighted, plain.references.weighted)
    assert not torch.equal(credit.weight, plain.weight)
    if algorithm is CONTRASTIVE:
        # The sentence stands before both kinds, which are alike.
        assert (credit.weight[forward.batch.action_mask] == 1).all()


@pytest.mark.parametrize("control", [*WEIGHT_CONTROLS, *EVIDENCE_CONTROLS, "wrong_ref"])
def test_every_control_fits_a_rule_of_siblings(setup: Setup, control: str):
    rows, group = mixed(setup)
    trainer = setup.trainer(under(SIGNED, control))
    forward = trainer.forward(rows, group)
    credit = trainer.credit(forward)
    credit.check(forward.batch.action_mask)
    plain = setup.trainer(SIGNED).credit(forward)
    assert not torch.equal(credit.weight, plain.weight)
