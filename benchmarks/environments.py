"""What a turn costs in an environment, beside like tasks of GEM and SkyRL-gym.

Both play what solves the task, without a model: what is timed is `reset`, `step` and the verifier.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import Row, ratio_of_pairs
from benchmarks._peers import answering, environment
from envs import registry
from envs.base import TextEnv

HERE = Path(__file__).resolve().parent
WANTED = ("gem-llm==0.1.0", "datasets==5.2.0", "skyrl-gym==0.4.0")
ROUNDS = 15
EPISODES = 200


def turns_of(
    stack: ExitStack,
    name: str,
    level: int,
    episodes: int,
    *,
    tasks: int,
    slips: Sequence[str] = (),
) -> Callable[[], float]:
    """What plays oracle's episodes of that many tasks, and returns seconds per turn.

    `slips` are wrong answers that come before the oracle's last turn, instead of its others.
    """
    env = stack.enter_context(registry.make(name))
    inner = env.unwrapped
    assert isinstance(inner, TextEnv)
    chosen = inner.tasks("id", level)[:tasks]
    starts = [{"split": "id", "level": level, "task_id": task.id} for task in chosen]
    turns = [inner.oracle(task) for task in chosen]
    if slips:
        turns = [[*slips, script[-1]] for script in turns]
    solved = list(zip(starts, turns, strict=True))
    scripts = [solved[number % len(solved)] for number in range(episodes)]

    def play() -> float:
        begun = time.perf_counter()
        for start, script in scripts:
            env.reset(options=start)
            reward = 0.0
            for turn in script:
                reward = env.step(turn)[1]
            assert reward == 1.0
        return (time.perf_counter() - begun) / sum(len(script) for _, script in scripts)

    return play


def judged(stack: ExitStack) -> Callable[[], float]:
    """What writes a function, tries 3 calls, has 20 more judged, and returns seconds per call."""
    play = turns_of(stack, "code_fn", 2, 1, tasks=1)
    return lambda: 2 * play() / 23


def main() -> list[Row]:
    """Measures both in turn, round after round."""
    with ExitStack() as stack:
        ours: Mapping[str, tuple[str, Callable[[], float]]] = {
            "GEM 0.1.0, guess": (
                "toy_guess, binary search in 63, a turn",
                turns_of(stack, "toy_guess", 4, EPISODES, tasks=EPISODES),
            ),
            "SkyRL-gym 0.4.0, sum": (
                "math_chain, a wrong answer and the right one, a turn",
                turns_of(stack, "math_chain", 0, EPISODES, tasks=1, slips=["12347"]),
            ),
            "GEM 0.1.0, code": ("code_fn in a box, a judged call", judged(stack)),
        }
        pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in ours}
        try:
            python = environment("environments", WANTED)
            side = [str(python), str(HERE / "_environment_peer_side.py")]
            theirs = stack.enter_context(answering(side))
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"[bench] the peers are left out: {error}", file=sys.stderr)
            theirs = {}
        for _ in range(ROUNDS):
            for name, (_, mine) in ours.items():
                other = theirs.get(name, lambda: float("nan"))
                pairs[name].append((mine(), other()))
    return [
        _row(ours[name][0], name, found, name in theirs)
        for name, found in pairs.items()
    ]


def _row(name: str, peer: str, pairs: list[tuple[float, float]], known: bool) -> Row:
    value = 1e6 * statistics.median(mine for mine, _ in pairs)
    row = Row(
        benchmark="environments",
        name=name,
        value=value,
        unit="us",
        ratio=None,
        against=peer if known else "",
    )
    if known:
        row["ratio"], row["interval"] = ratio_of_pairs(pairs)
    return row
