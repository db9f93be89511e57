"""SC-GRPO's step against GRPO's: the same model, episodes, tokens and precision.

Every group has both outcomes, so both algorithms learn from every token and every episode has a
reference to be conditioned on: the most that credit can cost. The learning rate is 0, so that each
round starts from the same weights.
"""

from __future__ import annotations

import multiprocessing
import re
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import Goal, Row, clock_rows
from benchmarks.tools.step import Step, with_both_outcomes
from envs.rollout import Limits
from scgrpo.algorithms.presets import GRPO, SC_GRPO
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.self_conditioned import SelfConditioned
from scgrpo.models.load import default_device, default_dtype, load_model
from scgrpo.models.scoring import token_scores
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.training.optimizer import MasterAdamW

ROUNDS = 5
GOAL = Goal("<=", 1.10)
ENV, LEVEL = "toy_guess", 1
TASKS, GROUP = 2, 8
LIMITS = Limits(turn_tokens=48, episode_tokens=640)
OURS = {
    "SC-GRPO": SC_GRPO,
    "SC-GRPO with credit.shared_reference": replace(
        SC_GRPO, credit=SelfConditioned(CreditOptions(shared_reference=True))
    ),
}
VOCABULARY, WIDTH = 49152, 64
FEW, MANY = 1024, 4096


def whole(parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Seconds of a step, from those of its rollout and its update."""
    rollout, update = parts
    return rollout + update


def main(rounds: int | None = None) -> list[Row]:
    """Needs the default model: the hub, pip or its cache."""
    rows = steps(resolve_model("auto"), rounds or ROUNDS)
    rows.append(memory())
    return rows


def steps(folder: Path, rounds: int) -> list[Row]:
    """The whole step and the update alone."""
    model, tokenizer = load_model(folder, dtype=default_dtype())
    model.to(default_device())
    optimizer = MasterAdamW(model.parameters(), lr=1e-5)
    with (
        HFPolicy(
            model, tokenizer, slots=TASKS * GROUP, cache_tokens=LIMITS.episode_tokens
        ) as policy,
        Rollouts(ENV, LIMITS) as play,
    ):
        tasks = play.env.tasks("train", LEVEL)[:TASKS]
        budget = LIMITS.episode_tokens
        grpo = Step(GRPO, policy, play, tasks, GROUP, budget, optimizer)
        grpo = replace(grpo, recorded=with_both_outcomes(grpo.rollout()))
        by_name = {"GRPO": grpo}
        for name, algorithm in OURS.items():
            by_name[name] = replace(grpo, algorithm=algorithm)

        # Equal work is the premise of the comparison. The check warms each of them up, too.
        tokens = {}
        for name, step in by_name.items():
            tokens[name] = step.update()["train/tokens"]
        if len(set(tokens.values())) > 1:
            raise RuntimeError(
                f"got different numbers of trained tokens, expected one: {tokens}"
            )

        times = []
        for _ in range(rounds):
            times.append({name: step.seconds() for name, step in by_name.items()})

    num_tokens = sum(len(e.token_ids) for e in grpo.recorded)
    what = f"{TASKS} x {GROUP} episodes, {num_tokens} tokens"
    rows = []
    for name in OURS:
        for part, pick in (("step", whole), ("update", itemgetter(1))):
            pairs = [(pick(by_step[name]), pick(by_step["GRPO"])) for by_step in times]
            goal = GOAL if (name, part) == ("SC-GRPO", "step") else None
            label = f"{part} of {name}, {what}"
            rows += clock_rows("trainer", label, "ms", pairs, "GRPO", goal=goal)
    return rows


def memory() -> Row:
    """Peak memory of scoring many tokens; the name says what their logits alone would take."""
    few = scoring_mib_in_a_fresh_process(FEW)
    many = scoring_mib_in_a_fresh_process(MANY)
    logits = MANY * VOCABULARY * 4 / 2**20
    return Row(
        benchmark="trainer",
        name=f"peak of {MANY} tokens by {VOCABULARY} words (logits: {logits:.0f} MiB)",
        unit="MiB",
        ours=many,
        against=f"{FEW} tokens",
        theirs=few,
        ratio=many / few,
    )


def scoring_mib_in_a_fresh_process(tokens: int) -> float:
    """`scoring_mib` of a new process, whose peak holds nothing else."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(scoring_mib, (tokens,))


def scoring_mib(tokens: int) -> float:
    """MiB that scoring `tokens` tokens and the backward pass add to this process's peak."""
    torch.set_num_threads(1)
    head = nn.Linear(WIDTH, VOCABULARY, bias=False)
    targets = torch.zeros(tokens, dtype=torch.long)
    # The first pass loads libraries, which do not depend on the tokens.
    score(head, torch.randn(8, WIDTH), targets[:8])
    states = torch.randn(tokens, WIDTH, requires_grad=True)
    before = peak_mib()
    score(head, states, targets)
    return peak_mib() - before


def score(head: nn.Module, states: torch.Tensor, targets: torch.Tensor) -> None:
    """Scores (T,) targets at (T, WIDTH) states, and goes backward."""
    logprobs, _ = token_scores(head, states, targets)
    logprobs.sum().backward()


def peak_mib() -> float:
    """Peak memory of this process; `getrusage` would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 2**10
