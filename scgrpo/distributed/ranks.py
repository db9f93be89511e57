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

TIMEOUT = timedelta(
    hours=2
)  # the others wait through a warm start, and for the slowest episode
UNSUPPORTED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config",
}
FSDP_WANTED = {
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
T = TypeVar("T")


class PeerLostError(CommandError):
    """Another process of the training is gone, or could not go on; the message says what to do."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together; the default is one alone, for which nothing is sent.

    Every method must be called by all ranks, in the same order. Raises PeerLostError where one is gone.

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
        """Whether this is rank 0, which writes files and speaks."""
        return self.rank == 0

    def shard_range(self, total: int) -> range:
        """This rank's part of `total` things: neighbours, about as many as any other's."""
        return range(
            total * self.rank // self.count, total * (self.rank + 1) // self.count
        )

    def assign(self, sizes: Sequence[int]) -> list[int]:
        """The rank of each thing: the largest first, each to the rank with the least so far."""
        loads, owners = [0] * self.count, [0] * len(sizes)
        for place in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
            owner = loads.index(min(loads))
            owners[place] = owner
            loads[owner] += sizes[place]
        return owners

    def all_gather(self, mine: T) -> list[T]:
        """What each rank gave, by rank."""
        if self.count == 1:
            return [mine]
        found: list[Any] = [None] * self.count
        with _explain_lost_peer():
            dist.all_gather_object(found, mine)
        return found

    def all_reduce_(self, *tensors: Tensor) -> None:
        """Replaces each tensor by its sum over the ranks."""
        if self.count == 1:
            return
        for tensor in tensors:
            sent = tensor.to(self.device or tensor.device)
            with _explain_lost_peer():
                dist.all_reduce(sent)
            if sent is not tensor:
                tensor.copy_(sent)

    def reduce_sum(self, *values: float) -> list[float]:
        """The sum of each number over the ranks."""
        if self.count == 1:
            return list(values)
        return [sum(column) for column in zip(*self.all_gather(values), strict=True)]

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sums the gradients; a parameter that has none on any rank keeps none."""
        if self.count == 1:
            return
        held = torch.tensor([float(p.grad is not None) for p in parameters])
        self.all_reduce_(held)
        for parameter, ranks in zip(parameters, held.tolist(), strict=True):
            if ranks:
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
        box: list[Any] = [None, "it was stopped"]
        try:
            if self.is_main_process:
                box = [make(), None]
        except Exception as error:
            box[1] = f"{type(error).__name__}: {error}"
            raise
        finally:
            with _explain_lost_peer():
                dist.broadcast_object_list(box, src=0)
        if box[1] is not None:
            raise PeerLostError(f"process 0 cannot go on: {box[1]}")
        return box[0]


SINGLE_PROCESS = Ranks()


def is_main_process() -> bool:
    """Whether this process is rank 0 or alone, also before `process_group`."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def process_group(device: torch.device) -> Iterator[Ranks]:
    """The ranks that `accelerate launch` started, connected; one alone without it.

    On `device`'s kind: gloo between CPUs, NCCL between GPUs. Raises ValueError where accelerate was
    told to shard the model in another way than FSDP 2.
    """
    asked = [
        name
        for key, name in UNSUPPORTED.items()
        if os.environ.get(key, "").lower() == "true"
    ]
    if asked:
        raise ValueError(
            f"accelerate was launched with {', '.join(asked)}, which is not supported: launch "
            "with --multi_gpu, or with --use_fsdp --fsdp_version 2 to shard the model"
        )
    if (precision := os.environ.get("ACCELERATE_MIXED_PRECISION", "no")) != "no":
        raise ValueError(
            f"got --mixed_precision {precision}, wanted no: dtype=... sets the type"
        )
    sharded = _asked_to_shard()
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


def _asked_to_shard() -> bool:
    """Whether accelerate was told to use FSDP. Raises ValueError for other kinds than ours."""
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() != "true":
        return False
    for key, (wanted, instead) in FSDP_WANTED.items():
        if (found := os.environ.get(key, wanted).lower()) != wanted:
            raise ValueError(f"got --{key.lower()} {found}, wanted {wanted}: {instead}")
    return True


@contextmanager
def _explain_lost_peer() -> Iterator[None]:
    """Says what a torn connection means."""
    try:
        yield
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        raise PeerLostError(
            "another process of this training ended, so this one ends too; its own message says "
            f"why. Mend that, then go on with resume=true ({why})"
        ) from error
