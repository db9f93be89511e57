"""GraphGPO against distances and advantages worked out by hand."""

from dataclasses import replace

import pytest
import torch

from envs.types import Episode
from scgrpo.credit.turns.gigpo import gigpo_advantages
from scgrpo.credit.turns.graph import distances_to_success, graph_advantages
from tests.scgrpo.credit.turns.test_per_turn import episodes

GROUP = torch.zeros(3, dtype=torch.long)


def paths(*states: str) -> list[Episode]:
    """A success and failures, with a state for each character."""
    found, lost = episodes()
    made = [replace(found, states=tuple(states[0]))]
    return made + [replace(lost, states=tuple(path)) for path in states[1:]]


def test_distances_are_those_of_the_shortest_path():
    # 0 -> 1 -> 2 -> success, 0 -> 2, 3 -> unknown, 4 -> 3.
    edges = [(0, 1), (1, 2), (2, -1), (0, 2), (3, None), (4, 3)]
    assert distances_to_success(edges) == {-1: 0, 2: 1, 1: 2, 0: 2}


def test_a_good_turn_of_a_failed_episode_gains():
    # a -> b -> success; a -> b -> lost; a -> c -> lost. From a: R = 0.01, 0.01, 0, whose mean is
    # 1/150 and population std sqrt(2)/300: +-z of 1/sqrt(2) twice and -sqrt(2). From b: 0.1 and 0.
    z = 2**-0.5
    first, second, third = graph_advantages(paths("ab", "ab", "ac"), GROUP)
    # Verdicts 1, 0, 0: mean 1/3, std sqrt(2)/3, so that A_E is sqrt(2) and -1/sqrt(2).
    assert first.tolist() == pytest.approx([2**0.5 + z, 2**0.5 + 1], abs=1e-3)
    assert second.tolist() == pytest.approx([-z + z, -z - 1], abs=1e-3)
    assert third.tolist() == pytest.approx([-z - 2**0.5, -z + 0], abs=1e-3)
    # GiGPO's returns of a failed episode are all 0.
    _, failed, _ = gigpo_advantages(paths("ab", "ab", "ac"), GROUP)
    assert failed[0] < second[0]


def test_groups_are_graphs_of_their_own():
    rows = paths("ab", "ab", "ac")
    twice = graph_advantages([*rows, *rows[1:]], torch.tensor([0, 0, 0, 1, 1]))
    alone = graph_advantages(rows, GROUP)
    assert [a.tolist() for a in twice[:3]] == [a.tolist() for a in alone]
    # Without a success nothing leads anywhere.
    assert [a.tolist() for a in twice[3:]] == [[0.0, 0.0]] * 2


def test_turns_without_states_are_refused_and_none_are_no_turns():
    rows = paths("ab", "ab")
    with pytest.raises(ValueError, match="GraphGPO needs episodes of a TextEnv"):
        graph_advantages([replace(e, states=()) for e in rows], GROUP[:2])
    silent = [replace(e, segments=e.segments[:1], states=()) for e in rows]
    assert [a.tolist() for a in graph_advantages(silent, GROUP[:2])] == [[], []]
