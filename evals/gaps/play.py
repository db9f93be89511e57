"""Plays what `scgrpo gap` still misses: every condition of every model, and D."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from envs.rollout import Limits
from envs.types import Episode, Task
from evals.evaluation.budget import Budget, BudgetSpent
from evals.evaluation.episodes import evaluate, missing_rollouts, read_saved
from evals.evaluation.models import EvaluatedModel
from evals.evaluation.plan import Evaluation, expected_time, smallest_differences
from evals.evaluation.policies import open_policy
from evals.evaluation.suites import Suite
from evals.gaps.conditions import OWN, PLAIN, by_seed, condition_episodes, conditions_of
from evals.gaps.divergence import MAX_EPISODES, divergence_numbers
from evals.gaps.references import TRIES, TaskReferences, references_of
from scgrpo.models.load import load_config, load_tokenizer
from scgrpo.policies.chat import Chat
from scgrpo.policies.conditioned import Condition, ConditionedPolicy
from scgrpo.policies.hf import HFPolicy
from scgrpo.preflight.positions import max_positions
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import write_atomically
from scgrpo.runs.gaps import GAPS
from scgrpo.runs.lock import only_writer
from scgrpo.teachers.prompts import turn_texts

__all__ = ["GapPlan", "ModelGap", "check_positions", "play_gaps"]

MARGIN = 64
"""Tokens that a chat template may add around a system message, beyond the reference itself."""

# One name for all parts of the command, which `to_terminal` prints.
logger = logging.getLogger("evals.gap")


@dataclass(frozen=True)
class GapPlan:
    """An evaluation whose tasks are played once under each condition.

    | field | meaning |
    |---|---|
    | conditions | `none`, `own`, then the controls |
    """

    evaluation: Evaluation
    conditions: Sequence[str]

    @property
    def folder(self) -> Path:
        """Where references, episodes and reports lie."""
        return self.evaluation.folder / GAPS

    @property
    def name(self) -> str:
        """Name of the report; equal for equal evaluations under the same conditions."""
        parts = [self.evaluation.name, *self.conditions[2:]]
        return "-".join(parts)

    @property
    def long_limits(self) -> Limits:
        """Token budgets of an episode with the longest reference in front."""
        limits = self.evaluation.evaluated.limits
        added = self.evaluation.evaluated.config.shown_reference.tokens + MARGIN
        return replace(limits, episode_tokens=limits.episode_tokens + added)


@dataclass(frozen=True)
class ModelGap:
    """What a model did on a suite.

    | field | meaning |
    |---|---|
    | references | of each task |
    | episodes | condition -> the episodes of each task |
    | planned | condition -> episodes that it should have |
    | divergence | numbers of D, by the keys of a run's log; empty if it was not measured |
    """

    suite: Suite
    model: EvaluatedModel
    references: Sequence[TaskReferences]
    episodes: Mapping[str, Sequence[Sequence[Episode]]]
    planned: Mapping[str, int]
    divergence: Mapping[str, float]


@dataclass(frozen=True)
class _Cell:
    """The work on a suite by a model under one condition."""

    suite: Suite
    model: EvaluatedModel
    name: str
    conditions: Sequence[Condition | None]
    path: Path

    def tasks(self, evaluation: Evaluation) -> list[Task]:
        """The tasks that can be played: for a reference, those that have one."""
        tasks = evaluation.tasks[self.suite]
        if self.name == PLAIN:
            return list(tasks)
        pairs = zip(tasks, self.conditions, strict=True)
        return [task for task, condition in pairs if condition is not None]


def check_positions(plan: GapPlan) -> None:
    """Raises ValueError if an episode with a reference goes beyond a model's positions."""
    tokens = plan.long_limits.episode_tokens
    for model in plan.evaluation.models:
        positions = max_positions(load_config(model.folder))
        if positions is not None and tokens > positions:
            limits = plan.evaluation.evaluated.limits
            raise ValueError(
                f"an episode of limits.episode_tokens={limits.episode_tokens} with a reference in "
                f"front takes up to {tokens} tokens, beyond the {positions} positions of "
                f"{model.name}; take a run of smaller budgets, or a model with more positions"
            )


def play_gaps(
    plan: GapPlan, arguments: argparse.Namespace
) -> tuple[list[ModelGap], str, Budget]:
    """Announces and plays what is not on disk, one model in memory at a time.

    Returns what each model did on each suite, the words for what stopped it early (empty if
    nothing did) and the budget. Raises ValueError if another process evaluates into the folder.
    """
    with only_writer(
        plan.evaluation.folder, "wait for it, or choose another folder by --out"
    ):
        return _play_gaps(plan, arguments)


