"""The models that an evaluation puts side by side, and the settings that they play with.

They are found without torch, so that a wrong name is refused at once; `policies` loads them.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.mixtures.names import is_mixture, parse_mixture
from envs.rollout import Limits
from evals.evaluation.arguments import RUNS
from sandboxes import SandboxConfig
from scgrpo.config import TrainConfig
from scgrpo.models.sources.digest import weights_digest
from scgrpo.models.sources.folders import is_model, resolve_model
from scgrpo.runs import checkpoints
from scgrpo.runs import folders as runs
from scgrpo.runs.log import read_metrics
from scgrpo.settings import parse as settings

if TYPE_CHECKING:
    from scgrpo.policies.completions import Server

__all__ = ["EvaluatedModel", "EvaluatedModels", "find_models"]

BASE, WARM, TRAINED, ALONE = "base", "warm-started", "trained", "model"


@dataclass(frozen=True)
class EvaluatedModel:
    """A model of a report.

    | field | meaning |
    |---|---|
    | label | its heading in the report |
    | name | as the user named it |
    | folder | of its weights; of a served model a path that does not exist, to name files by |
    | server | who serves it; None for a model in a folder |
    """

    label: str
    name: str
    folder: Path
    server: Server | None = None

    def digest(self) -> str:
        """Hex SHA-256 over weights, settings and tokenizer: all that decides what it says.

        For a served model it covers address and name alone.
        """
        if self.server is not None:
            native = str(self.server.native_tools)
            parts = (self.server.base_url, self.server.model, native)
            return hashlib.sha256("\0".join(parts).encode()).hexdigest()

        return weights_digest(self.folder)


@dataclass(frozen=True)
class EvaluatedModels:
    """The models to evaluate, from the least to the most trained, and with what.

    | field | meaning |
    |---|---|
    | run | the run that they come from; None for a model of no run |
    | config | the run's settings, else the defaults |
    | levels | levels that the run trained on |
    """

    models: tuple[EvaluatedModel, ...]
    run: Path | None
    config: TrainConfig
    levels: tuple[int, ...]

    @property
    def limits(self) -> Limits:
        """Token budgets of an episode."""
        return self.config.limits

    @property
    def sandbox(self) -> SandboxConfig:
        """The sandboxes for untrusted code."""
        return self.config.sandbox

    def with_chat(self, pairs: Sequence[str]) -> EvaluatedModels:
        """The same with `key=value` settings of the chat template over the run's.

        Raises ValueError for settings that do not exist.
        """
        changes = [f"chat.{pair}" for pair in pairs]
        given = settings.read(TrainConfig, changes).chat
        names = {key.split(".")[1] for key in settings.given_keys(TrainConfig, changes)}
        values = {name: getattr(given, name) for name in names}
        chat = replace(self.config.chat, **values)
        return replace(self, config=replace(self.config, chat=chat))

    def with_agent(self, arguments: argparse.Namespace) -> EvaluatedModels:
        """The same with the agent that the arguments name over the run's.

        Raises ValueError for options without an agent, and for one with a served model.
        """
        changes = _agent_changes(arguments)
        agent = replace(self.config.agent, **changes)
        if changes and not agent.command:
            raise ValueError("the options of an agent need --agent COMMAND")
        if agent.command and any(model.server for model in self.models):
            raise ValueError(
                "got an agent and --base-url, expected a model in a folder: what an agent's calls "
                "sample is recorded as token ids, which servers of others do not give"
            )
        return replace(self, config=replace(self.config, agent=agent))

    def with_limits(self, arguments: argparse.Namespace) -> EvaluatedModels:
        """The same with the token budgets that the arguments name over the run's.

        Raises ValueError for a turn that is longer than an episode.
        """
        names = ("turn_tokens", "episode_tokens")
        budgets = {name: getattr(arguments, name) for name in names}
        budgets = {name: value for name, value in budgets.items() if value}
        limits = replace(self.config.limits, **budgets)
        if limits.turn_tokens > limits.episode_tokens:
            raise ValueError(
                f"a turn may have {limits.turn_tokens} tokens and an episode "
                f"{limits.episode_tokens}: raise --episode-tokens, or lower --turn-tokens"
            )
        return replace(self, config=replace(self.config, limits=limits))


def _agent_changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of an agent that the arguments name."""
    changes = {
        "command": arguments.agent,
        "parallel": arguments.agent_parallel,
        "timeout_s": arguments.agent_timeout,
        "own_sampling": arguments.agent_own_sampling,
    }
    return {name: value for name, value in changes.items() if value}


