"""GraphGPO: a turn counts by how near to success it leads, in all that the group has seen.

The episodes of a group are paths in one graph: a node for each state, an edge for each turn, from
its state to the next turn's, and from the last turn of a passed episode to success.

    R(k)   = 0.1^(distance to success of the state that turn k leads to, plus 1)
    A_G(k) = (R(k) - mean R) / std R         over the turns of the group from the same state
    A(k)   = A_E + A_G(k)                    A_E the episode's own, as in GRPO

A distance is a number of turns on the shortest path; from a state without a path to success R is
0, and so it is for the last turn of a failed episode, after which no state is known (CHOSEN). A
state that one turn alone starts from gives A_G = 0.

So a good turn of a failed episode gains if another episode went on from there to success, which
GiGPO's returns cannot see. Source: arXiv:2605.26684, equations 3 to 6. There the std is the sample
one; here the population one with a floor of 1e-6, as elsewhere.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from envs.types import Episode
from scgrpo.algorithms.advantages import group_z_score
from scgrpo.credit.turns.gigpo import check_states, state_numbers

__all__ = ["distances_to_success", "graph_advantages"]

SUCCESS = -1
DECAY = 0.1


def graph_advantages(episodes: Sequence[Episode], group: Tensor) -> list[Tensor]:
    """A of each turn: (turns,) float32 for each of the B episodes. `group` (B,).

    Raises ValueError for a turn whose state is not known.
    """
    for episode in episodes:
        check_states(episode, "GraphGPO")
    verdicts = torch.tensor(
        [bool(episode.verified) for episode in episodes], dtype=torch.float32
    )
    sizes = [len(episode.states) for episode in episodes]
    states = state_numbers(episodes, group)
    if not len(states):
        return [verdicts.new_zeros(0) for _ in episodes]

    # Numbers of states differ between groups, so that one graph holds them all apart.
    edges: list[tuple[int, int | None]] = []
    for of_episode, passed in zip(states.split(sizes), verdicts, strict=True):
        path = of_episode.tolist()
        end = SUCCESS if passed else None
        edges += zip(path, [*path[1:], end], strict=True) if path else ()
    distances = distances_to_success(edges)
    returns = [
        DECAY ** (distances[target] + 1) if target in distances else 0.0
        for _, target in edges
    ]

    turn_advantage = group_z_score(torch.tensor(returns), states)
    episode_advantage = group_z_score(verdicts, group)
    pairs = zip(episode_advantage, turn_advantage.split(sizes), strict=True)
    return [whole + turns for whole, turns in pairs]


def distances_to_success(edges: Iterable[tuple[int, int | None]]) -> dict[int, int]:
    """The least number of turns to success, of each state that has a path there.

    An edge is a turn's state and the state that it leads to; None for an unknown one.
    """
    sources: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in edges:
        if target is not None:
            sources[target].append(source)

    distances = {SUCCESS: 0}
    waiting = deque([SUCCESS])
    while waiting:
        target = waiting.popleft()
        for source in sources[target]:
            if source not in distances:
                distances[source] = distances[target] + 1
                waiting.append(source)
    return distances
