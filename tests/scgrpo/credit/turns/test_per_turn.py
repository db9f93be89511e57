"""Advantages of turns: process rewards and GiGPO, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from envs.rollout import play
from envs.toy.guess import ToyGuess
from envs.types import Episode
from scgrpo.credit.turns.gigpo import gigpo_advantages
from scgrpo.credit.turns.process_rewards import process_advantages
from scgrpo.policies.scripted import ScriptedPolicy

GROUP = torch.zeros(2, dtype=torch.long)


def episodes() -> list[Episode]:
    """Found in two turns, and not found in two, from the same state."""
    env = ToyGuess()
    task = next(t for t in env.tasks("train", 0) if t.payload["number"] == 3)
    return [
        play(env, ScriptedPolicy(turns), task) for turns in (["2", "3"], ["2", "1"])
    ]


def test_a_turn_owes_the_scores_that_follow_it():
    pair = [
        replace(e, progress=scores)
        for e, scores in zip(episodes(), ((0.5, 1.0), (0.5, 0.0)), strict=True)
    ]
    # Mean 0.5, population std sqrt(0.125): normalised 0, 1.4142, 0, -1.4142.
    up, down = process_advantages(pair, GROUP)
    assert up.tolist() == pytest.approx([2**0.5, 2**0.5], abs=1e-4)
    assert down.tolist() == pytest.approx([-(2**0.5), -(2**0.5)], abs=1e-4)


def test_turns_from_one_state_are_compared_with_each_other():
    found, lost = episodes()
    assert found.states == lost.states
    up, down = gigpo_advantages([found, lost], GROUP)
    # Verdicts 1 and 0 give +-1 to the episode; in both states the returns differ, +-1 again.
    assert up.tolist() == pytest.approx([2.0, 2.0], abs=1e-4)
    assert down.tolist() == pytest.approx([-2.0, -2.0], abs=1e-4)


def test_a_state_that_is_seen_once_adds_nothing():
    found, lost = episodes()
    alone = replace(lost, states=(lost.states[0], "elsewhere"))
    _, down = gigpo_advantages([found, alone], GROUP)
    assert down.tolist() == pytest.approx([-2.0, -1.0], abs=1e-4)


def test_turns_without_scores_or_states_are_refused():
    pair = episodes()
    with pytest.raises(ValueError, match=r"defines checks\(\)"):
        process_advantages([replace(e, progress=()) for e in pair], GROUP)
    with pytest.raises(ValueError, match="GiGPO needs episodes of a TextEnv"):
        gigpo_advantages([replace(e, states=()) for e in pair], GROUP)


def test_the_sooner_of_two_successes_from_a_state_is_the_better():
    found, _ = episodes()
    start = found.states[0]
    soon = replace(found, segments=found.segments[:2], states=(start,), progress=(1.0,))
    late, early = gigpo_advantages([found, soon], GROUP)
    # Alike as episodes; from the start the returns are 0.95 and 1, and nobody else came further.
    assert late.tolist() == pytest.approx([-1.0, 0.0], abs=1e-3)
    assert early.tolist() == pytest.approx([1.0], abs=1e-3)


def test_groups_share_neither_scores_nor_states():
    pair = episodes()
    group = torch.tensor([0, 0, 1, 1])
    twice = [pair[0], pair[1], pair[1], pair[1]]
    for advantages in (gigpo_advantages, process_advantages):
        alone = advantages(pair, GROUP)
        found = advantages(twice, group)
        assert [f.tolist() for f in found[:2]] == [f.tolist() for f in alone]
    assert [f.tolist() for f in gigpo_advantages(twice, group)[2:]] == [[0.0, 0.0]] * 2


def test_an_episode_that_never_acted_has_no_turns():
    silent = [
        replace(e, segments=e.segments[:1], states=(), progress=()) for e in episodes()
    ]
    for advantages in (gigpo_advantages, process_advantages):
        assert [f.tolist() for f in advantages(silent, GROUP)] == [[], []]
