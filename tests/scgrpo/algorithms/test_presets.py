import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scgrpo.algorithms.advantages import (
    batch_z_score,
    group_z_score,
    in_uniform_group,
    leave_one_out,
    mean_difference,
    overlong_penalty,
)
from scgrpo.algorithms.presets import (
    ALGORITHMS,
    GRPO,
    SC_GRPO,
    per_budget,
    per_episode,
    per_token,
)
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.rule import uniform
from scgrpo.credit.self_conditioned import SelfConditioned
from scgrpo.credit.top_entropy import TopEntropy, top_entropy
from scgrpo.losses import is_clipped, kl_estimate, surrogate

MASK = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 0, 0]]).bool()


def test_zscored_is_centered_over_the_population_std():
    # Group 0: mean 1/4, variance 3/16, std sqrt(3)/4. Group 1: mean 1/2, std 1/2.
    rewards = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    group = torch.tensor([0, 0, 1, 1, 0, 0])
    third = 1 / math.sqrt(3)
    wanted = torch.tensor([3 * third, -third, 1.0, -1.0, -third, -third])
    torch.testing.assert_close(group_z_score(rewards, group), wanted)


@given(value=st.floats(-10, 10, width=32), size=st.integers(1, 9))
def test_a_group_of_equal_rewards_gets_exactly_zero(value, size):
    assert group_z_score(
        torch.full((size,), value), torch.zeros(size, dtype=torch.int64)
    ).tolist() == ([0.0] * size)


def test_a_tiny_spread_is_not_blown_up():
    # mean 5e-9, std 5e-9, which is under the floor of 1e-6.
    advantage = group_z_score(torch.tensor([0.0, 1e-8]), torch.tensor([0, 0]))
    torch.testing.assert_close(advantage, torch.tensor([-5e-3, 5e-3]))


def test_uniform_looks_at_each_group_alone():
    rewards = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0])
    assert (
        in_uniform_group(rewards, torch.tensor([0, 1, 0, 1, 2])).tolist() == [True] * 5
    )
    assert in_uniform_group(rewards, torch.tensor([0, 0, 1, 1, 2])).tolist() == [
        False
    ] * 4 + [True]


def test_per_episode_is_one_over_episodes_and_own_length():
    sixth = 1 / 6
    wanted = torch.tensor([[0, sixth, sixth, 0, sixth], [0.5, 0, 0, 0, 0]])
    torch.testing.assert_close(per_episode(MASK), wanted)


def test_an_episode_without_actions_weighs_nothing_but_counts():
    mask = torch.tensor([[0, 0], [1, 1]]).bool()
    assert per_episode(mask).tolist() == [[0.0, 0.0], [0.25, 0.25]]


def clip_fraction(*inputs):
    """The weight of the tokens whose gradient the clip cuts off, of `surrogate`'s arguments."""
    return (inputs[3] * is_clipped(*inputs)).sum()


def at_ratios(ratios, advantage, weight, low=0.2, high=0.2):
    """Loss, gradient and clip fraction for one row of given probability ratios."""
    logprobs = torch.tensor([ratios]).log().requires_grad_()
    inputs = (logprobs, torch.zeros_like(logprobs), torch.tensor([advantage]))
    loss = surrogate(*inputs, torch.tensor([weight]), low, high)
    loss.backward()
    assert logprobs.grad is not None
    fraction = clip_fraction(*inputs, torch.tensor([weight]), low, high)
    return loss.item(), logprobs.grad[0].tolist(), fraction.item()


def test_a_good_token_is_clipped_above_only():
    # min(0.5, 0.8) * 2 = 1; 1 * 2 = 2; min(1.5, 1.2) * 2 = 2.4. The gradient is ratio * A or 0.
    loss, gradient, fraction = at_ratios([0.5, 1.0, 1.5], 2.0, [0.5, 0.25, 0.25])
    assert loss == pytest.approx(-(0.5 * 1 + 0.25 * 2 + 0.25 * 2.4))
    assert gradient == pytest.approx([-0.5, -0.5, 0.0])
    assert fraction == pytest.approx(0.25)


def test_a_bad_token_is_clipped_below_only():
    # min(0.5 * -2, 0.8 * -2) = -1.6; -2; min(1.5 * -2, 1.2 * -2) = -3.
    loss, gradient, fraction = at_ratios([0.5, 1.0, 1.5], -2.0, [0.5, 0.25, 0.25])
    assert loss == pytest.approx(0.5 * 1.6 + 0.25 * 2 + 0.25 * 3)
    assert gradient == pytest.approx([0.0, 0.5, 0.75])
    assert fraction == pytest.approx(0.5)


