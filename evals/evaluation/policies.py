"""The models of an evaluation as policies, and whether the run's budgets fit them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from jinja2 import TemplateError
from safetensors import SafetensorError

from envs.base import TextEnv
from evals.evaluation.models import EvaluatedModel, EvaluatedModels
from evals.evaluation.plan import Evaluation
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.load import load_model, load_tokenizer
from scgrpo.policies.chat import Chat
from scgrpo.policies.hf import HFPolicy
from scgrpo.policies.server import ServerPolicy
from scgrpo.preflight.openings import long_openings
from scgrpo.preflight.positions import check_positions
from scgrpo.training.causes import describe_long_prompt

__all__ = ["check_budgets", "open_policy", "warn_of_long_prompts"]

# Whatever transformers, safetensors and a chat template raise for a folder that is no model.
UNREADABLE = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    SafetensorError,
    TemplateError,
)

# One name for all parts of the command, which `to_terminal` prints.
logger = logging.getLogger("evals.run")


def check_budgets(evaluated: EvaluatedModels) -> None:
    """Raises ValueError for a budget of tokens beyond the positions of a model."""
    for model in evaluated.models:
        # Only a server knows its positions.
        if model.server is None:
            check_positions(model.folder, evaluated.limits, name=model.name)


def warn_of_long_prompts(evaluation: Evaluation, envs: Mapping[str, TextEnv]) -> None:
    """Logs, for each suite, the longest prompt that leaves a model no room for a turn.

    Such episodes are counted apart: an evaluation goes on with the others.
    """
    limits = evaluation.evaluated.limits
    # How long its prompts are, only an agent knows.
    if evaluation.evaluated.config.agent.command:
        return
    for model in evaluation.models:
        # Only a server knows how it counts.
        if model.server is not None:
            continue
        with _naming_unreadable(model.folder):
            tokenizer = load_tokenizer(model.folder)
            chat = Chat(tokenizer, evaluation.evaluated.config.chat)
        for suite, tasks in evaluation.tasks.items():
            for episode in long_openings(envs[suite.env], tasks, chat, limits):
                reason = describe_long_prompt(episode)
                logger.warning("%s on %s, %s", model.label, suite, reason)


@contextmanager
def open_policy(
    model: EvaluatedModel, config: TrainConfig, *, greedy: bool, concurrency: int = 32
) -> Iterator[HFPolicy | ServerPolicy]:
    """The model as a policy, on this machine's device or behind its server.

    Raises ValueError if it is unreadable, and if the server does not serve it.
    """
    temperature = 0.0 if greedy else 1.0
    if model.server is not None:
        variables = config.chat.variables()
        with ServerPolicy(
            model.server, temperature=temperature, template_variables=variables
        ) as policy:
            yield policy
        return

    # The run may have trained on a device that this machine does not have.
    config = replace(config, device="auto")
    with _naming_unreadable(model.folder):
        weights, tokenizer = load_model(model.folder, dtype=dtype_of(config))
        policy = HFPolicy(
            weights.to(device_of(config)),
            tokenizer,
            cache_tokens=config.limits.episode_tokens,
            temperature=temperature,
            slots=concurrency,
            chat_options=config.chat,
        )
    with policy:
        yield policy


@contextmanager
def _naming_unreadable(folder: Path) -> Iterator[None]:
    """Turns what a folder's files raise into a ValueError that names it."""
    try:
        yield
    except UNREADABLE as error:
        raise ValueError(
            f"cannot use the model {folder}: {error}. "
            "Save it again, or name another by --model or --base"
        ) from error
