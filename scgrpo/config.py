"""Every setting of a training run, with its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from envs.rollout import Limits
from sandboxes import SandboxConfig
from scgrpo.algorithms.presets import Algorithm
from scgrpo.algorithms.registry import find_algorithm
from scgrpo.credit import (
    CreditOptions,
    ReferenceLimits,
    SelfConditioned,
    reads_references,
)
from scgrpo.models.load import default_device, default_dtype
from scgrpo.settings.help import markdown
from scgrpo.training.optimizer import AdamKind

__all__ = [
    "EngineConfig",
    "LoraConfig",
    "TrainConfig",
    "ValidationConfig",
    "WarmStartConfig",
]


@dataclass(frozen=True)
class WarmStartConfig:
    """The short supervised stage that teaches the tool format and leaves the solution to RL.

    | field | meaning |
    |---|---|
    | mode | `auto` runs it where the measured starting success is under `below`; or always, never |
    | below | starting success under which `auto` runs it |
    | measure_episodes | episodes that measure the starting success |
    | episodes | episodes of the environment's random but well-formed policy to learn from |
    | steps | optimizer steps over them |
    | tasks_per_step | tasks in a step, with all of their episodes |
    | lr | peak learning rate |
    """

    mode: Literal["auto", "always", "never"] = "auto"
    below: float = 0.10
    measure_episodes: int = 32
    episodes: int = 240
    steps: int = 30
    tasks_per_step: int = 2
    lr: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("measure_episodes", "episodes", "steps", "tasks_per_step"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"warm_start.{name} must be at least 1, got {getattr(self, name)}"
                )
        if not self.lr > 0:
            raise ValueError(f"warm_start.lr must be positive, got {self.lr}")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters instead of full training.

    | field | meaning |
    |---|---|
    | rank | 0 trains every weight; else the rank of the adapters on all linear layers |
    | alpha | their scale, times 1 / rank |
    """

    rank: int = 0
    alpha: int = 32

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ValueError(
                f"lora.rank must be 0 (no adapters) or more, got {self.rank}"
            )


@dataclass(frozen=True)
class EngineConfig:
    """Who samples the episodes; vLLM's are corrected by truncated importance sampling.

    | field | meaning |
    |---|---|
    | kind | `hf`: the model itself; `vllm`: vLLM in this process; `vllm_server`: one at base_url |
    | base_url | of the server, up to `/v1`; see docs/vllm.md for how to start it |
    | options | arguments of vLLM's engine, such as engine.options.gpu_memory_utilization=0.4 |
    | importance_cap | a token is scaled by trainer's over engine's probability, at most so much |
    """

    kind: Literal["hf", "vllm", "vllm_server"] = "hf"
    base_url: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    importance_cap: float = 2.0

    def __post_init__(self) -> None:
        if (self.kind == "vllm_server") != bool(self.base_url):
            raise ValueError(
                f"engine.base_url and engine.kind=vllm_server belong together, got "
                f"{self.base_url!r} and {self.kind}"
            )
        if self.options and self.kind != "vllm":
            raise ValueError(f"engine.options are vLLM's, got engine.kind={self.kind}")
        if not self.importance_cap > 0:
            raise ValueError(
                f"engine.importance_cap must be positive, got {self.importance_cap}"
            )