def test_the_two_clips_are_apart():
    assert at_ratios([1.25], 1.0, [1.0], low=0.2, high=0.28)[0] == pytest.approx(-1.25)
    assert at_ratios([1.35], 1.0, [1.0], low=0.2, high=0.28)[0] == pytest.approx(-1.28)
    assert at_ratios([0.75], -1.0, [1.0], low=0.2, high=0.28)[0] == pytest.approx(0.8)


def test_the_kl_of_a_token_is_hand_computed_and_leads_to_the_reference():
    # r = log(pi_ref / pi) = log 2, 0 and log 0.5: its exponential less r less 1, times pi / pi_old,
    # which is 1, 1 and 2.
    logprobs = torch.tensor([0.25, 0.5, 0.5]).log().requires_grad_()
    old = torch.tensor([0.25, 0.5, 0.25]).log()
    kl = kl_estimate(logprobs, old, torch.tensor([0.5, 0.5, 0.25]).log())
    assert kl.tolist() == pytest.approx(
        [1 - math.log(2), 0.0, 2 * math.log(2) - 1], abs=1e-6
    )
    kl.sum().backward()
    assert logprobs.grad is not None
    # -r times pi / pi_old, the gradient of the KL itself.
    expected = [-math.log(2), 0.0, 2 * math.log(2)]
    assert logprobs.grad.tolist() == pytest.approx(expected, abs=1e-6)


def test_the_gradient_of_the_kl_is_that_of_the_kl_over_all_tokens():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(5, generator=draw, requires_grad=True)
    old, reference = torch.randn(2, 5, generator=draw).log_softmax(-1)
    log_p = logits.log_softmax(-1)
    exact = (log_p.exp() * (log_p - reference)).sum()
    (wanted,) = torch.autograd.grad(exact, logits, retain_graph=True)
    # The mean over what the old policy samples, each token as often as it is sampled.
    mean = (old.exp() * kl_estimate(log_p, old, reference)).sum()
    (gradient,) = torch.autograd.grad(mean, logits)
    torch.testing.assert_close(mean, exact)
    torch.testing.assert_close(gradient, wanted)


def test_an_advantage_per_token_is_taken_as_it_is():
    logprobs = torch.zeros(1, 2)
    spread = torch.tensor([[3.0, -1.0]])
    loss = surrogate(logprobs, logprobs, spread, torch.tensor([[0.5, 0.25]]), 0.2, 0.2)
    assert loss.item() == pytest.approx(-(1.5 - 0.25))


@pytest.mark.parametrize("rubbish", [math.nan, math.inf, -math.inf, 1e30])
def test_what_stands_at_tokens_of_weight_zero_does_no_harm(rubbish):
    logprobs = torch.tensor([[0.0, rubbish]], requires_grad=True)
    inputs = (
        logprobs,
        torch.zeros(1, 2),
        torch.tensor([1.0]),
        torch.tensor([[1.0, 0.0]]),
    )
    loss = surrogate(*inputs, 0.2, 0.2)
    loss.backward()
    assert loss.item() == -1.0
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[-1.0, 0.0]]
    assert clip_fraction(*inputs, 0.2, 0.2).item() == 0.0


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 6), max_size=4))
@settings(max_examples=50)
def test_micro_batches_give_loss_gradient_and_clip_fraction_of_the_whole(seed, cuts):
    draw = torch.Generator().manual_seed(seed)
    mask = torch.rand(7, 5, generator=draw) < 0.6
    inputs = torch.randn(7, 5, generator=draw)
    old, advantage = torch.randn(7, 5, generator=draw), torch.randn(7, generator=draw)
    weight = per_episode(mask)
    scale = torch.tensor(0.7, requires_grad=True)

    def losses(rows):
        pieces = (
            scale * inputs[rows],
            old[rows],
            advantage[rows],
            weight[rows],
            0.2,
            0.2,
        )
        return surrogate(*pieces), clip_fraction(*pieces)

    whole, whole_clipped = losses(slice(None))
    (wanted,) = torch.autograd.grad(whole, scale)
    edges = sorted({0, 7, *cuts})
    parts = [losses(slice(a, b)) for a, b in zip(edges, edges[1:], strict=False)]
    torch.testing.assert_close(sum(loss for loss, _ in parts), whole)
    torch.testing.assert_close(sum(clipped for _, clipped in parts), whole_clipped)
    torch.testing.assert_close(
        sum(torch.autograd.grad(loss, scale)[0] for loss, _ in parts), wanted
    )


def test_on_policy_the_gradient_is_the_policy_gradient():
    # pi = pi_old: d loss / d logprob = -weight * A, whatever the clip.
    logprobs = torch.randn(2, 5).requires_grad_()
    advantage = torch.tensor([2.0, -1.0])
    loss = surrogate(
        logprobs, logprobs.detach(), advantage, per_episode(MASK), 0.2, 0.2
    )
    loss.backward()
    torch.testing.assert_close(logprobs.grad, -per_episode(MASK) * advantage[:, None])


