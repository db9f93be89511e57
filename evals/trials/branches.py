"""Why a method learns more or less: its credit beside the branched truth, on equal episodes.

For each cell the starting model plays groups; those with both outcomes are branched once, and every
method of the plan says what credit it gives their tokens. Nothing is trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from envs.types import Episode
from evals.branching.truth import Branches, branch
from evals.evaluation.provenance import commit
from evals.evaluation.suites import Suite, select_tasks
from evals.trials.branch_data import BranchRow
from evals.trials.plan import BranchOptions, Cell, Shard, TrialPlan
from evals.trials.start import starting_model
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.batch import collate
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.forward import BatchForward
from scgrpo.models.load import load_model
from scgrpo.policies.hf import HFPolicy
from scgrpo.preflight.positions import within_positions
from scgrpo.rollouts import Rollouts

__all__ = ["branch_cell"]

DIGITS = 6


def branch_cell(path: Path, plan: TrialPlan, cell: Cell, seed: int) -> list[BranchRow]:
    """The branched groups of a cell of the plan in the file `path`.

    `seed` is of the tasks, the episodes and the references that are drawn. Raises ValueError if no
    group has both outcomes.
    """
    options = plan.branches
    config = plan.config(Shard(cell, next(iter(plan.methods)), seed))
    start = starting_model(path, plan, cell)
    model, tokenizer = load_model(start, dtype=dtype_of(config))
    with (
        Rollouts(cell.env, config.limits, sandbox=config.sandbox) as rollouts,
        HFPolicy(
            model.to(device_of(config)),
            tokenizer,
            cache_tokens=config.limits.episode_tokens,
            chat_options=config.chat,
        ) as policy,
    ):
        groups = _groups(options, cell, rollouts, policy, config.group_size, seed)
        branches = branch(
            rollouts,
            policy,
            [episode for group in groups for episode in group],
            continuations=options.continuations,
            certain=options.certain,
            seed=seed,
            description=f"continuations of {cell}",
        )
        forward = _forward(groups, policy, config)
        credit = {
            method: _credit(plan, cell, method, seed, forward, branches)
            for method in plan.methods
        }
    return _rows(plan, cell, seed, groups, branches, credit)


def _groups(
    options: BranchOptions,
    cell: Cell,
    rollouts: Rollouts,
    policy: HFPolicy,
    size: int,
    seed: int,
) -> list[Sequence[Episode]]:
    """Groups of tasks of `train` that both succeed and fail. Raises ValueError if none does."""
    suite = Suite(cell.env, cell.level, "train")
    pool = rollouts.env.tasks("train", cell.level)
    played = rollouts(
        policy,
        select_tasks(suite, pool, options.tasks, seed),
        group=size,
        seed=seed,
        description=f"groups of {cell}",
    )
    groups = _mixed_groups(played, size)[: options.groups]
    if not groups:
        raise ValueError(
            f"none of {options.tasks} groups of {cell} both succeeds and fails, so no credit "
            "says more than another; choose another level, or more branches.tasks"
        )
    return groups


def _forward(
    groups: Sequence[Sequence[Episode]], policy: HFPolicy, config: TrainConfig
) -> BatchForward:
    """All groups as one batch, which every method reads."""
    episodes = [episode for group in groups for episode in group]
    numbers = [number for number, group in enumerate(groups) for _ in group]
    return BatchForward(
        policy.model,
        episodes,
        collate(episodes, numbers, pad_id=0),
        chat=policy.chat,
        limits=within_positions(config.shown_reference, policy.model.config),
        max_tokens_per_pack=config.max_tokens_per_pack,
        cached_forward_tokens=0,
    )


def _mixed_groups(episodes: Sequence[Episode], size: int) -> list[Sequence[Episode]]:
    """The groups without an errored episode that both succeed and fail."""
    groups = [episodes[i : i + size] for i in range(0, len(episodes), size)]
    mixed: list[Sequence[Episode]] = []
    for group in groups:
        outcomes = {
            episode.verified for episode in group if episode.verdict is not None
        }
        whole = all(episode.verdict is not None for episode in group)
        if whole and len(outcomes) > 1:
            mixed.append(group)
    return mixed


def _credit(
    plan: TrialPlan,
    cell: Cell,
    method: str,
    seed: int,
    forward: BatchForward,
    branches: Sequence[Branches],
) -> list[list[float]]:
    """What a method's gradient multiplies each open token with, episode by episode."""
    config = plan.config(Shard(cell, method, seed))
    algorithm = algorithm_of(config)
    credit = algorithm.credit_of(
        forward,
        np.random.default_rng(seed),
        episode_tokens=config.limits.episode_tokens,
    )
    mask = forward.batch.action_mask
    advantage = credit.advantage
    if advantage.dim() == 1:
        advantage = advantage[:, None].expand(mask.shape)
    scale: Tensor = algorithm.weight(mask) * credit.weight * advantage
    values: list[list[float]] = []
    for row, of_episode in enumerate(branches):
        of_actions = scale[row][mask[row]][list(of_episode.tokens)]
        values.append([float(f"{value:.{DIGITS}g}") for value in of_actions.tolist()])
    return values


def _rows(
    plan: TrialPlan,
    cell: Cell,
    seed: int,
    groups: Sequence[Sequence[Episode]],
    branches: Sequence[Branches],
    credit: Mapping[str, Sequence[Sequence[float]]],
) -> list[BranchRow]:
    rows: list[BranchRow] = []
    start = 0
    for group in groups:
        part = slice(start, start + len(group))
        start += len(group)
        row = BranchRow(
            cell=str(cell),
            seed=seed,
            task=group[0].task.id,
            digest=plan.branch_digest(cell),
            tokens=[list(each.tokens) for each in branches[part]],
            gains=[_plain(each) for each in branches[part]],
            credit={method: list(values[part]) for method, values in credit.items()},
            commit=commit() or "",
            date=time.strftime("%Y-%m-%d", time.gmtime()),
        )
        rows.append(row)
    return rows


def _plain(branches: Branches) -> list[list[float | None]]:
    return [
        [round(value, 4) if math.isfinite(value) else None for value in pair]
        for pair in branches.gains().tolist()
    ]
