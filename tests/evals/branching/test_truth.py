"""What a token was worth, on a policy whose success is known from every history."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from envs.rollout import Limits
from envs.types import Episode
from evals.branching.continuations import BranchPolicy, turns_before
from evals.branching.truth import Branches, branch
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts

LIMITS = Limits(turn_tokens=12, episode_tokens=512)


@pytest.fixture(scope="module")
def rollouts() -> Iterator[Rollouts]:
    with Rollouts("toy_guess", LIMITS, threads=8) as rollouts:
        yield rollouts


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HFPolicy]:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    model, tokenizer = load_model(make_tiny(folder, hidden=16, layers=1, heads=2))
    with HFPolicy(model, tokenizer, cache_tokens=512) as policy:
        yield policy


@pytest.fixture(scope="module")
def episodes(rollouts: Rollouts, policy: HFPolicy) -> list[Episode]:
    tasks = rollouts.env.tasks("train", 0)[:3]
    return rollouts(policy, tasks, group=1, seed=0)


def test_turns_are_cut_where_the_given_tokens_end(episodes: list[Episode]):
    episode = episodes[0]
    first, second = (turn.token_ids for turn in episode.turns[:2])
    assert turns_before(episode, 0) == []
    assert turns_before(episode, 2) == [first[:2]]
    assert turns_before(episode, len(first)) == [first]
    assert turns_before(episode, len(first) + 1) == [first, second[:1]]


def test_a_continuation_begins_as_its_episode_and_is_sampled_from_there(
    rollouts: Rollouts, policy: HFPolicy, episodes: list[Episode]
):
    episode = episodes[0]
    given = len(episode.turns[0].token_ids) + 3
    beginnings = {episode.seed: (episode, given)}
    played = rollouts(
        BranchPolicy(policy, beginnings),
        [episode.task],
        group=4,
        seed=[episode.seed] * 4,
    )
    ids = [[i for turn in e.turns for i in turn.token_ids] for e in [episode, *played]]
    assert all(of_episode[:given] == ids[0][:given] for of_episode in ids)
    # Each is sampled anew.
    assert len({tuple(of_episode) for of_episode in ids}) == len(ids)
    # A given token was not sampled, and says so.
    assert all(
        e.turns[0].logprobs == (0.0,) * len(e.turns[0].token_ids) for e in played
    )


def test_all_tokens_given_is_the_episode_itself(
    rollouts: Rollouts, policy: HFPolicy, episodes: list[Episode]
):
    episode = episodes[0]
    count = sum(len(turn.token_ids) for turn in episode.turns)
    (again,) = rollouts(
        BranchPolicy(policy, {episode.seed: (episode, count)}),
        [episode.task],
        group=1,
        seed=[episode.seed],
    )
    assert again.token_ids == episode.token_ids
    assert (again.stop, again.verdict) == (episode.stop, episode.verdict)


def test_an_environment_that_answers_otherwise_is_an_error(
    rollouts: Rollouts, policy: HFPolicy, episodes: list[Episode]
):
    episode = episodes[0]
    segments = [
        replace(s, text="no") if s.source == "env" else s for s in episode.segments
    ]
    other = replace(episode, segments=tuple(segments))
    (played,) = rollouts(
        BranchPolicy(policy, {episode.seed: (other, len(episode.token_ids))}),
        [episode.task],
        group=1,
        seed=[episode.seed],
    )
    assert "must answer by its seed alone to be branched" in played.error


def test_gains_add_up_to_the_outcome_less_the_prompts_value():
    branches = Branches([1, 4], np.array([[0.5, 0.25], [0.75, 0.5]]), 1.0)
    gains = branches.gains()
    assert gains.tolist() == [[0.25, 0.25], [0.25, 0.5]]
    assert gains.sum(0).tolist() == [0.5, 0.75]


def test_only_tokens_that_could_have_been_others_are_branched(
    rollouts: Rollouts, policy: HFPolicy, episodes: list[Episode]
):
    logprobs = [value for turn in episodes[0].turns for value in turn.logprobs]
    limit = float(np.median(logprobs))
    branches, *_ = branch(
        rollouts,
        policy,
        episodes[:1],
        continuations=4,
        certain=math.exp(limit),
        seed=0,
    )
    assert branches.tokens == [i for i, value in enumerate(logprobs) if value < limit]
    assert 0 < len(branches.tokens) < len(logprobs)
    assert branches.values.shape == (len(branches.tokens), 2)
    assert branches.outcome == float(bool(episodes[0].verified))


def test_what_cannot_be_branched_is_refused(
    rollouts: Rollouts, policy: HFPolicy, episodes: list[Episode]
):
    with pytest.raises(
        ValueError, match="got 3 continuations, expected a positive even"
    ):
        branch(rollouts, policy, episodes, continuations=3, certain=0.9, seed=0)
    with pytest.raises(ValueError, match="two of the episodes have one seed"):
        branch(rollouts, policy, episodes[:1] * 2, continuations=2, certain=0.9, seed=0)
