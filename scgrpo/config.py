"""`scgrpo settings`: every setting of a training run, with its default.

Settings are plain values: this module imports no torch and none of what a run is made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from envs.rollout import Limits
from sandboxes import SandboxConfig
from scgrpo.agents.config import AgentConfig
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

MAX_THREADS = 1024
"""Threads that wait for tokens cost little; this many play a step of 128 groups of 8."""


@dataclass(frozen=True)
class WarmStartConfig:
    """The short supervised stage that teaches the format and leaves the solution to RL.

    | field | meaning |
    |---|---|
    | mode | `auto` runs it if the measured starting success is too low, and never with an |
    | | agent, whose format it cannot teach; or always, never |
    | success_threshold | starting success under which `auto` runs it |
    | measure_episodes | episodes that measure the starting success |
    | episodes | episodes of the environment's random but well-formed policy to learn from |
    | steps | optimizer steps over them |
    | tasks_per_step | tasks in a step, with all of their episodes |
    | lr | peak learning rate |
    | references | teach to read references too, in twice the steps: `auto` if `algo` shows any to |
    | | a teacher; or always, never |
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

    vLLM's, and those of `ahead`, are corrected by truncated importance sampling.

    | field | meaning |
    |---|---|
    | kind | `hf`: the model itself; `vllm`: vLLM in this process; `vllm_server`: vLLM's servers; |
    | | `auto`: vLLM on a GPU where it is installed, servers if they are named, else the model |
    | servers | addresses of servers, up to `/v1`; see docs/vllm.md for how to start them |
    | place | the run starts servers itself: `apart`, on GPUs that no process of it trains on, or |
    | | `colocated`, one next to each process on its GPU, which sleeps while a step learns |
    | count | how many are started apart |
    | python | the interpreter that has vLLM, for started servers; empty: the run's own |
    | start_s | longest wait for a started server |
    | options | arguments of vLLM's engine, such as engine.options.gpu_memory_utilization=0.4 |
    | importance_cap | a token is scaled by its probability in the update over the one that it was |
    | | sampled with, up to this |
    | handover | how servers get the weights: `disk`, files that they read; from memory by vLLM's |
    | | weight transfer over `nccl`, `ipc` (on the same GPU) or `gloo` (on CPUs) |
    | handover_folder | where those lie, such as /dev/shm/run; empty: in the run's folder |
    | stall_s | a server that sends nothing for any turn in this time is lost; no turn is too long |
    | tries | how often a turn may fail without getting on, before its episode errors |
    | sleep | servers free their memory while a step learns: they need --enable-sleep-mode |
    """

    kind: Literal["auto", "hf", "vllm", "vllm_server"] = "auto"
    servers: tuple[str, ...] = ()
    place: Literal["", "apart", "colocated"] = ""
    count: int = 1
    python: str = ""
    start_s: float = 1800.0
    options: Mapping[str, Any] = field(default_factory=dict)
    importance_cap: float = 2.0
    handover: Literal["disk", "nccl", "ipc", "gloo"] = "disk"
    handover_folder: str = ""
    stall_s: float = 120.0
    tries: int = 4
    sleep: bool = False

    def __post_init__(self) -> None:
        if self.kind == "auto" and (self.servers or self.place):
            # A frozen instance has no other way to a default that depends on its other fields.
            object.__setattr__(self, "kind", "vllm_server")
        if (self.kind == "vllm_server") != bool(self.servers or self.place):
            raise ValueError(
                "engine.kind=vllm_server belongs together with engine.servers or engine.place, got "
                f"{self.kind}, {list(self.servers)} and {self.place!r}"
            )
        if self.servers and self.place:
            raise ValueError(
                f"engine.place={self.place} starts servers itself, got engine.servers="
                f"{list(self.servers)} too"
            )
        if len(set(self.servers)) < len(self.servers):
            raise ValueError(
                f"engine.servers names one twice, got {list(self.servers)}"
            )
        if self.options and self.kind != "vllm" and not self.place:
            raise ValueError(
                "engine.options are for an engine that the run starts: engine.kind=vllm or "
                f"engine.place, got engine.kind={self.kind}"
            )
        if self.handover != "disk" and self.kind != "vllm_server":
            raise ValueError(
                f"engine.handover={self.handover} is for servers, got engine.kind={self.kind}"
            )
        if self.sleep and self.samples_itself:
            raise ValueError(
                "engine.sleep is for vLLM, so name it (engine.kind=vllm): the model itself always "
                "frees its cache"
            )
        _check_at_least(1, **{"engine.tries": self.tries, "engine.count": self.count})
        _check_positive(
            **{
                "engine.importance_cap": self.importance_cap,
                "engine.stall_s": self.stall_s,
                "engine.start_s": self.start_s,
            }
        )

    @property
    def samples_itself(self) -> bool:
        """Whether the model samples; of `auto` too, until `with_engine` has settled it."""
        return self.kind in ("auto", "hf")

    @property
    def sleeps(self) -> bool:
        """Whether engines free their memory while a step learns."""
        return self.sleep or self.place == "colocated"


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
    | env | environment: an alias (`swe_lite`), `module:namespace/name`, `namespace/name` or |
    | | `openenv:http://HOST:PORT`; several joined by `+`, with `@weight=2`, `@levels=0,1`, |
    | | `@turn_tokens=96` and `@episode_tokens=900` behind a name |
    | algo | a name that `algo.help` lists (sc_grpo, grpo, dapo, contrastive, gigpo, opsd, ...), |
    | | or `module:NAME`, an `Algorithm` of your own |
    | teacher | another model of the same tokenizer to learn from, for algo=opd |
    | model | `auto` (SmolLM2-135M-Instruct), a folder, or a Hugging Face id |
    | seed | seeds the draws of tasks, tokens and references |
    | max_steps | steps; each plays episodes and learns from them |
    | tasks_per_step | tasks in a step; each makes one group |
    | group_size | episodes of each task |
    | ahead | so many next steps' first groups are played while a step learns: of weights up to |
    | | that many versions old, corrected by importance weights, and at the level from before; |
    | | 0 plays them after it |
    | updates_per_batch | passes over a step's episodes (PPO's epochs) |
    | mini_batches | mini-batches of a pass, of whole groups, with an optimizer step each; at most |
    | | tasks_per_step |
    | kl_coefficient | weight of the KL from the model that the run started from, which stays in |
    | | memory (with adapters it is the model without them); 0: no such term |
    | optimizer | `adamw`: moments in fp32; `adamw_8bit`: in 8 bits, by bitsandbytes |
    | optimizer_offload | masters and moments lie on the CPU, and steps are taken there: a GPU |
    | | holds the model and its gradient alone |
    | mesh | of several processes with FSDP: `flat` cuts the layers over all of them, `by_node` |
    | | over those of a node, with a copy on each node |
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
    | agent | an agent of your own that plays them, instead of this project's loop |
    | warm_start | the supervised stage before RL |
    | validation | evaluation during training |
    | lora | low-rank adapters |
    | sandbox | where untrusted code runs |
    | rollout_threads | episodes that a process plays at once; 0: all of its part of a step, up to |
    | | 1,024 |
    | rollout_workers | actors of the Ray cluster at $RAY_ADDRESS that have the environments, and |
    | | sandboxes of their nodes, for all processes together; 0: each process has its own |
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
    updates_per_batch: int = 1
    mini_batches: int = 1
    kl_coefficient: float = 0.0
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    optimizer_offload: bool = False
    mesh: Literal["flat", "by_node"] = "flat"
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
    agent: AgentConfig = field(default_factory=AgentConfig)
    warm_start: WarmStartConfig = field(default_factory=WarmStartConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    rollout_threads: int = 0
    rollout_workers: int = 0
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
            updates_per_batch=self.updates_per_batch,
            mini_batches=self.mini_batches,
            save_every=self.save_every,
            keep_checkpoints=self.keep_checkpoints,
        )
        if self.group_size < 2:
            raise ValueError(
                f"group_size must be at least 2, to compare episodes, got {self.group_size}"
            )
        _check_at_least(
            0,
            ahead=self.ahead,
            rollout_threads=self.rollout_threads,
            rollout_workers=self.rollout_workers,
        )
        _check_positive(
            lr=self.lr,
            max_grad_norm=self.max_grad_norm,
            stop_grace_s=self.stop_grace_s,
        )
        if self.mini_batches > self.tasks_per_step:
            raise ValueError(
                f"mini_batches must be at most tasks_per_step ({self.tasks_per_step}), since parts "
                f"are of whole groups; got {self.mini_batches}"
            )
        if not 0.0 <= self.kl_coefficient < math.inf:
            raise ValueError(
                f"kl_coefficient must be at least 0, got {self.kl_coefficient}"
            )
        if self.optimizer_offload and self.optimizer == "adamw_8bit":
            raise ValueError(
                "optimizer_offload=true needs optimizer=adamw, got adamw_8bit, which steps on a GPU"
            )
        if self.lora.rank and self.engine.handover != "disk":
            raise ValueError(
                f"adapters are handed over as files: got engine.handover={self.engine.handover} "
                f"and lora.rank={self.lora.rank}, expected disk"
            )
        if self.agent.command and self.warm_start.mode == "always":
            raise ValueError(
                "warm_start.mode=always teaches the environment's own tools, which an agent does "
                "not use: got agent.command too, expected warm_start.mode=never"
            )
        if self.ahead and self.engine.sleeps:
            raise ValueError(
                "engine.sleep=true and engine.place=colocated need ahead=0, got "
                f"{self.ahead}: engines that sample while a step learns cannot sleep then"
            )
        if self.ahead and self.lora.rank and not self.engine.samples_itself:
            raise ValueError(
                f"ahead={self.ahead} with lora.rank={self.lora.rank} works with engine.kind=hf, "
                f"got {self.engine.kind}: an engine unloads the last adapter while turns are "
                "written with it; use ahead=0"
            )
        if self.ahead and self.profile:
            raise ValueError(
                "profile=true needs ahead=0: stages at the same time have no times of their own"
            )

    @property
    def shown_reference(self) -> ReferenceLimits:
        """How much of a reference is shown for episodes as long as these."""
        return self.reference.for_episodes(self.limits.episode_tokens)

    def threads(self, processes: int = 1) -> int:
        """Episodes that each of `processes` plays at once."""
        episodes = self.tasks_per_step * self.group_size
        threads = self.rollout_threads or min(MAX_THREADS, -(-episodes // processes))
        return min(threads, self.agent.parallel) if self.agent.command else threads


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