def _play_gaps(
    plan: GapPlan, arguments: argparse.Namespace
) -> tuple[list[ModelGap], str, Budget]:
    evaluation, threads = plan.evaluation, arguments.concurrency
    _announce_most(plan)
    stopped = ""
    with ExitStack() as stack:
        plays: dict[str, Rollouts] = {}
        for suite in evaluation.tasks:
            if suite.env not in plays:
                opened = Rollouts(
                    suite.env,
                    plan.long_limits,
                    sandbox=evaluation.evaluated.sandbox,
                    threads=threads,
                    workers=arguments.workers,
                )
                plays[suite.env] = stack.enter_context(opened)
        references = {
            suite: _references(plan, suite, plays[suite.env])
            for suite in evaluation.tasks
        }
        cells = {m.label: _cells(plan, m, references) for m in evaluation.models}
        budget = Budget(
            arguments.max_tokens,
            arguments.max_minutes,
            planned=_announce(plan, cells, threads),
            threads=threads,
        )

        divergence: dict[tuple[str, Suite], Mapping[str, float]] = {}
        for model in evaluation.models:
            if stopped:
                break
            try:
                numbers = _play_model(plan, cells[model.label], plays, budget, threads)
                divergence |= {(model.label, s): d for s, d in numbers.items()}
            except BudgetSpent as spent:
                stopped = str(spent)

    gaps = [
        _model_gap(evaluation, suite, model, references[suite], cells, divergence)
        for suite in evaluation.tasks
        for model in evaluation.models
    ]
    return gaps, stopped, budget


def _announce_most(plan: GapPlan) -> None:
    """Logs the cost before anything is played, as if nothing were on disk."""
    evaluation = plan.evaluation
    tasks = sum(map(len, evaluation.tasks.values()))
    episodes = tasks * evaluation.rollouts * len(plan.conditions)
    logger.info(
        "cost: at most %d episodes (%d tasks x %d x %d conditions: %s) of each of %d models, D of "
        "%d of them a suite, and %d random episodes without a model",
        episodes,
        tasks,
        evaluation.rollouts,
        len(plan.conditions),
        ", ".join(plan.conditions),
        len(evaluation.models),
        MAX_EPISODES,
        tasks * TRIES,
    )


def _announce(plan: GapPlan, cells: Mapping[str, Sequence[_Cell]], threads: int) -> int:
    """Logs what is on disk and how long the rest may take; returns the episodes to play."""
    evaluation = plan.evaluation
    left = Counter[str]()
    for of_model in cells.values():
        for cell in of_model:
            left[cell.suite.env] += len(_missing(evaluation, cell))
    planned = sum(
        len(cell.tasks(evaluation)) * evaluation.rollouts
        for of_model in cells.values()
        for cell in of_model
    )
    count = left.total()
    models = [f"{model.label} {model.name}" for model in evaluation.models]
    logger.info("models: %s", ", ".join(models))
    logger.info("episodes: %d to play, %d on disk", count, planned - count)
    logger.info("smallest difference that shows: %s", smallest_differences(evaluation))
    if count:
        logger.info("time: %s", expected_time(evaluation, left, threads))
    return count


def _references(plan: GapPlan, suite: Suite, play: Rollouts) -> list[TaskReferences]:
    evaluation = plan.evaluation
    tasks = evaluation.tasks[suite]
    about: list[object] = [evaluation.code[suite.env], evaluation.seed, TRIES]
    about += [[task.id, task.content_hash] for task in tasks]
    name = f"references-{_hash(about)}.jsonl"
    references = references_of(
        play,
        tasks,
        seed=evaluation.seed,
        path=plan.folder / "episodes" / name,
        description=f"random episodes, {suite}",
    )
    verified = [r for r in references if r.verified is not None]
    is_random = sum(reference.is_random for reference in references)
    logger.info(
        "references of %s: %d tasks have a random one, %d the oracle's, %d none",
        suite,
        is_random,
        len(verified) - is_random,
        len(references) - len(verified),
    )
    return references


