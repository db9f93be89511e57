"""What must hold of a package's running server: episodes, rewards, tasks, and what they show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envs.interop.grading import (
    CANARIES,
    CannotMeasure,
    Evidence,
    Play,
    Played,
    record,
)

__all__ = [
    "canaries_get_nothing",
    "declared_tasks_are_there",
    "declared_tools_are_there",
    "episodes_are_recorded_whole",
    "episodes_keep_to_their_time",
    "episodes_repeat",
    "floor_is_far_from_the_maximum",
    "oracle_reaches_the_maximum",
    "seeds_decide",
    "sessions_do_not_mix",
    "solutions_are_not_shown",
    "the_oracle_is_not_served",
    "trajectories_replay",
    "verdicts_do_not_depend_on_the_session",
    "verdicts_repeat",
]

SEEDS = range(8)
MIN_LEAK = 20
"""Letters of an oracle's turn from which its appearance in an observation is no accident."""

Faults = Iterator[str]


def oracle_reaches_the_maximum(evidence: Evidence) -> Faults:
    """The package's oracle gets the declared maximum, within its tolerance."""
    if evidence.manifest.capabilities.oracle is None:
        yield "the manifest declares no oracle"
        return
    needed = evidence.high - evidence.manifest.reward.oracle_tolerance
    results = evidence.play(evidence.oracle)
    totals = [result.total for result in results]
    evidence.measured |= {"oracle_rewards": totals, "needed": needed}
    for number, total in enumerate(totals):
        if total < needed:
            yield f"oracle {number} gets {total}, expected {needed} or more"


def canaries_get_nothing(evidence: Evidence) -> Faults:
    """Turns that solve nothing stay below the maximum by the declared margin."""
    most = evidence.high - evidence.manifest.reward.floor_margin
    results = evidence.play(evidence.canaries)
    evidence.measured |= {"canary_rewards": [result.total for result in results]}
    for number, result in enumerate(results):
        if result.total > most:
            yield f"canary {number} gets {result.total}, expected {most} or less"


def floor_is_far_from_the_maximum(evidence: Evidence) -> Faults:
    """Between what turns that do nothing get and the maximum lies the declared margin."""
    resets = [play.reset for play in evidence.oracle]
    plays = [Play(reset, turns) for reset in resets for turns in CANARIES]
    floor = max(result.total for result in evidence.play(plays))
    gap = evidence.high - floor
    margin = evidence.manifest.reward.floor_margin
    evidence.measured |= {"floor": floor, "gap": gap, "floor_margin": margin}
    if gap < margin:
        yield f"doing nothing gets {floor}, {gap} from the maximum; expected {margin}"


def solutions_are_not_shown(evidence: Evidence) -> Faults:
    """No observation holds a turn of the oracle before it was played."""
    compared = 0
    for number, play in enumerate(evidence.oracle):
        turns = [_text(turn) for turn in play.turns]
        result = evidence.server.play(play)
        for place, turn in enumerate(turns[: len(result.observations)]):
            if len(turn) < MIN_LEAK:
                continue
            compared += 1
            shown = json.dumps(
                [row["observation"] for row in result.observations[: place + 1]],
                ensure_ascii=False,
            )
            if turn in shown or json.dumps(turn, ensure_ascii=False)[1:-1] in shown:
                yield f"turn {place} of oracle {number} stands in what was shown before"
    evidence.measured |= {"turns_compared": compared}
    if not compared:
        raise CannotMeasure(f"the oracle has no turn of {MIN_LEAK} letters or more")


def verdicts_repeat(evidence: Evidence) -> Faults:
    """The same trajectory gets the same rewards each time."""
    yield from _differences(evidence, [*evidence.oracle, *evidence.canaries], _rewards)


def verdicts_do_not_depend_on_the_session(evidence: Evidence) -> Faults:
    """A trajectory gets the same rewards in a session that has played others before."""
    plays = evidence.oracle
    alone = [evidence.server.play(play) for play in plays]
    with evidence.server.session() as session:
        later = [evidence.server.play(play, session) for play in reversed(plays)]
    for number, (one, other) in enumerate(zip(alone, reversed(later), strict=True)):
        if _rewards(one) != _rewards(other):
            yield (
                f"oracle {number} gets {_rewards(one)} in a session of its own and "
                f"{_rewards(other)} after others"
            )


def episodes_keep_to_their_time(evidence: Evidence) -> Faults:
    """No episode of the oracle takes longer than the manifest declares."""
    limit_s = evidence.manifest.resources.episode_timeout_s
    longest_s = max(result.seconds for result in evidence.play(evidence.oracle))
    evidence.measured |= {"longest_s": longest_s, "episode_timeout_s": limit_s}
    if longest_s > limit_s:
        yield f"an episode took {longest_s:.1f} s, expected {limit_s} s or less"


def trajectories_replay(evidence: Evidence) -> Faults:
    """A recorded trajectory gives the same observations, rewards and ends again."""
    yield from _differences(
        evidence, evidence.oracle, lambda played: played.observations
    )


