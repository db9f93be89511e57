"""The cost of a turn in an environment, against similar tasks of GEM and SkyRL-gym.

Both play the solution of the task, without a model: `reset`, `step` and the verifier are timed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import Goal, Row, comparison, measurement
from benchmarks.peers.process import answering, environment
from envs import registry
from envs.base import TextEnv

HERE = Path(__file__).resolve().parent
REQUIREMENTS = ("gem-llm==0.1.0", "datasets==5.2.0", "skyrl-gym==0.4.0")
ROUNDS = 15
EPISODES = 200
GOAL = Goal("<=", 1.0)


def turns_of(
    stack: ExitStack,
    name: str,
    level: int,
    episodes: int,
    *,
    tasks: int,
    slips: Sequence[str] = (),
) -> Callable[[], float]:
    """A function that plays the oracle's episodes of `tasks` tasks and returns seconds per turn.

    `slips` are wrong answers that come before the oracle's last turn, in place of its others.
    """
    env = stack.enter_context(registry.make(name))
    inner = env.unwrapped
    assert isinstance(inner, TextEnv)
    chosen = inner.tasks("id", level)[:tasks]
    starts = [{"split": "id", "level": level, "task_id": task.id} for task in chosen]
    turns = [inner.oracle(task) for task in chosen]
    if slips:
        turns = [[*slips, script[-1]] for script in turns]
    solutions = list(zip(starts, turns, strict=True))
    scripts = [solutions[number % len(solutions)] for number in range(episodes)]
    num_turns = sum(len(script) for _, script in scripts)

    def play() -> float:
        begun = time.perf_counter()
        for start, script in scripts:
            env.reset(options=start)
            reward = 0.0
            for turn in script:
                reward = env.step(turn)[1]
            assert reward == 1.0
        return (time.perf_counter() - begun) / num_turns

    return play


def calls_of_code(stack: ExitStack) -> Callable[[], float]:
    """A function that submits code with 3 visible and 20 hidden calls; returns seconds per call."""
    play = turns_of(stack, "code_fn", 2, 1, tasks=1)
    # Two turns make 23 calls.
    return lambda: 2 * play() / 23


def main(rounds: int | None = None) -> list[Row]:
    """Measures both in turn, round after round."""
    with ExitStack() as stack:
        # By peer, the name of our row and the function that plays it.
        ours: Mapping[str, tuple[str, Callable[[], float]]] = {
            "GEM 0.1.0, guess": (
                "toy_guess, binary search in 63, a turn",
                turns_of(stack, "toy_guess", 4, EPISODES, tasks=EPISODES),
            ),
            "SkyRL-gym 0.4.0, sum": (
                "math_chain, a wrong answer and the right one, a turn",
                turns_of(stack, "math_chain", 0, EPISODES, tasks=1, slips=["12347"]),
            ),
            "GEM 0.1.0, code": (
                "code_fn in a sandbox, a judged call",
                calls_of_code(stack),
            ),
        }
        pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in ours}
        try:
            python = environment("environments", REQUIREMENTS)
            side = [str(python), str(HERE / "peers" / "environments_side.py")]
            theirs = stack.enter_context(answering(side))
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"[bench] the peers are left out: {error}", file=sys.stderr)
            theirs = {}

        for _ in range(rounds or ROUNDS):
            for peer, (_, our_play) in ours.items():
                their_play = theirs.get(peer, lambda: float("nan"))
                pairs[peer].append((our_play(), their_play()))

    rows = []
    for peer, (name, _) in ours.items():
        times = [(1e6 * one, 1e6 * other) for one, other in pairs[peer]]
        if peer in theirs:
            row = comparison("environments", name, "us", times, peer, goal=GOAL)
        else:
            values = [one for one, _ in times]
            row = measurement("environments", name, "us", values)
        rows.append(row)
    return rows
