"""A step's episodes as numbers for the log, and a step in a line for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envs.types import Episode, Stop
from scgrpo.rollouts import malformed_share, success_rate
from scgrpo.training.error_monitor import describe_errors

__all__ = [
    "describe_step",
    "episode_log",
    "mixed_groups",
    "policy_tokens",
    "staleness_log",
]

PROMPTS_TOO_LONG = "episodes/prompts_too_long"


def episode_log(episodes: Sequence[Episode]) -> dict[str, float]:
    """What the episodes were like, before any filtering."""
    count = len(episodes)
    log = {
        "episodes/success": success_rate(episodes),
        PROMPTS_TOO_LONG: float(sum(e.prompt_too_long for e in episodes)),
        "episodes/malformed_turns": malformed_share(episodes),
        "episodes/cut_turns": _cut_share(episodes),
        "episodes/turns": sum(len(e.turns) for e in episodes) / count,
        "episodes/tokens": sum(len(e.token_ids) for e in episodes) / count,
        "episodes/written": policy_tokens(episodes) / count,
    }
    for stop in Stop:
        stopped = sum(episode.stop is stop for episode in episodes)
        log[f"episodes/stop_{stop.value}"] = stopped / count
    return log


def _cut_share(episodes: Sequence[Episode]) -> float:
    """Share of the turns that a limit of tokens has cut."""
    turns = [turn for episode in episodes for turn in episode.turns]
    return sum(turn.cut for turn in turns) / max(1, len(turns))


def policy_tokens(episodes: Sequence[Episode]) -> int:
    """Tokens that the policy wrote, in all conversations of the episodes."""
    segments = [segment for episode in episodes for segment in episode.segments]
    for episode in episodes:
        for branch in episode.branches:
            segments += branch.segments
    return sum(segment.length for segment in segments if segment.source == "policy")


def staleness_log(episodes: Sequence[Episode], version: int) -> dict[str, float]:
    """How many versions behind `version` the weights were with which turns began.

    Of the tokens with a verdict: the share that is behind, and the most versions of any.
    """
    stale = tokens = most = 0
    for episode in episodes:
        if episode.verdict is None:
            continue
        for turn, of_turn in zip(episode.turns, episode.versions, strict=True):
            tokens += turn.length
            most = max(most, version - of_turn)
            if of_turn < version:
                stale += turn.length
    return {"train/stale": stale / max(1, tokens), "train/versions_behind": float(most)}


def mixed_groups(episodes: Sequence[Episode], group_size: int) -> int:
    """How many groups of `group_size` episodes have both a success and a failure."""
    count = 0
    for first in range(0, len(episodes), group_size):
        group = episodes[first : first + group_size]
        outcomes = {episode.verified for episode in group}
        # An episode without a verdict is neither.
        if True in outcomes and False in outcomes:
            count += 1
    return count


def describe_step(log: Mapping[str, float]) -> str:
    """A step's log in a line."""
    seconds = log["time/rollout_s"] + log["time/update_s"]
    line = (
        f"success {100 * log['episodes/success']:.0f} %, turns {log['episodes/turns']:.1f}, "
        f"level {log['level']:.0f}, {log['time/tokens_per_s']:.0f} tokens/s, {seconds:.0f} s"
    )
    if too_long := log.get(PROMPTS_TOO_LONG):
        line += f", prompts too long: {too_long:.0f}"
    if causes := describe_errors(log):
        line += f", errored: {causes}"
    return line
