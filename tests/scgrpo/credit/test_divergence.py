"""D's quantiles, and the share of D above the noise of two equal passes."""

from __future__ import annotations

import pytest
import torch

from scgrpo.credit.divergence import divergence_log, noise_log, quantile


def test_quantiles_lie_between_their_neighbours():
    # Of 0, 1, 2, 4 the 50th percentile is at place 1.5 and the 90th at place 2.7.
    log = divergence_log(torch.tensor([4.0, 0.0, 2.0, 1.0]))
    assert list(log) == [f"credit/d_p{p}" for p in (25, 50, 75, 90, 99)]
    assert log["credit/d_p25"] == pytest.approx(0.75)
    assert log["credit/d_p50"] == pytest.approx(1.5)
    assert log["credit/d_p75"] == pytest.approx(2.5)
    assert log["credit/d_p90"] == pytest.approx(3.4)
    assert log["credit/d_p99"] == pytest.approx(3.94)
    assert float(quantile(torch.tensor([5.0]), 0.99)) == 5.0


def test_the_share_above_noise_counts_tokens_over_its_99th_percentile():
    # Noise of 0.0, 0.1, ... 1.0: place 9.9, so 0.99. Of 1, 0.98, 0.5, 3 two are over it.
    noise = torch.arange(11) / 10
    log = noise_log(torch.tensor([1.0, 0.98, 0.5, 3.0]), noise)
    assert log["credit/d_noise"] == pytest.approx(0.99)
    assert log["credit/d_above_noise"] == 0.5


def test_without_tokens_or_without_a_second_pass_nothing_is_said():
    none, some = torch.zeros(0), torch.ones(3)
    assert divergence_log(none) == {}
    assert noise_log(none, some) == {}
    assert noise_log(some, none) == {}


def test_two_passes_of_the_same_bits_say_nothing_of_the_share():
    assert noise_log(torch.ones(3), torch.zeros(5)) == {"credit/d_noise": 0.0}
