"""Several processes as one trainer: what each computes, and how they agree.

`accelerate launch --multi_gpu --num_processes N -m scgrpo.train …` starts N ranks, on CPUs too.
Each holds the whole model, or with `--use_fsdp --fsdp_version 2` in place of `--multi_gpu` a part
of it (see `sharding`), plays its part of a step's episodes and computes the gradient of its part of
the rows. Whatever is decided is decided over the whole batch, on every rank and with the same
random numbers: so the sum of the gradients is that of one process, and every rank takes the same
step. Rank 0 alone writes files. The run folder and the model must lie where every rank can read
them.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from sandboxes.commands import CommandError

__all__ = [
    "SINGLE_PROCESS",
    "PeerLostError",
    "Ranks",
    "is_main_process",
    "process_group",
]

# The other ranks wait through a warm start, and for the slowest episode.
TIMEOUT = timedelta(hours=2)
UNSUPPORTED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config",
}
FSDP_OPTIONS = {
    "FSDP_VERSION": ("2", "launch with --fsdp_version 2"),
    "FSDP_OFFLOAD_PARAMS": ("false", "offloading is not supported, leave it out"),
    "FSDP_RESHARD_AFTER_FORWARD": (
        "true",
        "a layer is always given back, leave it out",
    ),
    "FSDP_ACTIVATION_CHECKPOINTING": (
        "false",
        "set activation_checkpointing=true instead",
    ),
}
"""Variable that `accelerate launch` sets -> the value that is supported, and what to do."""

T = TypeVar("T")


class PeerLostError(CommandError):
    """Another process of the training is gone, or could not go on; the message says what to do."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together; the default is one alone, for which nothing is sent.

    Every method must be called by all ranks, in the same order. Raises PeerLostError if one of them
    is gone.

    | field | meaning |
    |---|---|
    | rank | of this process, from 0 |
    | count | of processes |
    | device | where this process computes, and what it sends lies; None: the CPU |
    | sharded | each holds a part of the model's layers alone (see `sharding`) |
    """

    rank: int = 0
    count: int = 1
    device: torch.device | None = None
    sharded: bool = False

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, which alone writes files and logs."""
        return self.rank == 0

    def shard_range(self, total: int) -> range:
        """This rank's part of `total` things: neighbours, about as many as any other's."""
        start = total * self.rank // self.count
        stop = total * (self.rank + 1) // self.count
        return range(start, stop)

    def assign(self, sizes: Sequence[int]) -> list[int]:
        """The rank of each thing: the largest first, each to the rank with the least so far."""
        loads, owners = [0] * self.count, [0] * len(sizes)
        largest_first = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        for place in largest_first:
            owner = loads.index(min(loads))
            owners[place] = owner
            loads[owner] += sizes[place]
        return owners

    def all_gather(self, value: T) -> list[T]:
        """Every rank's value, by rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with _explain_lost_peer():
            dist.all_gather_object(values, value)
        return values

    def all_reduce_(self, *tensors: Tensor) -> None:
        """Replaces each tensor by its sum over the ranks."""
        if self.count == 1:
            return
        for tensor in tensors:
            # NCCL sends from a GPU alone.
            on_device = tensor.to(self.device or tensor.device)
            with _explain_lost_peer():
                dist.all_reduce(on_device)
            if on_device is not tensor:
                tensor.copy_(on_device)

    def reduce_sum(self, *values: float) -> list[float]:
        """The sum of each number over the ranks."""
        if self.count == 1:
            return list(values)
        by_rank = self.all_gather(values)
        return [sum(column) for column in zip(*by_rank, strict=True)]

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sums the gradients; a parameter that has none on any rank keeps none."""
        if self.count == 1:
            return
        counts = torch.tensor([float(p.grad is not None) for p in parameters])
        self.all_reduce_(counts)
        for parameter, ranks_with_gradient in zip(
            parameters, counts.tolist(), strict=True
        ):
            if not ranks_with_gradient:
                continue
            # All ranks must take part in the sum, also those without a gradient.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            self.all_reduce_(parameter.grad)

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Makes each tensor what it is on rank 0."""
        if self.count == 1:
            return
        for tensor in tensors:
            with _explain_lost_peer(), torch.no_grad():
                dist.broadcast(tensor.data, src=0)

    def broadcast_object(self, make: Callable[[], T]) -> T:
        """What `make` returns on rank 0, which alone calls it; the others wait.

        What it raises is raised on rank 0, and PeerLostError with its words on the others.
        """
        if self.count == 1:
            return make()
        # (result, reason for its absence); an interrupt leaves the reason as it is here.
        message: list[Any] = [None, "it was stopped"]
        try:
            if self.is_main_process:
                message = [make(), None]
        except Exception as error:
            message[1] = f"{type(error).__name__}: {error}"
            raise
        finally:
            # Also after an error: the other ranks are waiting.
            with _explain_lost_peer():
                dist.broadcast_object_list(message, src=0)
        if message[1] is not None:
            raise PeerLostError(f"process 0 cannot go on: {message[1]}")
        return message[0]


SINGLE_PROCESS = Ranks()


def is_main_process() -> bool:
    """Whether this process is rank 0 or alone, also before `process_group`."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """The ranks that `accelerate launch` started, connected; one alone without it.

    On `device`'s kind: gloo between CPUs, NCCL between GPUs. Raises ValueError if accelerate was
    launched with another way to share the model than FSDP 2.
    """
    sharded = _check_launch()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    from accelerate import PartialState

    with _explain_lost_peer():
        state = PartialState(cpu=device.type == "cpu", timeout=TIMEOUT)
    try:
        yield Ranks(state.process_index, state.num_processes, state.device, sharded)
    finally:
        # A sharded model that outlives the group can abort the process at its end.
        gc.collect()
        state.destroy_process_group()


def _check_launch() -> bool:
    """Whether accelerate was launched with FSDP. Raises ValueError for unsupported options."""
    unsupported = [
        name
        for variable, name in UNSUPPORTED.items()
        if os.environ.get(variable, "").lower() == "true"
    ]
    if unsupported:
        raise ValueError(
            f"accelerate was launched with {', '.join(unsupported)}, which is not supported: "
            "launch with --multi_gpu, or with --use_fsdp --fsdp_version 2 to shard the model"
        )
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision != "no":
        raise ValueError(
            f"got --mixed_precision {precision}, expected no: dtype=... sets the type"
        )

    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() != "true":
        return False
    for variable, (expected, remedy) in FSDP_OPTIONS.items():
        value = os.environ.get(variable, expected).lower()
        if value != expected:
            raise ValueError(
                f"got --{variable.lower()} {value}, expected {expected}: {remedy}"
            )
    return True


@contextmanager
def _explain_lost_peer() -> Iterator[None]:
    """Turns a torn connection into a PeerLostError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise PeerLostError(
            "another process of this training ended, so this one ends too; its own message says "
            f"why. Fix that, then continue with resume=true ({reason})"
        ) from error
