"""Two logs of Inspect, written by Inspect itself, for `scgrpo compare logs/forgets logs/carries`.

Two solvers add numbers of two to six digits, four times each: one carries and slips now and then,
the other forgets a carry in one of three sums. No model is asked.
"""

from __future__ import annotations

import random
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import exact
from inspect_ai.solver import Generate, Solver, TaskState, solver

FOLDER = Path("logs")
EPOCHS = 4
SLIPS, FORGETS = 0.1, 1 / 3


def sums() -> list[Sample]:
    """Fifty sums; sums of as many digits are a family, drawn alike."""
    rng = random.Random(0)
    samples: list[Sample] = []
    for number in range(50):
        digits = 2 + number % 5
        a, b = (rng.randrange(10 ** (digits - 1), 10**digits) for _ in "ab")
        family = {"family": f"{digits} digits"}
        samples.append(
            Sample(
                id=f"sum-{number}",
                input=f"{a} + {b}",
                target=str(a + b),
                metadata=family,
            )
        )
    return samples


def without_carry(a: int, b: int) -> int:
    """The sum of each pair of digits, modulo ten."""
    total, place = 0, 1
    while a or b:
        total += (a % 10 + b % 10) % 10 * place
        a, b, place = a // 10, b // 10, place * 10
    return total


@solver
def adder(mistakes: float, *, forgets: bool) -> Solver:
    """Adds; in a share of the sums it forgets every carry, or is off by one."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        a, b = map(int, state.input_text.split(" + "))
        rng = random.Random(f"{state.sample_id} {state.epoch} {forgets}")
        answer = a + b
        if rng.random() < mistakes:
            answer = without_carry(a, b) if forgets else answer + 1
        state.output = ModelOutput.from_content("none", str(answer))
        return state

    return solve


def main() -> None:
    """Writes a log into `logs/carries` and one into `logs/forgets`."""
    solvers = {
        "forgets": adder(FORGETS, forgets=True),
        "carries": adder(SLIPS, forgets=False),
    }
    for name, one in solvers.items():
        eval(
            Task(name="sums", dataset=sums(), solver=one, scorer=exact()),
            model="mockllm/model",
            epochs=EPOCHS,
            log_dir=str(FOLDER / name),
            display="none",
        )


if __name__ == "__main__":
    main()