def test_presets_differ_in_their_line_alone():
    names = [
        "grpo",
        "sc_grpo",
        "dapo",
        "dr_grpo",
        "gspo",
        "rloo",
        "reinforce_pp",
        "entropy_80_20",
    ]
    names += [
        "process_grpo",
        "gigpo",
        "distill_forward",
        "distill_reverse",
        "distill_both",
    ]
    names += ["opsd", "opsd_jsd", "opd"]
    names += [
        "sc_grpo_weights",
        "sc_grpo_above_noise",
        "sc_grpo_per_turn",
        "grpo_mean_w",
        "sc_grpo_plus",
        "contrastive",
        "rlsd",
        "signed",
        "turn_belief",
        "disagreement",
        "graph",
    ]
    assert {name: value.name for name, value in ALGORITHMS.items()} == {
        n: n for n in names
    }
    assert GRPO.credit is uniform
    assert replace(SC_GRPO, name="grpo", source=GRPO.source, credit=uniform) == GRPO
    assert SC_GRPO.credit == SelfConditioned(CreditOptions())


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 0.2), (1.0, 0.2), (0.2, 0.0), (math.nan, 0.2)]
)
def test_a_clip_that_clips_nothing_or_everything_is_refused(low, high):
    with pytest.raises(
        ValueError, match=r"clip_low must be in \(0, 1\) and clip_high positive"
    ):
        replace(GRPO, clip_low=low, clip_high=high)


def test_the_advantages_of_the_field():
    # Group 0: 1, 0, 0 with mean 1/3; group 1: 1, 1. The batch: mean 3/5, std sqrt(6)/5.
    rewards, group = (
        torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]),
        torch.tensor([0, 0, 1, 0, 1]),
    )
    third = 1 / 3
    assert mean_difference(rewards, group).tolist() == pytest.approx(
        [2 * third, -third, 0, -third, 0]
    )
    # The others of the first are 0 and 0; those of the second 1 and 0.
    assert leave_one_out(rewards, group).tolist() == pytest.approx(
        [1.0, -0.5, 0, -0.5, 0]
    )
    up, down = 2 / math.sqrt(6), -3 / math.sqrt(6)
    assert batch_z_score(rewards, group).tolist() == pytest.approx(
        [up, down, up, down, up]
    )
    assert leave_one_out(torch.tensor([1.0]), torch.tensor([0])).tolist() == [0.0]


def test_the_normalisations_of_the_field():
    assert per_token(MASK).tolist() == [[0, 0.25, 0.25, 0, 0.25], [0.25, 0, 0, 0, 0]]
    eighth = 1 / 8
    assert per_budget(4)(MASK).tolist() == [
        [0, eighth, eighth, 0, eighth],
        [eighth, 0, 0, 0, 0],
    ]


def test_the_overlong_penalty_grows_over_the_last_share_of_the_budget():
    tokens = torch.tensor([10, 80, 90, 95, 100, 120])
    penalty = overlong_penalty(tokens, 100, 0.2)
    assert penalty.tolist() == pytest.approx([0.0, 0.0, -0.5, -0.75, -1.0, -1.0])
    assert overlong_penalty(tokens, 100, 0.0).tolist() == [0.0] * 6


def test_only_the_tokens_of_highest_entropy_among_the_actions_are_kept():
    entropy = torch.tensor([[9.0, 1.0, 2.0, 9.0, 3.0], [4.0, 9.0, 9.0, 9.0, 9.0]])
    kept = top_entropy(entropy, MASK, 0.5)
    assert kept.nonzero().tolist() == [[0, 4], [1, 0]]
    assert top_entropy(entropy, MASK, 0.01).nonzero().tolist() == [[1, 0]]
    assert torch.equal(top_entropy(entropy, MASK, 1.0), MASK)


def test_a_sequence_ratio_is_the_geometric_mean_of_the_tokens():
    # Episode 7: ratios 2 and 8, mean 4, clipped to 1.2; episode 9: ratio 0.9.
    logprobs = torch.tensor([2.0, 0.9, 8.0]).log()
    inputs = (
        logprobs,
        torch.zeros(3),
        torch.ones(3),
        torch.tensor([0.25, 0.5, 0.25]),
        0.2,
        0.2,
    )
    sequence = torch.tensor([7, 9, 7])
    assert surrogate(*inputs, sequence).item() == pytest.approx(
        -(0.5 * 1.2 + 0.5 * 0.9)
    )
    assert clip_fraction(*inputs, sequence).item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"refill": 1}, {"overlong": 1.0}],
)
def test_an_algorithm_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(ValueError, match=f"grpo: .*{next(iter(wrong))}"):
        replace(GRPO, **wrong)


@pytest.mark.parametrize("share", [0.0, -0.2, 1.1, math.nan])
def test_a_share_of_tokens_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=r"TopEntropy.share must be in \(0, 1\], got"):
        TopEntropy(share)
