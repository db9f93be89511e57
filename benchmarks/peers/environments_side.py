"""Environments to compare with, in their own Python: each plays episodes and counts turns."""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

from side import serve  # pyright: ignore[reportMissingImports]

EPISODES = 200
SUM = "Ben has 17 seeds. Ben buys 5 sachets of 9 seeds. How many seeds does Ben have left?"
SUBMISSION = """```python
xs = eval(input())
print([x + 3 for x in xs if x % 2 == 0])
```"""
CALLS = 12


def gem_guess(_: ExitStack) -> Callable[[], int]:
    """Binary search in 63 numbers."""
    import gem

    name = "bench:Guess-v0"
    gem.register(
        name,
        "gem.envs.game_env.guess_the_number:GuessTheNumberEnv",
        min_number=1,
        max_number=63,
        max_turns=6,
    )
    env = gem.make(name)

    def play() -> int:
        turns = 0
        for seed in range(EPISODES):
            env.reset(seed=seed)
            low, high, over = 1, 63, False
            while not over:
                middle = (low + high) // 2
                reply, _, over, _, _ = env.step(f"\\boxed{{{middle}}}")
                turns += 1
                if not over and re.search("is higher", reply):
                    low = middle + 1
                else:
                    high = middle - 1
        return turns

    return play


def skyrl_sum(_: ExitStack) -> Callable[[], int]:
    """A word problem in two turns: a wrong answer, then the right one."""
    import skyrl_gym

    prompt = [{"role": "user", "content": SUM}]
    extras = {"reward_spec": {"ground_truth": "62"}, "max_turns": 2}

    def play() -> int:
        for _ in range(EPISODES):
            env = skyrl_gym.make("gsm8k_multi_turn", extras=extras)
            env.init(prompt)
            env.step("17 + 5 = 22\n#### 22")
            assert env.step("17 + 5 * 9 = 62\n#### 62")["done"]
        return 2 * EPISODES

    return play


def gem_code(stack: ExitStack) -> Callable[[], int]:
    """A program verified by as many runs as it allows, each a fresh interpreter, not isolated."""
    from datasets import Dataset
    from gem.envs.code_env import CodeEnv

    # It makes its folders in the current one.
    os.chdir(stack.enter_context(tempfile.TemporaryDirectory()))

    rng = random.Random(0)
    lists = [[rng.randint(-9, 9) for _ in range(6)] for _ in range(CALLS)]
    tests = {
        "inputs": [f"{xs}\n" for xs in lists],
        "outputs": [f"{[x + 3 for x in xs if x % 2 == 0]}\n" for xs in lists],
    }
    data = Dataset.from_list(
        [{"problem": "Keep the even numbers, add 3.", "tests": tests}]
    )
    env = CodeEnv(dataset_name="taco", dataset=data, sandbox_type="none")

    def play() -> int:
        env.reset()
        assert env.step(SUBMISSION)[1] == 1.0
        return CALLS

    return play


if __name__ == "__main__":
    serve(
        {
            "GEM 0.1.0, guess": gem_guess,
            "SkyRL-gym 0.4.0, sum": skyrl_sum,
            "GEM 0.1.0, code": gem_code,
        }
    )
