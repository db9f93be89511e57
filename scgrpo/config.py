"""`scgrpo settings`: every setting of a training run, with its default.

Settings are plain values: this module imports no torch and none of what a run is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from envs.rollout import Limits
from sandboxes import SandboxConfig
from scgrpo.algorithms.names import check_name
from scgrpo.credit.options import CreditOptions, ReferenceLimits
from scgrpo.policies.chat_options import ChatOptions

__all__ = [
    "EngineConfig",
    "LoraConfig",
    "TrainConfig",
    "ValidationConfig",
    "WarmStartConfig",
    "main",
]


@dataclass(frozen=True)
class WarmStartConfig:
    """The short supervised stage that teaches the format and leaves the solution to RL.

    | field | meaning |
    |---|---|
    | mode | `auto` runs it if the measured starting success is too low; or always, never |
    | success_threshold | starting success under which `auto` runs it |
    | measure_episodes | episodes that measure the starting success |
    | episodes | episodes of the environment's random but well-formed policy to learn from |
    | steps | optimizer steps over them |
    | tasks_per_step | tasks in a step, with all of their episodes |
    | lr | peak learning rate |
    | references | teach to read references too, with as many tasks again in a step: `auto` if |
    | | `algo` shows any to a teacher; or always, never |
    """

    mode: Literal["auto", "always", "never"] = "auto"
    success_threshold: float = 0.10
    measure_episodes: int = 32
    episodes: int = 240
    steps: int = 30
    tasks_per_step: int = 2
    lr: float = 1e-4
    references: Literal["auto", "always", "never"] = "auto"

    def __post_init__(self) -> None:
        counts = ("measure_episodes", "episodes", "steps", "tasks_per_step")
        values = {f"warm_start.{name}": getattr(self, name) for name in counts}
        _check_at_least(1, **values)
        _check_positive(**{"warm_start.lr": self.lr})


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
    """What samples the episodes.

    vLLM's, and those of `ahead=1`, are corrected by truncated importance sampling.

    | field | meaning |
    |---|---|
    | kind | `hf`: the model itself; `vllm`: vLLM in this process; `vllm_server`: one at base_url |
    | base_url | of the server, up to `/v1`; see docs/vllm.md for how to start it |
    | options | arguments of vLLM's engine, such as engine.options.gpu_memory_utilization=0.4 |
    | importance_cap | a token is scaled by its probability in the update over the one that it was |
    | | sampled with, up to this |
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
        _check_positive(**{"engine.importance_cap": self.importance_cap})


