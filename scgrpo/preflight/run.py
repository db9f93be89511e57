"""What cannot work in a run is refused before it costs anything: no weights, no run folder."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from envs import registry
from envs.base import TextEnv
from scgrpo.agents.config import check_agent
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import TrainConfig
from scgrpo.credit.options import ReferenceLimits
from scgrpo.credit.rule import reads_references
from scgrpo.models.load import check_rows, load_config, load_tokenizer
from scgrpo.models.sources.folders import is_adapter, resolve_model
from scgrpo.policies.chat import Chat
from scgrpo.preflight.adapters import check_adapters
from scgrpo.preflight.ahead import check_ahead
from scgrpo.preflight.openings import check_gold_prompts, check_openings
from scgrpo.preflight.positions import check_positions
from scgrpo.preflight.workers import check_workers
from scgrpo.teachers.prompt_ids import solution_of

__all__ = ["check_run", "shown_reference"]


def check_run(
    config: TrainConfig, start: Path | None = None, *, processes: int = 1
) -> None:
    """Raises ValueError if the model, its teacher or the tasks cannot keep to the run's budgets.

    It reads configurations, the tokenizer, and the longest prompts of the training tasks. A run
    that goes on is checked with `start`, what it goes on from. `processes` share its work.
    """
    reference = shown_reference(config)
    folder = start or resolve_model(config.model)
    check_workers(config.rollout_workers, processes=processes)
    check_ahead(config, folder, processes)
    check_adapters(folder, config)
    check_positions(folder, config.limits, reference, name=config.model)
    if config.teacher:
        teacher = resolve_model(config.teacher)
        check_positions(teacher, config.limits, name=f"teacher={config.teacher}")

    tokenizer = load_tokenizer(folder)
    # An adapter may bring rows of its own, so that its base's number says nothing.
    if not is_adapter(folder) and (rows := _rows(folder)):
        check_rows(folder, rows, tokenizer)
    chat = Chat(tokenizer, config.chat)
    env = registry.make(config.env).unwrapped
    # What is no environment of ours is refused by the rollouts, with what was expected.
    if not isinstance(env, TextEnv):
        return
    with closing(env):
        levels = [level for level in config.levels if level in env.levels]
        levels = levels or list(env.levels[:1])
        check_agent(config.agent, env, config.env)
        # How long its prompts are, only the agent knows.
        if config.agent.command:
            return
        later = [] if config.levels else list(env.levels[1:])
        check_openings(env, levels, later, chat, config.limits, reference)
        distill = algorithm_of(config).distill
        if distill is not None and distill.teacher == "gold":
            solution = solution_of(env)
            check_gold_prompts(
                env, levels, chat, config.limits, config.shown_reference, solution
            )


def _rows(folder: Path) -> int:
    """Rows of the model's embedding, as its configuration states them; 0 if it does not."""
    text = load_config(folder).get_text_config(decoder=True)
    return getattr(text, "vocab_size", None) or 0


def shown_reference(config: TrainConfig) -> ReferenceLimits | None:
    """How much a teacher is shown; None if the algorithm shows it no episode."""
    algorithm = algorithm_of(config)
    distill = algorithm.distill
    is_shown = reads_references(algorithm.credit)
    is_shown |= distill is not None and distill.teacher != "model"
    return config.shown_reference if is_shown else None
