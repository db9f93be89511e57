"""Divergences from a teacher: by hand, by PyTorch, and where their minimum over teachers lies."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from scgrpo.algorithms.distillation import DIVERGENCES, Distillation, token_divergences

TEACHERS = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
SHARES = torch.tensor([0.25, 0.75])
IDS = torch.zeros(1, dtype=torch.long)


def optimum(kind) -> torch.Tensor:
    """The student that gradient descent on the shares' mean divergence ends at. (V,)"""
    logits = torch.zeros(3, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.05)
    for _ in range(1500):
        adam.zero_grad()
        log_s = logits.log_softmax(-1)[None]
        loss = sum(
            share * DIVERGENCES[kind](log_s, teacher.log()[None], IDS)[0]
            for share, teacher in zip(SHARES, TEACHERS, strict=True)
        )
        loss.backward()
        adam.step()
    return logits.detach().softmax(-1)


def test_forward_ends_at_the_arithmetic_mean_of_the_teachers():
    assert optimum("forward") == pytest.approx((SHARES @ TEACHERS).tolist(), abs=1e-3)


def test_reverse_ends_at_the_geometric_mean_of_the_teachers():
    product = (SHARES @ TEACHERS.log()).exp()
    assert optimum("reverse") == pytest.approx(
        (product / product.sum()).tolist(), abs=1e-3
    )


def test_forward_and_reverse_are_pytorchs_kl():
    torch.manual_seed(0)
    log_s, log_t = torch.randn(2, 4, 7).log_softmax(-1)
    ids = torch.zeros(4, dtype=torch.long)
    kl = F.kl_div(log_s, log_t, log_target=True, reduction="none").sum(-1)
    back = F.kl_div(log_t, log_s, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(DIVERGENCES["forward"](log_s, log_t, ids), kl)
    torch.testing.assert_close(DIVERGENCES["reverse"](log_s, log_t, ids), back)
    torch.testing.assert_close(DIVERGENCES["both"](log_s, log_t, ids), (kl + back) / 2)
    middle = (log_s.exp() + log_t.exp()).div(2).log()
    jsd = F.kl_div(middle, log_t, log_target=True, reduction="none").sum(-1)
    jsd = (jsd + F.kl_div(middle, log_s, log_target=True, reduction="none").sum(-1)) / 2
    torch.testing.assert_close(DIVERGENCES["jsd"](log_s, log_t, ids), jsd)


def test_sampled_has_the_gradient_of_reverse_on_average():
    torch.manual_seed(1)
    logits = torch.randn(5, requires_grad=True)
    log_t = torch.randn(1, 5).log_softmax(-1)
    log_s = logits.log_softmax(-1)[None]
    (wanted,) = torch.autograd.grad(
        DIVERGENCES["reverse"](log_s, log_t, IDS)[0], logits
    )
    found = torch.zeros(5)
    for token in range(5):
        log_s = logits.log_softmax(-1)[None]
        value = DIVERGENCES["sampled"](log_s, log_t, torch.tensor([token]))[0]
        found += torch.autograd.grad(value, logits)[0] * log_s.detach().exp()[0, token]
    torch.testing.assert_close(found, wanted)


def test_the_teacher_has_no_gradient_and_chunks_change_nothing():
    torch.manual_seed(2)
    head, other = nn.Linear(4, 9, bias=False), nn.Linear(4, 9, bias=False)
    states, theirs = torch.randn(600, 4, requires_grad=True), torch.randn(600, 4)
    ids = torch.randint(9, (600,))
    values, own = token_divergences("forward", (head, states), (other, theirs), ids)
    values.sum().backward()
    assert other.weight.grad is None
    assert states.grad is not None
    log_s, log_t = head(states).log_softmax(-1), other(theirs).log_softmax(-1)
    torch.testing.assert_close(values, DIVERGENCES["forward"](log_s, log_t, ids))
    torch.testing.assert_close(own, log_s.gather(1, ids[:, None])[:, 0])


def test_vocabularies_of_different_size_are_refused():
    states = torch.zeros(1, 4)
    with pytest.raises(ValueError, match="choose a teacher of the same family"):
        token_divergences(
            "forward", (nn.Linear(4, 9), states), (nn.Linear(4, 8), states), IDS
        )


@pytest.mark.parametrize(
    "wrong", [("nobody", "forward"), ("peer", "sideways"), ("peer", "jsd", 0)]
)
def test_what_is_no_distillation_is_refused(wrong):
    with pytest.raises(ValueError, match="Distillation"):
        Distillation(*wrong)