@dataclass(frozen=True)
class ValidationConfig:
    """Evaluation during training, on `id` and every `ood/<shift>` at the level trained on.

    | field | meaning |
    |---|---|
    | every | steps between two; 0: none. The best step by `id` is kept as `checkpoints/best` |
    | tasks | tasks of each split, one episode each |
    """

    every: int = 0
    tasks: int = 32

    def __post_init__(self) -> None:
        if self.every < 0 or self.tasks < 1:
            raise ValueError(
                "validation.every must be at least 0 and validation.tasks at least 1, "
                f"got {self.every} and {self.tasks}"
            )


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    | field | meaning |
    |---|---|
    | env | environment: an alias (`swe_lite`), `module:namespace/name` or `namespace/name` |
    | algo | a name that `algo.help` lists (sc_grpo, grpo, dapo, contrastive, gigpo, opsd, ...), |
    | | or `module:NAME`, an `Algorithm` of your own |
    | teacher | another model of the same tokenizer to learn from, for algo=opd |
    | model | `auto` (SmolLM2-135M-Instruct), a folder, or a Hugging Face id |
    | seed | seeds the draws of tasks, tokens and references |
    | max_steps | optimizer steps |
    | tasks_per_step | tasks in a step; each makes one group |
    | group_size | episodes of each task |
    | ahead | 1 plays the next step's first groups while a step learns: of weights up to one |
    | | version old, corrected by importance weights, and at the level from before the step; |
    | | 0 plays them after it |
    | optimizer | `adamw`: moments in fp32; `adamw_8bit`: in 8 bits, by bitsandbytes |
    | lr | peak learning rate, after a linear warm-up |
    | warmup_steps | steps of the learning rate's warm-up |
    | max_grad_norm | the gradient is clipped to this norm |
    | max_tokens_per_pack | tokens in one forward and backward pass; bounds the memory |
    | activation_checkpointing | compute activations again in the backward pass: less memory, more |
    | | time |
    | levels | levels that the curriculum may use; empty: all of the environment's |
    | limits | token budgets of an episode |
    | chat | what the model's chat template is given |
    | reference | how much of a reference episode the teacher is shown |
    | credit | options of credit rules; `docs/algorithms.md` says which rule reads which |
    | engine | what samples the episodes |
    | warm_start | the supervised stage before RL |
    | validation | evaluation during training |
    | lora | low-rank adapters |
    | sandbox | where untrusted code runs |
    | device | `auto` takes a GPU if there is one |
    | dtype | of the forward pass; `auto` is bfloat16 if the processor has it |
    | runs | folder that holds the runs |
    | name | the run's name; empty: the date and time |
    | save_every | steps between checkpoints |
    | keep_checkpoints | how many of the newest are kept |
    | stop_grace_s | seconds that an update may take on after SIGTERM; then it is given up |
    | tracker | where metrics go besides the run folder: an installed package |
    | profile | measure seconds and tokens of each stage of a step: in the metrics, printed at |
    | | the end, in the report |
    | plan | print what the run would cost, and stop |
    | resume | continue the run `name` (empty: the newest) from its last checkpoint |
    """

    env: str = "swe_lite"
    algo: str = "sc_grpo"
    teacher: str = ""
    model: str = "auto"
    seed: int = 0
    max_steps: int = 28
    tasks_per_step: int = 4
    group_size: int = 8
    ahead: int = 0
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    lr: float = 3e-5
    warmup_steps: int = 2
    max_grad_norm: float = 1.0
    max_tokens_per_pack: int = 1024
    activation_checkpointing: bool = False
    levels: tuple[int, ...] = ()
    limits: Limits = field(
        default_factory=lambda: Limits(turn_tokens=48, episode_tokens=640)
    )
    chat: ChatOptions = field(default_factory=ChatOptions)
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
    keep_checkpoints: int = 2
    stop_grace_s: float = 25.0
    tracker: Literal["none", "trackio", "wandb"] = "none"
    profile: bool = False
    plan: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        # Whether the algorithm can use the other settings is `algorithm_of`'s to say: that takes
        # torch, and settings are read by commands that never load it.
        check_name(self.algo)
        _check_at_least(
            1,
            tasks_per_step=self.tasks_per_step,
            max_steps=self.max_steps,
            max_tokens_per_pack=self.max_tokens_per_pack,
            save_every=self.save_every,
            keep_checkpoints=self.keep_checkpoints,
        )
        if self.group_size < 2:
            raise ValueError(
                f"group_size must be at least 2, to compare episodes, got {self.group_size}"
            )
        _check_positive(
            lr=self.lr,
            max_grad_norm=self.max_grad_norm,
            stop_grace_s=self.stop_grace_s,
        )
        if self.ahead not in (0, 1):
            raise ValueError(
                f"ahead must be 0, or 1 to play one step ahead, got {self.ahead}"
            )
        if self.ahead and self.engine.kind != "hf":
            raise ValueError(f"ahead=1 needs engine.kind=hf, got {self.engine.kind}")
        if self.ahead and self.profile:
            raise ValueError(
                "profile=true needs ahead=0: stages at the same time have no times of their own"
            )


def main(argv: Sequence[str] | None = None) -> None:
    """`scgrpo settings`: prints docs/settings.md."""
    # Only this command parses arguments; whoever imports the settings does not.
    import argparse

    from scgrpo.settings.help import markdown

    argparse.ArgumentParser(
        "scgrpo settings",
        description="Prints every setting of `scgrpo train` as Markdown.",
    ).parse_args(argv)
    print(f"# Settings of `scgrpo train`\n\n{markdown(TrainConfig)}", end="")


def _check_at_least(minimum: int, /, **values: int) -> None:
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {value}")


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        # Not `value <= 0`, which lets NaN pass.
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")


if __name__ == "__main__":
    main()
