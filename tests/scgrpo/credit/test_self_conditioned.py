import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scgrpo.algorithms.presets import GRPO, SC_GRPO
from scgrpo.credit.diversity import advantages
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.references import Case, References, assign_references
from scgrpo.credit.self_conditioned import SelfConditioned, summary, weights
from scgrpo.losses import surrogate

DEFAULT = CreditOptions()
seeds = st.integers(0, 10**6)


def routes_of(reference, case=None, wrong=None) -> References:
    """References as given; every row WEIGHTED unless said otherwise."""
    refs = torch.tensor(reference)
    return References(
        reference=refs,
        negative_reference=torch.full_like(refs, -1)
        if wrong is None
        else torch.tensor(wrong),
        case=torch.tensor([int(Case.WEIGHTED)] * len(refs) if case is None else case),
        overflow=torch.zeros_like(refs, dtype=torch.bool),
    )


def weigh(divergence, mask, references, options=DEFAULT, *, entropy=None, **given):
    return weights(
        torch.as_tensor(divergence, dtype=torch.float32),
        entropy,
        torch.as_tensor(mask).bool(),
        references,
        options,
        **given,
    )


def random_batch(seed, rows=12, tokens=6):
    """Verdicts, groups of 4, divergences and a mask in which each row acts at least once."""
    draw = torch.Generator().manual_seed(seed)
    verified = torch.rand(rows, generator=draw) < 0.5
    group = torch.arange(rows) // 4
    divergence = torch.rand(rows, tokens, generator=draw) ** 4 * 20
    mask = torch.rand(rows, tokens, generator=draw) < 0.6
    mask[:, 0] = True
    return verified, group, divergence, mask


# weights


def test_w_is_d_over_d_plus_the_75th_percentile():
    # The active values 0, 1, 2, 3, 8 have their 75th percentile at place 3: c = 3.
    w = weigh([[0, 1, 2], [3, 8, 99]], [[1, 1, 1], [1, 1, 0]], routes_of([1, 0]))
    torch.testing.assert_close(
        w, torch.tensor([[0, 1 / 4, 2 / 5], [1 / 2, 8 / 11, 1.0]])
    )


def test_the_percentile_interpolates():
    # 0, 1, 2, 4: place 2.25, c = 2 + 0.25 * 2 = 2.5. The option moves it: place 1.5, c = 1.5.
    values, mask, references = (
        [[0, 1, 2, 4], [0] * 4],
        [[1] * 4, [0] * 4],
        routes_of([1, 0]),
    )
    assert weigh(values, mask, references)[0, 1].item() == pytest.approx(1 / 3.5)
    half = CreditOptions(percentile=0.5)
    assert weigh(values, mask, references, half)[0, 1].item() == pytest.approx(1 / 2.5)


def test_c_has_a_floor():
    values, mask, references = (
        [[1e-4, 0, 0, 0], [0] * 4],
        [[1] * 4, [0] * 4],
        routes_of([1, 0]),
    )
    assert weigh(values, mask, references)[0].tolist() == pytest.approx([0.5, 0, 0, 0])
    low = CreditOptions(floor=3e-4)
    assert weigh(values, mask, references, low)[0].tolist() == pytest.approx(
        [0.25, 0, 0, 0]
    )


@given(seed=seeds)
def test_w_is_in_0_1_where_a_reference_speaks_and_1_elsewhere(seed):
    verified, group, divergence, mask = random_batch(seed)
    references = assign_references(
        verified, group, np.random.default_rng(seed), DEFAULT
    )
    w = weigh(divergence, mask, references)
    active = mask & references.weighted[:, None]
    assert ((w[active] >= 0) & (w[active] < 1)).all()
    assert (w[~active] == 1).all()


def test_masked_tokens_and_unweighted_rows_do_not_enter_the_percentile():
    mask, references = [[1, 1, 0], [1, 0, 0], [1, 1, 1]], routes_of([1, 0, -1])
    calm = weigh([[1, 2, 0], [3, 0, 0], [0, 0, 0]], mask, references)
    loud = weigh(
        [[1, 2, 1e6], [3, math.nan, 1e6], [1e6, math.inf, 5]], mask, references
    )
    assert torch.equal(calm, loud)


