"""What scores one, what does not, and how often chance does."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

from envs.base import TextEnv
from envs.checks.env_under_test import EnvUnderTest, NotDefined
from envs.types import Task

__all__ = [
    "chance_is_learnable",
    "critical_turns_decide",
    "no_script_fits_all",
    "oracle_wins",
    "snapshots_are_re_entered",
    "twins_flip",
]

MIN_CHANCE = 0.10
"""Success of random turns from which a policy can start to learn."""
CHANCE_EPISODES = {True: 100, False: 400}
CHANCE_S = {True: 30.0, False: 240.0}
MIN_EPISODES = 30
# A true rate is further off than this once in 15,000 runs.
STANDARD_ERRORS = 4
SCRIPT_TASKS, MIN_SCRIPT_TASKS, SCRIPT_LIMIT = 40, 4, 0.75


def oracle_wins(subject: EnvUnderTest) -> Iterator[str]:
    """The oracle's turns end in success, within the turn budget and without a malformed call."""
    count = 0
    for task in subject.some():
        trace = subject.play(task, subject.oracle(task))
        count += 1
        if not trace.ended or not trace.passed:
            last = trace.chat[-1]
            yield f"the oracle does not solve {task.id}; the last reply: {last!r:.120}"
        elif trace.infos[-1].get("malformed"):
            yield f"the oracle's turns on {task.id} count as malformed calls"
    subject.notes.append(f"{count} tasks solved")


def critical_turns_decide(subject: EnvUnderTest) -> Iterator[str]:
    """Critical spans stand in the oracle's turns, and without one of them nothing is solved."""
    count = 0
    for task in subject.some():
        turns = subject.oracle(task)
        spans = subject.optional(subject.env.critical, task)
        if not spans:
            yield f"{task.id} has no critical span"
        for span in spans:
            count += 1
            rest = [turn for turn in turns if span not in turn]
            if len(rest) == len(turns):
                yield f"critical span {span!r:.80} of {task.id} is in none of the oracle's turns"
            elif subject.play(task, rest).passed:
                yield (
                    f"{task.id} is solved without the turns that hold {span!r:.80}: the verifier "
                    "counts a part as the whole, or the span decides nothing"
                )
    subject.notes.append(f"{count} spans left out, one at a time")


def twins_flip(subject: EnvUnderTest) -> Iterator[str]:
    """What solves a task fails on its twin, and the other way round."""
    count = 0
    for task in subject.some():
        try:
            twin = subject.optional(subject.env.twin, task)
        except ValueError:
            # Not every task has one.
            continue
        count += 1

        oracle = subject.oracle(twin)
        if not subject.play(twin, oracle).passed:
            yield f"the oracle does not solve the twin of {task.id}"

        turns = _decisive(subject, task)
        if subject.play(twin, turns).passed:
            yield f"{task.id}: its deciding turns also solve its twin"

        turns = _decisive(subject, twin)
        if subject.play(task, turns).passed:
            yield f"{task.id}: the deciding turns of its twin also solve it"
    if not count:
        raise NotDefined("no task of the sample has a twin")
    subject.notes.append(f"{count} twins")


def _decisive(subject: EnvUnderTest, task: Task) -> list[str]:
    """The oracle's turns from the first that decides; those before may be a search."""
    turns = subject.oracle(task)
    spans = subject.optional(subject.env.critical, task)
    # A span that an earlier turn already holds is decided by the last one.
    last_places: list[int] = []
    for span in spans:
        last_place = 0
        for place, turn in enumerate(turns):
            if span in turn:
                last_place = place
        last_places.append(last_place)

    start = min(last_places, default=0)
    return turns[start:]


def snapshots_are_re_entered(subject: EnvUnderTest) -> Iterator[str]:
    """An episode goes on from its snapshot in another environment, at every turn."""
    count = 0
    tasks = subject.few() if subject.quick else subject.some()
    with closing(subject.make()) as other_env:
        for task in tasks:
            turns = subject.oracle(task)
            for place in range(len(turns)):
                subject.play(task, turns[:place])
                # Through JSON: a snapshot must survive a file.
                state_text = json.dumps(subject.env.get_state())
                state = json.loads(state_text)
                other_env.set_state(state)
                count += 1

                if not _is_finished_by(other_env, turns[place:]):
                    yield f"{task.id} cannot be finished from its snapshot at turn {place}"
    subject.notes.append(f"{count} snapshots")