def _cells(
    plan: GapPlan,
    model: EvaluatedModel,
    references: Mapping[Suite, Sequence[TaskReferences]],
) -> list[_Cell]:
    """The model's cells, suite by suite, in the order of the conditions."""
    evaluation = plan.evaluation
    config = evaluation.evaluated.config
    limits = config.shown_reference
    chat = Chat(load_tokenizer(model.folder), config.chat)
    cells: list[_Cell] = []
    for suite, of_tasks in references.items():
        path = evaluation.path(suite, model)
        for name in plan.conditions:
            # Episodes without a reference are those of `scgrpo eval`.
            if name == PLAIN:
                cells.append(_Cell(suite, model, name, [None] * len(of_tasks), path))
                continue
            conditions = conditions_of(name, of_tasks, chat, limits)
            # Other references are other episodes.
            texts: list[list[str]] = []
            if name != "guide":
                for episode in condition_episodes(name, of_tasks):
                    texts.append(
                        turn_texts(episode, limits.observation_chars) if episode else []
                    )
            digest = _hash([name, asdict(limits), texts])
            file = plan.folder / "episodes" / f"{path.stem}-{name}-{digest}.jsonl"
            cells.append(_Cell(suite, model, name, conditions, file))
    return cells


def _play_model(
    plan: GapPlan,
    cells: Sequence[_Cell],
    plays: Mapping[str, Rollouts],
    budget: Budget,
    threads: int,
) -> dict[Suite, Mapping[str, float]]:
    """Plays the cells of a model; returns the numbers of D by suite. Raises BudgetSpent."""
    evaluation = plan.evaluation
    own = [cell for cell in cells if cell.name == OWN]
    is_complete = not any(_missing(evaluation, cell) for cell in cells)
    if is_complete and all(_divergence_path(cell).exists() for cell in own):
        return {c.suite: json.loads(_divergence_path(c).read_text()) for c in own}

    evaluated = evaluation.evaluated
    config = replace(evaluated.config, limits=plan.long_limits)
    numbers: dict[Suite, Mapping[str, float]] = {}
    model = cells[0].model
    with open_policy(
        model, config, greedy=evaluation.greedy, concurrency=threads
    ) as policy:
        # A server is refused by the command line.
        assert isinstance(policy, HFPolicy)
        for cell in cells:
            _play_cell(evaluation, cell, policy, plays[cell.suite.env], budget)

        policy.sleep()
        for cell in own:
            plain = evaluation.episodes(cell.suite, model)
            numbers[cell.suite] = divergence_numbers(
                policy.model, policy.chat, plain, cell.conditions, evaluated.config
            )
            write_atomically(
                _divergence_path(cell), json.dumps(numbers[cell.suite]) + "\n"
            )
    return numbers


def _play_cell(
    evaluation: Evaluation,
    cell: _Cell,
    policy: HFPolicy,
    play: Rollouts,
    budget: Budget,
) -> None:
    conditions = by_seed(
        cell.suite,
        evaluation.tasks[cell.suite],
        cell.conditions,
        rollouts=evaluation.rollouts,
        seed=evaluation.seed,
    )
    conditioned = ConditionedPolicy(
        policy, policy.chat, evaluation.evaluated.limits, conditions
    )
    evaluate(
        conditioned,
        play,
        cell.suite,
        cell.tasks(evaluation),
        rollouts=evaluation.rollouts,
        seed=evaluation.seed,
        path=cell.path,
        description=f"{cell.model.label}, {cell.suite}, reference: {cell.name}",
        budget=budget,
    )


def _model_gap(
    evaluation: Evaluation,
    suite: Suite,
    model: EvaluatedModel,
    references: Sequence[TaskReferences],
    cells: Mapping[str, Sequence[_Cell]],
    divergence: Mapping[tuple[str, Suite], Mapping[str, float]],
) -> ModelGap:
    episodes: dict[str, Sequence[Sequence[Episode]]] = {}
    planned: dict[str, int] = {}
    for cell in cells[model.label]:
        if cell.suite == suite:
            # By all tasks, so that row i is the same task under every condition.
            episodes[cell.name] = read_saved(
                cell.path,
                suite,
                evaluation.tasks[suite],
                rollouts=evaluation.rollouts,
                seed=evaluation.seed,
            )
            planned[cell.name] = len(cell.tasks(evaluation)) * evaluation.rollouts
    numbers = divergence.get((model.label, suite), {})
    return ModelGap(suite, model, references, episodes, planned, numbers)


def _missing(evaluation: Evaluation, cell: _Cell) -> list[tuple[Task, int]]:
    """Task and sampling seed of each episode of the cell that is not on disk."""
    tasks = cell.tasks(evaluation)
    rollouts, seed = evaluation.rollouts, evaluation.seed
    saved = read_saved(cell.path, cell.suite, tasks, rollouts=rollouts, seed=seed)
    return missing_rollouts(saved, cell.suite, tasks, rollouts=rollouts, seed=seed)


def _divergence_path(cell: _Cell) -> Path:
    return cell.path.with_suffix(".divergence.json")


def _hash(about: object) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:8]