@given(seed=seeds)
def test_permuting_rows_leaves_w_unchanged(seed):
    verified, group, divergence, mask = random_batch(seed)
    references = assign_references(
        verified, group, np.random.default_rng(seed), DEFAULT
    )
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    moved = replace(references, reference=references.reference[order])
    w = weigh(divergence, mask, references)
    assert torch.equal(weigh(divergence[order], mask[order], moved), w[order])


def test_rounding_below_zero_counts_as_zero():
    w = weigh([[-1e-7, 1.0], [1.0, 1.0]], [[1, 1], [1, 1]], routes_of([1, 0]))
    assert w[0, 0].item() == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_divergence_that_is_not_finite_is_refused_with_its_row(bad):
    with pytest.raises(ValueError, match=r"not finite at action tokens of rows \[1\]"):
        weigh([[1, 1], [1, bad]], [[1, 1], [1, 1]], routes_of([1, 0]))


def test_an_overflowed_row_keeps_weight_1():
    references = routes_of([1, 0]).without(torch.tensor([True, False]))
    w = weigh([[1, 1], [2, 2]], [[1, 1], [1, 1]], references)
    assert w.tolist() == [[1, 1], [0.5, 0.5]]


def test_no_weighted_row_means_weight_1_everywhere():
    assert (weigh([[1, 2]], [[1, 1]], routes_of([-1])) == 1).all()


def test_the_scope_says_which_rows_share_a_percentile():
    # Rows of D = 1 and rows of D = 3. Together c = 3 (1, 1, 3, 3 at place 2.25), apart c = D.
    values, mask, references = [[1, 1], [3, 3]], [[1, 1], [1, 1]], routes_of([1, 0])
    micro = CreditOptions(scope="micro_batch")
    apart = weigh(values, mask, references, micro, micro_batch=torch.tensor([0, 1]))
    assert apart.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    together = weigh(values, mask, references, micro, micro_batch=torch.tensor([2, 2]))
    assert together.tolist() == [[0.25, 0.25], [0.5, 0.5]]
    step = weigh(values, mask, references, micro_batch=torch.tensor([0, 1]))
    assert torch.equal(step, together)
    with pytest.raises(ValueError, match="expected that of each row"):
        weigh(values, mask, references, micro)


@given(seed=seeds)
def test_renorm_gives_the_active_tokens_mean_1(seed):
    _, _, divergence, mask = random_batch(seed)
    references = routes_of([1, 0, *range(10)])
    plain = weigh(divergence, mask, references)
    w = weigh(divergence, mask, references, CreditOptions(normalize_weights=True))
    torch.testing.assert_close(w[mask].mean(), torch.tensor(1.0))
    torch.testing.assert_close(w[mask], plain[mask] / plain[mask].mean())


def test_renorm_of_no_divergence_at_all_is_weight_1():
    w = weigh(
        [[0, 0], [0, 0]],
        [[1, 1], [1, 1]],
        routes_of([1, 0]),
        CreditOptions(normalize_weights=True),
    )
    assert (w == 1).all()


# contrast and controls


def test_contrast_takes_the_wrong_reference_off_where_there_is_one():
    # D becomes max(0, 3 - 1) = 2 and max(0, 1 - 4) = 0; row 1 has no wrong reference.
    references = routes_of([1, 0], wrong=[1, -1])
    options = CreditOptions(contrastive=True, percentile=1.0)
    values, wrong = [[3, 1], [2, 1]], torch.tensor([[1.0, 4.0], [9.0, 9.0]])
    w = weigh(values, [[1, 1], [1, 1]], references, options, negative_divergence=wrong)
    torch.testing.assert_close(w, torch.tensor([[1 / 2, 0], [1 / 2, 1 / 3]]))


def test_contrast_without_its_divergence_is_refused():
    with pytest.raises(ValueError, match="contrastive: got no divergence"):
        weigh([[1.0]], [[1]], routes_of([-1]), CreditOptions(contrastive=True))


def test_entropy_takes_the_place_of_the_divergence_and_of_its_percentile():
    entropy = torch.tensor([[0.0, 1, 2], [3, 8, 99]])
    options = CreditOptions(control="entropy")
    mask, references = [[1, 1, 1], [1, 1, 0]], routes_of([1, 0])
    w = weigh(torch.full((2, 3), math.nan), mask, references, options, entropy=entropy)
    assert torch.equal(w, weigh(entropy, mask, references))
    with pytest.raises(ValueError, match="control=entropy: got no entropy"):
        weigh(entropy, mask, references, options)