@dataclass(frozen=True)
class ValidationConfig:
    """Evaluation during training, on `id` and every `ood/<shift>` at the level trained on.

    | field | meaning |
    |---|---|
    | every | steps between two; 0: none. Its best step by `id` is kept as `checkpoints/best` |
    | tasks | tasks of each split, one episode each |
    """

    every: int = 0
    tasks: int = 32

    def __post_init__(self) -> None:
        if self.every < 0 or self.tasks < 1:
            raise ValueError(
                "wanted validation.every of 0 or more and validation.tasks of 1 or more, "
                f"got {self.every} and {self.tasks}"
            )


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    | field | meaning |
    |---|---|
    | env | environment: an alias (`swe_lite`), `module:namespace/name` or `namespace/name` |
    | algo | a name of docs/algorithms.md (sc_grpo, grpo, dapo, gspo, gigpo, opsd, ...), or |
    | | `module:NAME`, an `Algorithm` of your own |
    | teacher | another model of the same tokenizer to learn from, for algo=opd |
    | model | `auto` (SmolLM2-135M-Instruct), a folder, or a Hugging Face id |
    | seed | of tasks, sampling and references |
    | steps | optimizer steps |
    | tasks_per_step | tasks in a step; each makes one group |
    | group | episodes of each task |
    | optimizer | `adamw`: moments in fp32; `adamw_8bit`: in 8 bits, by bitsandbytes |
    | lr | peak learning rate, after a linear warm-up |
    | warmup_steps | steps of that warm-up |
    | max_grad_norm | the gradient is clipped to this norm |
    | pack_tokens | most tokens in one forward and backward pass; bounds the memory |
    | activation_checkpointing | compute activations again in the backward pass: less memory, more |
    | | time |
    | levels | levels the controller may use; empty: all of the environment's |
    | limits | token budgets of an episode |
    | reference | how much of a reference episode the teacher is shown |
    | credit | options of self-conditioned credit |
    | engine | who samples the episodes |
    | warm_start | the supervised stage before RL |
    | validation | evaluation during training |
    | lora | low-rank adapters |
    | sandbox | where untrusted code runs |
    | device | `auto` takes a GPU where there is one |
    | dtype | of the forward pass; `auto` is bfloat16 where the processor has it |
    | runs | folder that holds the runs |
    | name | of this run; empty: the date and time |
    | save_every | steps between checkpoints |
    | keep | newest checkpoints to keep |
    | tracker | where metrics go beside the run folder: a package that is installed |
    | plan | print what the run would cost, and stop |
    | resume | go on with the run `name` (empty: the newest) from its last checkpoint |
    """

    env: str = "swe_lite"
    algo: str = "sc_grpo"
    teacher: str = ""
    model: str = "auto"
    seed: int = 0
    steps: int = 28
    tasks_per_step: int = 4
    group: int = 8
    optimizer: AdamKind = "adamw"
    lr: float = 3e-5
    warmup_steps: int = 2
    max_grad_norm: float = 1.0
    pack_tokens: int = 4096
    activation_checkpointing: bool = False
    levels: tuple[int, ...] = ()
    limits: Limits = field(
        default_factory=lambda: Limits(turn_tokens=48, episode_tokens=640)
    )
    reference: ReferenceLimits = field(default_factory=ReferenceLimits)
    credit: CreditOptions = field(default_factory=CreditOptions)
    engine: EngineConfig = field(default_factory=EngineConfig)
    warm_start: WarmStartConfig = field(default_factory=WarmStartConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    runs: Path = Path("runs")
    name: str = ""
    save_every: int = 10
    keep: int = 2
    tracker: Literal["none", "trackio", "wandb"] = "none"
    plan: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        algorithm = self.algorithm()
        distill = algorithm.distill
        wanted = distill is not None and distill.teacher == "model"
        if wanted != bool(self.teacher):
            raise ValueError(
                f"algo={self.algo} learns from another model: give teacher=MODEL"
                if wanted
                else f"teacher={self.teacher} has no effect with algo={self.algo}; use algo=opd"
            )
        shown = reads_references(algorithm.credit) or (
            distill is not None and not wanted
        )
        if not shown and self.reference != ReferenceLimits():
            raise ValueError(
                f"reference.* has no effect with algo={self.algo}, whose teacher is shown nothing; "
                "use algo=sc_grpo"
            )
        for name in ("steps", "tasks_per_step", "pack_tokens", "save_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        if self.group < 2:
            raise ValueError(
                f"group must be at least 2, to compare episodes, got {self.group}"
            )
        for name in ("lr", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")

    def algorithm(self) -> Algorithm:
        """The algorithm that `algo` names, with this run's credit options over its own.

        Raises ValueError for an unknown name, and for credit options that it would ignore.
        """
        algorithm = find_algorithm(self.algo)
        usual = CreditOptions()
        if self.credit == usual:
            return algorithm
        if not isinstance(algorithm.credit, SelfConditioned):
            raise ValueError(
                f"credit.* has no effect with algo={self.algo}; use algo=sc_grpo"
            )
        given = {k: v for k, v in vars(self.credit).items() if v != getattr(usual, k)}
        options = replace(algorithm.credit.options, **given)
        return replace(algorithm, credit=replace(algorithm.credit, options=options))

    def torch_device(self) -> torch.device:
        """The device that `device` means here. Raises ValueError where there is none."""
        if self.device == "auto":
            return default_device()
        try:
            return torch.empty(0, device=self.device).device
        except (RuntimeError, AssertionError) as error:
            why = str(error).splitlines()[0]
            raise ValueError(
                f"device={self.device} cannot be used here: {why}"
            ) from error

    def torch_dtype(self) -> torch.dtype:
        """The type of the forward pass that `dtype` means here."""
        if self.dtype == "auto":
            return default_dtype(self.torch_device())
        return torch.bfloat16 if self.dtype == "bfloat16" else torch.float32


if __name__ == "__main__":
    print(f"# Settings of `python -m scgrpo.train`\n\n{markdown(TrainConfig)}", end="")