def _is_finished_by(env: TextEnv, turns: Sequence[str]) -> bool:
    """Whether the last of these turns ends the episode with success."""
    steps = [env.step(turn) for turn in turns]
    _, reward, terminated, truncated, _ = steps[-1]
    return reward == 1.0 and terminated and not truncated


def no_script_fits_all(subject: EnvUnderTest) -> Iterator[str]:
    """No fixed turns solve more than three in four tasks of a level: answers must vary."""
    split = subject.env.splits[0]
    levels = subject.env.levels
    if subject.quick:
        levels = levels[:1]
    for level in levels:
        tasks = subject.sample(split, level, SCRIPT_TASKS)
        # Before the next line, so that a small environment without an oracle is skipped, too.
        scripts = Counter(tuple(subject.oracle(task)) for task in tasks)
        total = len(tasks)
        if total < MIN_SCRIPT_TASKS:
            continue

        script, same = scripts.most_common(1)[0]
        limit = SCRIPT_LIMIT * total
        if same > limit:
            yield f"{same} of {total} tasks of level {level} have the oracle {script!r:.120}"

        solved = 0
        for task in tasks:
            trace = subject.play(task, script)
            solved += trace.passed
        if solved > limit:
            yield f"{script!r:.120} solves {solved} of {total} tasks of {split} level {level}"


def chance_is_learnable(subject: EnvUnderTest) -> Iterator[str]:
    """Random turns solve at least one in ten tasks of the first level, as `chance` claims."""
    env = subject.env
    level = env.levels[0]
    claim = subject.optional(env.chance, level)
    solved, played, malformed = _random_episodes(subject, level)
    rate = solved / played
    subject.notes.append(
        f"claimed {claim:.3f}, reached {rate:.3f} of {played} episodes"
    )

    if claim < MIN_CHANCE:
        yield f"the chance rate of level {level} is {claim:.3f}, expected {MIN_CHANCE} or more"
    tolerance = _tolerance(claim, played)
    if not math.isclose(rate, claim, abs_tol=tolerance):
        yield f"chance({level}) claims {claim:.3f}, {played} random episodes reach {rate:.3f}"
    # A rate that chance alone may have pushed below the limit is not held against it.
    tolerance = _tolerance(MIN_CHANCE, played)
    if rate + tolerance < MIN_CHANCE:
        yield f"random turns reach {rate:.3f} at level {level}, expected {MIN_CHANCE} or more"
    if malformed:
        yield f"random_turn wrote {malformed} malformed calls"


def _random_episodes(subject: EnvUnderTest, level: int) -> tuple[int, int, int]:
    """Solved and played random episodes, as many as there is time for, and malformed calls."""
    rng = np.random.default_rng(0)
    split = subject.env.splits[0]
    tasks = subject.env.tasks(split, level)
    limit = CHANCE_EPISODES[subject.quick]
    limit_s = CHANCE_S[subject.quick]
    started = time.monotonic()
    solved = 0
    malformed = 0

    def random_turn(chat: list[str]) -> str:
        """The next random turn, whatever the chat."""
        return subject.optional(subject.env.random_turn, rng)

    for played in range(1, limit + 1):
        place = int(rng.integers(len(tasks)))
        trace = subject.play(tasks[place], random_turn)
        solved += trace.passed
        last_info = trace.infos[-1]
        malformed += last_info.get("malformed", 0)

        # Slow environments get a coarser estimate, but never one without any weight.
        took_s = time.monotonic() - started
        if took_s > limit_s and played >= MIN_EPISODES:
            return solved, played, malformed
    return solved, limit, malformed


def _tolerance(rate: float, count: int) -> float:
    variance = rate * (1 - rate) / count
    return STANDARD_ERRORS * math.sqrt(variance)