def test_a_turn_can_have_a_percentile_of_its_own():
    # Two turns: D = 1, 3 and D = 8. c is 1 + 0.75 * 2 = 2.5 in the first and 8 in the second.
    options = CreditOptions(scope="turn")
    mask, turn = [[1, 1, 1], [0, 0, 0]], torch.tensor([[4, 4, 5], [0, 0, 0]])
    w = weigh([[1, 3, 8], [0] * 3], mask, routes_of([1, -1]), options, turn=turn)
    assert w[0].tolist() == pytest.approx([1 / 3.5, 3 / 5.5, 1 / 2])
    with pytest.raises(ValueError, match="scope=turn: got no turn"):
        weigh([[1, 3, 8], [0] * 3], mask, routes_of([1, -1]), options)


def test_the_percentile_can_leave_out_what_is_numerical_noise():
    # Above 0.01 are 1 and 3: c = 1 + 0.75 * 2 = 2.5. Over all six tokens it would be 0.758.
    options = CreditOptions(above_noise=True)
    values, mask = [[0.01, 0.002, 0.01, 0.01, 1, 3], [0] * 6], [[1] * 6, [0] * 6]
    w = weigh(values, mask, routes_of([1, -1]), options, noise=0.01)
    assert w[0].tolist() == pytest.approx(
        [0.01 / 2.51, 0.002 / 2.502, 0.01 / 2.51, 0.01 / 2.51, 1 / 3.5, 3 / 5.5]
    )
    # Without a token above it, c is the noise itself.
    none = weigh(values, mask, routes_of([1, -1]), options, noise=5.0)
    assert none[0].tolist() == pytest.approx([d / (d + 5) for d in values[0]])
    with pytest.raises(ValueError, match="above_noise: got no noise"):
        weigh(values, mask, routes_of([1, -1]), options)


def test_a_divergence_has_no_sign_to_take_away():
    with pytest.raises(ValueError, match="credit.control=unsigned has no effect on a"):
        SelfConditioned(CreditOptions(control="unsigned"))


# advantages


def credited(verified, group, divergence, mask, options=DEFAULT, seed=0):
    """Base advantage, credited advantage, w and references of a batch."""
    references = assign_references(
        verified, group, np.random.default_rng(seed), options
    )
    w = weigh(divergence, mask, references, options)
    base = GRPO.advantage(verified.float(), group)
    return base, advantages(base, group, references, w, mask, options), w, references


def test_the_diversity_advantage_by_hand():
    # Shared lengths 2, 1 and 2 actions: s = (0.1 + 0.3) / 2, 0.5, (0.7 + 0.9) / 2 = 0.2, 0.5, 0.8.
    # Mean 0.5, std sqrt(0.06): A_div is -/+ 0.3 / (sqrt(0.06) + 1e-6), times 0.1.
    mask = torch.tensor([[0, 1, 1, 1], [1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]]).bool()
    w = torch.tensor([[9, 0.1, 0.3, 9], [0.5, 9, 9, 9], [0.7, 9, 0.9, 9], [1, 1, 1, 1]])
    references = routes_of([3, 3, 3, -1], case=[int(Case.DIVERSITY)] * 4)
    edge = 0.1 * 0.3 / (math.sqrt(0.06) + 1e-6)
    got = advantages(torch.zeros(4), torch.zeros(4), references, w, mask, DEFAULT)
    torch.testing.assert_close(got, torch.tensor([-edge, 0, edge, 0]))
    double = advantages(
        torch.zeros(4),
        torch.zeros(4),
        references,
        w,
        mask,
        CreditOptions(alpha_div=0.2),
    )
    torch.testing.assert_close(double, 2 * got)


@given(seed=seeds)
def test_without_verified_episodes_the_advantages_sum_to_0_and_the_reference_gets_0(
    seed,
):
    _, group, divergence, mask = random_batch(seed)
    none = torch.zeros(12, dtype=torch.bool)
    _, advantage, w, references = credited(none, group, divergence, mask, seed=seed)
    for g in range(3):
        assert advantage[group == g].sum().item() == pytest.approx(0.0, abs=1e-6)
    assert (advantage[~references.weighted] == 0).all()
    rows = ~references.weighted
    weight = GRPO.weight(mask) * w
    loss = surrogate(
        torch.randn(12, 6)[rows],
        torch.zeros(12, 6)[rows],
        advantage[rows],
        weight[rows],
        0.2,
        0.2,
    )
    assert loss.item() == 0.0


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7])
def test_equal_scores_give_no_advantage(value):
    references = routes_of([7] * 7 + [-1], case=[int(Case.DIVERSITY)] * 8)
    mask, zeros = torch.ones(8, 3).bool(), torch.zeros(8)
    got = advantages(zeros, zeros, references, torch.full((8, 3), value), mask, DEFAULT)
    assert got.tolist() == pytest.approx([0.0] * 8, abs=1e-8)


