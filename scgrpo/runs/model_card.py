"""The card of an exported model: what it is, how it was trained, what was measured on it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scgrpo.config import TrainConfig
from scgrpo.runs.folders import CONFIG
from scgrpo.runs.markdown import markdown_text
from scgrpo.settings import parse as settings

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

__all__ = ["Weights", "base_on_hub", "card"]

CURVE_POINTS = 8
NOT_IN_CARD = ("env", "runs", "name", "resume")


@dataclass(frozen=True)
class Weights:
    """What a card says of an exported folder's weights.

    | field | meaning |
    |---|---|
    | about | a sentence on adapters; empty if the run trained the whole model |
    | base | the model that the folder needs, or was made from; empty if it has no public name |
    | library | what loads the folder |
    """

    about: str = ""
    base: str = ""
    library: str = "transformers"


def card(run: Path, step: int, weights: Weights | None = None) -> ModelCard:
    """What the model is, how it was trained and what was measured on it."""
    from huggingface_hub import ModelCard, ModelCardData

    from scgrpo.runs import checkpoints
    from scgrpo.runs.log import METRICS, VALIDATION, read_metrics

    weights = weights or Weights(base=base_on_hub(run))
    # The run may have gone on since: the card tells of this checkpoint's steps alone.
    config = settings.load(TrainConfig, run / CONFIG)
    rows = [row for row in read_metrics(run / METRICS) if row["step"] <= step]
    validation = [row for row in read_metrics(run / VALIDATION) if row["step"] == step]
    about = ModelCardData(
        library_name=weights.library,
        pipeline_tag="text-generation",
        tags=["reinforcement-learning", config.algo, "scgrpo"],
        base_model=weights.base or None,
    )
    held_out = ["Not measured: `validation.every` was 0."]
    if validation:
        held_out = _validation_table(validation[-1])
    title = markdown_text(f"{config.algo} on {config.env}")
    model = markdown_text(config.model)
    lines = [
        f"# {title}",
        "",
        f"Step {step} of {config.max_steps} of a run of `scgrpo`, from model={model}, "
        f"seed {config.seed}.",
        *(["", weights.about] if weights.about else []),
        "",
        f"    scgrpo train {_arguments(config)}",
        "",
        _budgets(config, checkpoints.step_folder(run / "checkpoints", step)),
        "",
        "## Success of the training episodes",
        "",
        *_curve(rows),
        "",
        "## Success on held-out tasks during training",
        "",
        *held_out,
    ]
    return ModelCard(f"---\n{about.to_yaml()}\n---\n\n" + "\n".join(lines) + "\n")


def _budgets(config: TrainConfig, folder: Path) -> str:
    """The budgets of tokens that the model was trained with, against its positions."""
    from scgrpo.models.load import load_config
    from scgrpo.models.sources.folders import is_model
    from scgrpo.preflight.positions import max_positions

    limits = config.limits
    sentence = (
        f"Episodes had at most {limits.episode_tokens} tokens, prompt and replies included, and "
        f"turns {limits.turn_tokens}."
    )
    # Old steps are deleted, and their cards can be asked for still.
    if not is_model(folder):
        return sentence
    positions = max_positions(load_config(folder))
    if positions is None:
        return f"{sentence} The model has no limit of positions."
    if positions < limits.episode_tokens:
        return (
            f"{sentence} That is beyond the {positions} positions of the model: longer inputs "
            "than those are not reliable."
        )
    return f"{sentence} The model has {positions} positions."


def base_on_hub(run: Path) -> str:
    """The hub's name of the model that the run was started with; empty if it has none."""
    from scgrpo.models.sources.folders import DEFAULT_REPOSITORY

    model = settings.load(TrainConfig, run / CONFIG).model
    if model == "auto":
        return DEFAULT_REPOSITORY
    # A path says nothing on another machine.
    is_path = Path(model).expanduser().exists() or model.startswith((".", "/", "~"))
    return "" if is_path or model.count("/") != 1 else model


def _arguments(config: TrainConfig) -> str:
    """Every setting that is not the default."""
    values = settings.flat(config)
    defaults = settings.flat(TrainConfig())
    arguments = [f"env={config.env}"]
    for key, value in values.items():
        is_default = value == defaults[key]
        if is_default or key in NOT_IN_CARD:
            continue
        text = _argument_text(value)
        arguments.append(f"{key}={text}")
    return shlex.join(arguments)


def _argument_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _curve(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The mean success of up to CURVE_POINTS parts of the run, as a table."""
    if not rows:
        return ["No step was finished."]

    lines = ["| steps | success |", "|---|--:|"]
    size = math.ceil(len(rows) / CURVE_POINTS)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        first = part[0]["step"]
        last = part[-1]["step"]
        # A step without a verdict has no success.
        success = [row["episodes/success"] for row in part]
        rates = [rate for rate in success if rate is not None]
        cell = "-"
        if rates:
            mean = sum(rates) / len(rates)
            cell = f"{100 * mean:.0f} %"
        lines.append(f"| {first}-{last} | {cell} |")
    return lines


def _validation_table(row: dict[str, Any]) -> list[str]:
    lines = ["| split | success |", "|---|--:|"]
    for name, value in row.items():
        if name.startswith("validation/") and value is not None:
            split = name.removeprefix("validation/")
            lines.append(f"| {markdown_text(split)} | {100 * value:.1f} % |")
    return lines