def find_models(
    model: str = "", base: str = "", run: str = "", *, server: Server | None = None
) -> EvaluatedModels:
    """Base, warm-started and trained model of a run; of other models base and model.

    A served model stands alone, after `base`, with the settings of `run`.

    `run` is a folder or a name in `runs/`; without it `model` may be one, or a checkpoint in one.
    With neither it is the newest run. Raises ValueError that says what to do.
    """
    if server is not None:
        return _models_of_server(
            server, base, runs.find_run(RUNS, run) if run else None
        )

    folder = runs.find_run(RUNS, run) if run else _run_of(model)
    if folder is None:
        alone = [EvaluatedModel(ALONE, model, resolve_model(model))]
        if base:
            alone.insert(0, EvaluatedModel(BASE, base, resolve_model(base)))
        return EvaluatedModels(tuple(alone), None, TrainConfig(), ())

    # `model` is the run, one of its checkpoints, or with `run` any other model.
    config = settings.load(TrainConfig, folder / runs.CONFIG)
    if not model or _as_run(model) == folder:
        trained = _newest_checkpoint(folder)
    else:
        trained = resolve_model(model)

    base = base or config.model
    evaluated = [EvaluatedModel(BASE, base, resolve_model(base))]
    warm = folder / "warm_start"
    if is_model(warm):
        evaluated.append(EvaluatedModel(WARM, str(warm), warm.resolve()))
    evaluated.append(EvaluatedModel(TRAINED, str(trained), trained))

    levels = _levels_of_training(folder, config)
    return EvaluatedModels(tuple(evaluated), folder, config, levels)


def _models_of_server(server: Server, base: str, run: Path | None) -> EvaluatedModels:
    if not server.model:
        from scgrpo.policies.server import model_names

        names = model_names(server)
        if len(names) != 1:
            listed = ", ".join(names[:20]) or "none"
            raise ValueError(
                f"{server.base_url} serves {listed}: name one by --model-name"
            )
        server = replace(server, model=names[0])

    # No weights are read: the path only names the files of the report.
    slug = re.sub(r"[^A-Za-z0-9]+", "-", server.model).strip("-")
    name = f"{server.model} at {server.base_url}"
    evaluated = [EvaluatedModel(ALONE, name, Path(slug), server)]
    if base:
        evaluated.insert(0, EvaluatedModel(BASE, base, resolve_model(base)))

    if run is None:
        return EvaluatedModels(tuple(evaluated), None, TrainConfig(), ())
    config = settings.load(TrainConfig, run / runs.CONFIG)
    levels = _levels_of_training(run, config)
    return EvaluatedModels(tuple(evaluated), run, config, levels)


def _run_of(model: str) -> Path | None:
    """The run that `model` is, or is a checkpoint of; the newest for ""; None for another model."""
    if not model:
        return runs.newest_run(RUNS)
    if run := _as_run(model):
        return run
    folder = Path(model).expanduser()
    if folder.parent.name == "checkpoints":
        return _as_run(str(folder.parent.parent))
    return None


def _as_run(name: str) -> Path | None:
    """The run with that folder or name; None if there is none, or it has no settings."""
    try:
        run = runs.find_run(RUNS, name)
    except ValueError:
        return None
    return run if (run / runs.CONFIG).is_file() else None


def _newest_checkpoint(run: Path) -> Path:
    newest = checkpoints.latest(run / "checkpoints")
    if newest is None:
        raise ValueError(
            f"the run {run} has no whole checkpoint yet: wait for its first, continue with "
            "`scgrpo train resume=true`, or name a model by --model"
        )
    return newest


def _levels_of_training(run: Path, config: TrainConfig) -> tuple[int, ...]:
    """The first level, and those that later steps moved to.

    A step's line in the metrics holds the level of the step after it; of a mixture that of each
    part.
    """
    parts = parse_mixture(config.env) if is_mixture(config.env) else ()
    firsts = [part.levels or config.levels for part in parts] or [config.levels]
    levels = {min(first, default=0) for first in firsts}
    keys = [f"env/{part.name}/level" for part in parts] or ["level"]
    rows = read_metrics(run / "metrics.jsonl")
    for row in rows[:-1]:
        levels.update(int(row[key]) for key in keys if row.get(key) is not None)
    return tuple(sorted(levels))