def test_the_diversity_advantage_replaces_that_of_shaped_rewards():
    references = routes_of([2, 2, -1], case=[int(Case.DIVERSITY)] * 3)
    w = torch.tensor([[0.2], [0.4], [1.0]])
    base = torch.tensor([1.0, -0.5, -0.5])
    got = advantages(
        base, torch.zeros(3), references, w, torch.ones(3, 1).bool(), DEFAULT
    )
    torch.testing.assert_close(got, torch.tensor([-0.1, 0.1, 0]), rtol=1e-4, atol=0)
    assert base.tolist() == [1.0, -0.5, -0.5]


@given(seed=seeds)
def test_tokens_past_the_length_of_the_reference_do_not_change_its_scores(seed):
    draw = torch.Generator().manual_seed(seed)
    mask = torch.rand(4, 8, generator=draw) < 0.7
    mask[:, 0] = True
    references = routes_of([3, 3, 3, -1], case=[int(Case.DIVERSITY)] * 4)
    w = torch.rand(4, 8, generator=draw)
    past = mask.cumsum(1) > mask[3].sum()
    other = torch.where(past, torch.rand(4, 8, generator=draw), w)
    group = torch.zeros(4)
    one, two = (
        advantages(group, group, references, v, mask, DEFAULT) for v in (w, other)
    )
    assert torch.equal(one, two)


