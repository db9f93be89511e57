"""Credit and importance weights against transformers' own pass over each whole episode."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from envs.types import Episode
from scgrpo.algorithms.presets import GRPO, SC_GRPO
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.teachers.prompt_ids import reference_prompts
from tests.scgrpo.test_update import Setup, close

FACTORS = (0.5, 3.0)
CAP = 2.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=32, layers=2, heads=2
    )
    model, _ = load_model(path)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0)  # so that attention, hence a reference, makes a difference
    model.save_pretrained(path)
    return path


@pytest.fixture
def setup(folder: Path) -> Setup:
    return Setup(folder)


@torch.no_grad()
def predictions(setup: Setup, opening: Sequence[int], episode: Episode) -> torch.Tensor:
    """Log-probabilities of every token of an episode, read whole after `opening`. (T, V)"""
    rest = episode.token_ids[len(episode.segments[0].token_ids) :]
    ids = torch.tensor([[*opening, *rest]])
    logprobs = setup.own(input_ids=ids).logits[0].log_softmax(-1)
    return logprobs[len(opening) - 1 : -1]


def test_the_teacher_attends_to_everything_that_the_policy_attended_to(setup: Setup):
    """Also to the environment's replies, which no loss looks at."""
    rows = setup.group("Guess 4-6.", [True, True, False, False, False, True])
    assert sum(s.source == "env" for e in rows for s in e.segments) > 2
    trainer = setup.trainer(SC_GRPO)
    given = trainer.credit(trainer.forward(rows, [0] * 6))
    assert given.references is not None
    assert given.divergence is not None
    openings = reference_prompts(
        setup.chat,
        trainer.limits,
        rows,
        [0] * 6,
        given.references,
        given.references.reference,
    )
    assert len(openings) == 6
    for row, episode in enumerate(rows):
        own = episode.segments[0].token_ids
        teacher = predictions(setup, openings[row], episode)
        student = predictions(setup, own, episode)
        kl = (teacher.exp() * (teacher - student)).sum(-1)
        acts = torch.tensor(episode.action_mask)
        wanted = torch.zeros(len(acts))
        wanted[len(own) :] = kl
        wanted[~acts] = 0
        torch.testing.assert_close(
            given.divergence[row, : len(acts)], wanted, rtol=1e-4, atol=1e-5
        )
    assert given.divergence.max() > 1e-2


def off_policy(setup: Setup, episode: Episode) -> Episode:
    """As an engine would have sampled it: a token's odds are the model's over FACTORS, by turns."""
    opening = episode.segments[0].token_ids
    logprobs, place, segments = (
        predictions(setup, opening, episode),
        0,
        [episode.segments[0]],
    )
    for segment in episode.segments[1:]:
        end = place + len(segment.token_ids)
        if segment.source == "policy":
            mine = logprobs[range(place, end), segment.token_ids]
            odd = [math.log(FACTORS[t % 2]) for t in range(place, end)]
            segment = replace(
                segment, logprobs=tuple((mine - torch.tensor(odd)).tolist())
            )
        segments.append(segment)
        place = end
    return replace(episode, segments=tuple(segments))


def test_a_token_counts_by_its_probability_here_over_the_engines_up_to_the_cap(
    setup: Setup,
):
    rows = [
        off_policy(setup, e)
        for e in setup.group("Guess 4-6.", [True, False, False, True])
    ]
    batch = setup.trainer(GRPO).forward(rows, [0] * 4).batch
    advantage = GRPO.advantage(batch.rewards, batch.group)
    ratio = torch.zeros(batch.action_mask.shape)
    for row, episode in enumerate(rows):
        opening = len(episode.segments[0].token_ids)
        for t in range(opening, len(episode.token_ids)):
            ratio[row, t] = FACTORS[(t - opening) % 2]
    acts = batch.action_mask
    ratio = ratio * acts
    found, log = setup.gradient(GRPO, rows, [0] * 4, importance_cap=CAP)
    close(found, setup.naive(rows, GRPO.weight(acts) * ratio.clamp(max=CAP), advantage))
    assert log["train/importance_capped"] == pytest.approx(
        float((ratio > CAP).sum() / acts.sum())
    )
    assert 0.2 < log["train/importance_capped"] < 0.8
    drift = float(ratio[acts].log().abs().mean())
    assert log["train/logprob_mismatch"] == pytest.approx(drift, rel=1e-4)


def test_the_mismatch_is_logged_and_scales_nothing_where_the_same_weights_sampled(
    setup: Setup,
):
    rows = [
        off_policy(setup, e)
        for e in setup.group("Guess 4-6.", [True, False, False, True])
    ]
    batch = setup.trainer(GRPO).forward(rows, [0] * 4).batch
    advantage = GRPO.advantage(batch.rewards, batch.group)
    found, log = setup.gradient(GRPO, rows, [0] * 4)
    close(found, setup.naive(rows, GRPO.weight(batch.action_mask), advantage))
    assert log["train/logprob_mismatch"] > 0.5
    assert "train/importance_capped" not in log