def declared_tasks_are_there(evidence: Evidence) -> Faults:
    """The server has as many tasks of each split as the manifest declares."""
    declared = evidence.manifest.capabilities.declared_task_count
    if not declared:
        raise CannotMeasure("the manifest declares no number of tasks")
    counts = evidence.server.task_counts()
    evidence.measured |= {"tasks": counts}
    for split in sorted(declared.keys() | counts.keys()):
        expected, count = declared.get(split), counts.get(split)
        if expected != count:
            yield f"split {split!r}: {expected} tasks declared, {count} served"


def declared_tools_are_there(evidence: Evidence) -> Faults:
    """The server offers the tools that the manifest declares, and no others."""
    declared = set(evidence.manifest.capabilities.declared_tools)
    if not declared:
        raise CannotMeasure("the manifest declares no tools")
    names: set[str] = set()
    for play in evidence.oracle:
        result = evidence.server.play(Play(play.reset, ()))
        tools = result.observations[0]["observation"].get("tools") or []
        names |= {tool.get("function", tool)["name"] for tool in tools}
    evidence.measured |= {"tools": sorted(names)}
    if names != declared:
        yield f"declared {sorted(declared)}, offered {sorted(names)}"


def seeds_decide(evidence: Evidence) -> Faults:
    """A reset with the same seed gives the same observation."""
    distinct: set[str] = set()
    for seed in SEEDS:
        play = Play({"seed": seed}, ())
        one, other = evidence.server.play(play), evidence.server.play(play)
        distinct.add(json.dumps(one.observations, sort_keys=True))
        if one.observations != other.observations:
            yield f"two resets with seed {seed} differ"
    evidence.measured |= {"seeds": len(SEEDS), "distinct": len(distinct)}


def episodes_repeat(evidence: Evidence) -> Faults:
    """The same reset and turns, right ones and empty ones, give the same episode."""
    plays = list(evidence.oracle[:2])
    plays += [
        Play({**play.reset, "seed": 1}, ("",) * 2) for play in evidence.oracle[:2]
    ]
    yield from _differences(evidence, plays, lambda played: played.observations)


def sessions_do_not_mix(evidence: Evidence) -> Faults:
    """Two sessions that take turns see what each sees alone."""
    plays = evidence.oracle
    if len(plays) < 2:
        raise CannotMeasure("the oracle has a single trajectory: nothing could mix")
    served = evidence.server
    for one, other in zip(plays[::2], plays[1::2], strict=False):
        alone = [served.play(play).observations for play in (one, other)]
        with served.session() as first, served.session() as second:
            rows: list[list[Any]] = [[], []]
            for place, (session, play) in enumerate(((first, one), (second, other))):
                result = session.reset(**play.reset)
                rows[place].append(record(result))
            for step in range(max(len(one.turns), len(other.turns))):
                for place, (session, play) in enumerate(
                    ((first, one), (second, other))
                ):
                    if step < len(play.turns) and not rows[place][-1]["done"]:
                        result = session.step(served.action(play.turns[step]))
                        rows[place].append(record(result))
        if [tuple(part) for part in rows] != alone:
            yield "two sessions at once see something else than each alone"


def the_oracle_is_not_served(evidence: Evidence) -> Faults:
    """The server hands out neither the oracle's file nor its turns in the state."""
    declared = evidence.manifest.capabilities.oracle
    if declared is None:
        raise CannotMeasure("the manifest declares no oracle")
    for path in (declared.location, f"static/{declared.location}"):
        response = evidence.server.get(f"/{path}")
        if response.status_code == 200:
            yield f"GET /{path} answers with {len(response.content)} bytes"
    for play in evidence.oracle[:2]:
        with evidence.server.session() as session:
            session.reset(**play.reset)
            state = json.dumps(session.state(), ensure_ascii=False, default=str)
        for turn in map(_text, play.turns):
            if len(turn) >= MIN_LEAK and turn in state:
                yield "the state holds a turn of the oracle"


def episodes_are_recorded_whole(evidence: Evidence) -> Faults:
    """Each step of an episode answers with an observation, a reward and whether it is over."""
    for number, played in enumerate(evidence.play(evidence.oracle[:2])):
        for place, row in enumerate(played.observations[1:], start=1):
            if not isinstance(row["observation"], dict) or row["reward"] is None:
                yield f"step {place} of oracle {number} lacks an observation or a reward"
        if not played.done:
            yield f"oracle {number} ends without `done`"


def _differences(
    evidence: Evidence, plays: Sequence[Play], view: Callable[[Played], Any]
) -> Faults:
    """A sentence for each play that is not the same twice."""
    first = evidence.play(plays)
    second = evidence.play(plays)
    evidence.measured |= {"trajectories": len(first)}
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        if view(one) != view(other):
            yield f"trajectory {number} is not the same when it is played again"


def _rewards(played: Played) -> list[Any]:
    return [row["reward"] for row in played.observations]


def _text(turn: Any) -> str:
    """A turn's text; of an action with one field its value, else its JSON."""
    if isinstance(turn, dict) and len(turn) == 1:
        (turn,) = turn.values()
    return turn if isinstance(turn, str) else json.dumps(turn, ensure_ascii=False)
