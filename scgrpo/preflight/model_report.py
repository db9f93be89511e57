"""What the project can do with a model, and what to set for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from safetensors import SafetensorError
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.load import load_config, load_model, load_tokenizer
from scgrpo.models.paths import choose_path
from scgrpo.models.sources.folders import resolve_model
from scgrpo.policies.chat import Chat
from scgrpo.preflight.adapters import check_adapters
from scgrpo.preflight.memory import (
    available_memory_mib,
    model_size,
    peak_memory_mib,
    sampling_memory_mib,
)
from scgrpo.preflight.positions import budgets_beyond, max_positions
from scgrpo.preflight.run import shown_reference

__all__ = ["ModelReport", "model_report"]

THINKING_TURN = 1024
# What transformers, safetensors and a trial pass raise for weights that cannot be used.
UNUSABLE = (ValueError, OSError, RuntimeError, KeyError, SafetensorError)


@dataclass
class ModelReport:
    """What is known of a model; JSON-able.

    | field | meaning |
    |---|---|
    | name, folder | as the user named it, and where its files are |
    | architecture | its class |
    | parameters | how many; None if transformers cannot build it |
    | template | how tools reach the model: `native` by its template, or `text` |
    | call_format, thinking, system_role, end_tokens | see `Chat.describe` |
    | tokens, rows | tokens of the tokenizer, rows of the embedding |
    | positions | the longest input; None for a model without a limit |
    | budgets | settings of budgets, in tokens |
    | path | `packed`, `plain`, or empty if the model cannot be loaded |
    | gap | the largest difference of a log-probability from the model's own forward; None unknown |
    | reason | why the path is that one |
    | sampling_mib, training_mib | memory at full budgets |
    | available_mib | memory that is free here |
    | settings | what to set: `key=value` -> why |
    | problems | what stops a run |
    """

    name: str
    folder: str
    architecture: str
    parameters: int | None = None
    template: str = ""
    call_format: str = ""
    thinking: str = ""
    system_role: bool | None = None
    end_tokens: list[str] = field(default_factory=list)
    tokens: int = 0
    rows: int | None = None
    positions: int | None = None
    budgets: dict[str, int] = field(default_factory=dict)
    path: str = ""
    gap: float | None = None
    reason: str = ""
    sampling_mib: float | None = None
    training_mib: float | None = None
    available_mib: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def model_report(config: TrainConfig) -> ModelReport:
    """What is known of `config.model`, measured with the settings of a run.

    Raises ValueError for a model that does not exist, or has no readable configuration or
    tokenizer. Whatever else is wrong stands in the report.
    """
    folder = resolve_model(config.model)
    about = load_config(folder)
    tokenizer = load_tokenizer(folder)
    architectures = getattr(about, "architectures", None) or [type(about).__name__]
    report = ModelReport(config.model, str(folder), architectures[0])

    try:
        check_adapters(folder, config)
    except ValueError as error:
        report.problems.append(str(error))
    _add_chat(report, config, tokenizer)
    _add_budgets(report, config, about)
    _add_memory(report, config, about)
    _add_path(report, config, folder)
    report.tokens = len(tokenizer)
    return report


def _add_chat(
    report: ModelReport, config: TrainConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    try:
        chat = Chat(tokenizer, config.chat)
    except ValueError as error:
        report.problems.append(str(error))
        return
    about = chat.describe()
    report.template = "native" if chat.has_native_tools else "text"
    report.call_format = about["call_format"]
    report.thinking = about["thinking"]
    report.system_role = about["system_role"]
    report.end_tokens = about["end_tokens"]

    # A thought is written within the turn's tokens.
    turn = config.limits.turn_tokens
    if not chat.thinks or turn >= THINKING_TURN:
        return
    why = f"it may think before it answers, and a turn has limits.turn_tokens={turn}"
    if "enable_thinking" not in str(tokenizer.chat_template):
        report.settings[f"limits.turn_tokens={THINKING_TURN}"] = why
    elif config.chat.enable_thinking is not False:
        report.settings["chat.enable_thinking=false"] = why


def _add_budgets(
    report: ModelReport, config: TrainConfig, about: PretrainedConfig
) -> None:
    reference = shown_reference(config)
    report.budgets = {"limits.episode_tokens": config.limits.episode_tokens}
    if reference is not None:
        report.budgets["reference.input_tokens"] = reference.input_tokens
    report.positions = max_positions(about)
    if report.positions is None:
        return
    beyond = budgets_beyond(report.positions, config.limits, reference)
    for setting, tokens in beyond.items():
        why = f"{tokens} goes beyond the model's {report.positions} positions"
        report.settings[f"{setting}={report.positions}"] = why
        report.problems.append(f"{setting}={why}")


def _add_memory(
    report: ModelReport, config: TrainConfig, about: PretrainedConfig
) -> None:
    report.available_mib = available_memory_mib(device_of(config))
    try:
        size = model_size(about, config.lora.rank)
    except (ValueError, AttributeError, ImportError) as error:
        report.problems.append(f"transformers cannot build the model: {error}")
        return
    report.parameters = size.parameters
    report.sampling_mib = sampling_memory_mib(config, size)
    report.training_mib = peak_memory_mib(config, size)
    if report.training_mib > report.available_mib:
        report.settings |= _smaller(config, about, report)


def _smaller(
    config: TrainConfig, about: PretrainedConfig, report: ModelReport
) -> dict[str, str]:
    """The settings with which training takes less memory, each by itself."""
    choices = {
        "activation_checkpointing=true": replace(config, activation_checkpointing=True),
        "lora.rank=16": replace(config, lora=replace(config.lora, rank=16)),
    }
    before = report.training_mib or 0.0
    settings: dict[str, str] = {}
    for setting, changed in choices.items():
        after = peak_memory_mib(changed, model_size(about, changed.lora.rank))
        if after < before:
            settings[setting] = (
                f"training takes about {after / 1024:.1f} GiB then, not {before / 1024:.1f}; "
                f"{report.available_mib / 1024:.1f} are free"
            )
    return settings


def _add_path(report: ModelReport, config: TrainConfig, folder: Path) -> None:
    """How the model is run, by one trial pass; its weights are loaded for that."""
    try:
        model, _ = load_model(folder, dtype=dtype_of(config))
        report.rows = int(model.get_input_embeddings().weight.shape[0])
        path = choose_path(model.to(device_of(config)))
    except UNUSABLE as error:
        report.problems.append(f"the model cannot be used: {error}")
        return
    report.path, report.gap, report.reason = path.kind, path.gap, path.reason