def test_a_row_that_overflowed_is_left_out_of_the_diversity_scores():
    mask = torch.ones(4, 2).bool()
    w = torch.tensor([[0.2, 0.2], [0.4, 0.4], [1, 1], [1, 1]])
    references = routes_of([3, 3, 3, -1], case=[int(Case.DIVERSITY)] * 4)
    references = references.without(torch.tensor([False, False, True, False]))
    got = advantages(torch.zeros(4), torch.zeros(4), references, w, mask, DEFAULT)
    torch.testing.assert_close(got, torch.tensor([-0.1, 0.1, 0, 0]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("silent", [0, 3])
def test_an_episode_that_never_acted_makes_no_nan(silent):
    mask = torch.ones(4, 2).bool()
    mask[silent] = False
    references = routes_of([3, 3, 3, -1], case=[int(Case.DIVERSITY)] * 4)
    got = advantages(
        torch.zeros(4), torch.zeros(4), references, torch.rand(4, 2), mask, DEFAULT
    )
    assert got.isfinite().all()
    assert got[silent] == 0


@pytest.mark.parametrize("size", [1, 2])
def test_a_group_with_fewer_than_two_scored_rows_gets_no_advantage(size):
    none = torch.zeros(size, dtype=torch.bool)
    mask = torch.ones(size, 2).bool()
    _, advantage, _, _ = credited(none, torch.zeros(size), torch.rand(size, 2), mask)
    assert advantage.tolist() == [0.0] * size


@given(seed=seeds)
def test_the_sign_of_the_advantage_never_flips(seed):
    verified, group, divergence, mask = random_batch(seed)
    verified[::4] = True
    base, advantage, w, _ = credited(verified, group, divergence, mask, seed=seed)
    assert torch.equal(base, advantage)
    for token in (advantage[:, None] * w).unbind(1):
        assert ((token == 0) | (token.sign() == base.sign())).all()


# the whole loss


def gradient(algorithm, verified, group, divergence, mask, seed=0, rows=slice(None)):
    """The gradient of the algorithm's loss over `rows`, at logprobs that are off policy."""
    draw = torch.Generator().manual_seed(seed)
    logprobs = torch.randn(*mask.shape, generator=draw).requires_grad_()
    old = logprobs.detach() + 0.3 * torch.randn(*mask.shape, generator=draw)
    advantage, weight = GRPO.advantage(verified.float(), group), algorithm.weight(mask)
    if isinstance(algorithm.credit, SelfConditioned):
        options = algorithm.credit.options
        _, advantage, w, _ = credited(verified, group, divergence, mask, options, seed)
        weight = weight * w
    pieces = (t[rows] for t in (logprobs, old, advantage, weight))
    surrogate(*pieces, algorithm.clip_low, algorithm.clip_high).backward()
    assert logprobs.grad is not None
    return logprobs.grad


@pytest.mark.parametrize("verified", [[1, 0, 0, 0], [1, 1, 1, 1]])
def test_with_one_or_all_verified_it_is_bit_identical_to_grpo(verified):
    _, group, divergence, mask = random_batch(0, rows=4)
    inputs = (torch.tensor(verified).bool(), group, divergence, mask)
    grpo, sc_grpo = gradient(GRPO, *inputs), gradient(SC_GRPO, *inputs)
    assert torch.equal(grpo, sc_grpo)
    assert grpo.any() == (sum(verified) == 1)


def test_a_weighted_group_is_not_grpo():
    _, group, divergence, mask = random_batch(0, rows=4)
    inputs = (torch.tensor([1, 1, 0, 0]).bool(), group, divergence, mask)
    assert not torch.equal(gradient(GRPO, *inputs), gradient(SC_GRPO, *inputs))


@given(seed=seeds, cut=st.integers(1, 11))
def test_micro_batches_give_the_gradient_of_the_whole_batch(seed, cut):
    verified, group, divergence, mask = random_batch(seed)
    verified[8:] = False
    inputs = (verified, group, divergence, mask, seed)
    whole = gradient(SC_GRPO, *inputs)
    parts = [gradient(SC_GRPO, *inputs, rows=r) for r in (slice(cut), slice(cut, None))]
    assert torch.equal(parts[0] + parts[1], whole)


def test_the_gradient_is_that_of_the_same_loss_with_w_a_constant():
    theta = torch.randn(2, 3, requires_grad=True)
    mask, references = torch.ones(2, 3), routes_of([1, 0])
    advantage = torch.tensor([1.0, -1.0])

    def loss(w):
        return surrogate(theta, theta.detach(), advantage, w, 0.2, 0.2)

    w = weigh(theta.square(), mask, references)
    assert not w.requires_grad
    (got,) = torch.autograd.grad(loss(w), theta)
    (wanted,) = torch.autograd.grad(loss(torch.tensor(w.tolist())), theta)
    assert torch.equal(got, wanted)
    torch.testing.assert_close(got, -advantage[:, None] * w)


# the log


def test_the_summary_by_hand():
    # Groups: 0 weighted, 1 without verified (r is row 4), 2 with all, and row 1 overflowed.
    case = [Case.WEIGHTED] * 2 + [Case.DIVERSITY] * 3 + [Case.UNWEIGHTED_ALL]
    references = routes_of([1, 0, 4, 4, -1, -1], case=[int(c) for c in case])
    references = references.without(torch.tensor([False, True] + [False] * 4))
    mask = torch.tensor([[1, 1], [1, 0], [1, 0], [1, 0], [1, 1], [1, 1]]).bool()
    divergence = torch.tensor([[0, 1], [9, 9], [2, 9], [3, 9], [9, 9], [9, 9.0]])
    w = torch.tensor([[0.1, 0.3], [1, 1], [0.2, 1], [0.4, 1], [1, 1], [1, 1]])
    log = summary(
        divergence, w, mask, torch.tensor([0, 0, 1, 1, 1, 2]), references, DEFAULT
    )
    assert log == pytest.approx(
        {
            "credit/mean_d": 1.5,
            "credit/c": 2.25,
            "credit/mean_w/weighted": (0.1 + 0.3 + 1) / 3,
            "credit/mean_w/diversity": 0.3,
            "credit/mean_w/plain_all": 1.0,
            "credit/weighted_groups": 1 / 3,
            "credit/overflow": 1.0,
            # Of the four rows that were to have a reference.
            "credit/overflow_share": 1 / 4,
        }
    )


def test_the_summary_leaves_out_what_no_token_speaks_of():
    log = summary(
        torch.ones(1, 2),
        torch.ones(1, 2),
        torch.ones(1, 2).bool(),
        torch.tensor([0]),
        routes_of([-1], case=[int(Case.UNWEIGHTED_SINGLE)]),
        DEFAULT,
    )
    assert log == {
        "credit/mean_w/plain_single": 1.0,
        "credit/weighted_groups": 0.0,
        "credit/overflow": 0.0,
    }
