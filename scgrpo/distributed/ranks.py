"""Several processes as one trainer: what each computes, and how they agree.

`accelerate launch --multi_gpu --num_processes N -m scgrpo.train …` starts N ranks, on CPUs too.
Each holds the whole model, or with `--use_fsdp --fsdp_version 2` in place of `--multi_gpu` a part
of it (see `sharding`), plays its part of a step's episodes and computes the gradient of its part of
the rows. Whatever is decided is decided over the whole batch, on every rank and with the same
random numbers: so the sum of the gradients is that of one process, and every rank takes the same
step. Rank 0 writes the files, but for the others' parts of a sharded optimizer: the run folder must
lie where every rank can write, the model where every rank can read.
"""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from scgrpo.distributed.peers import PeerLostError, PeerWatch, advice

__all__ = [
    "SINGLE_PROCESS",
    "PeerLostError",
    "Ranks",
    "is_main_process",
    "launched_processes",
    "place_on_node",
    "processes_of_node",
    "process_group",
]

TENSORS_TIMEOUT = timedelta(minutes=10)
"""For tensors, which all ranks send at about the same time."""
CONTROL_TIMEOUT = timedelta(days=2)
"""For objects: they wait through a warm start and for the slowest episode. A rank that is gone is
noticed otherwise."""
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

BUCKET_BYTES = 64 * 2**20
"""Of a message that sums gradients: long enough that its start costs little."""

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes that train together; the default is one alone, for which nothing is sent.

    Every method must be called by all ranks, in the same order. Raises PeerLostError if one of them
    is gone.

    | field | meaning |
    |---|---|
    | rank | of this process, from 0 |
    | count | of processes |
    | device | where this process computes; None: the CPU |
    | sharded | each holds a part of the model's layers alone (see `sharding`) |
    | control | connects the ranks' CPUs: objects go by it, and a lost rank breaks it at once |
    | storage | the same for what another thread sends meanwhile |
    | watch | notices if another process is gone |
    | mesh | how a sharded model lies on them: (ranks,), or (nodes, ranks of a node) with a copy |
    | | on each node; None for the former before it is made (see `mesh`) |
    """

    rank: int = 0
    count: int = 1
    device: torch.device | None = None
    sharded: bool = False
    control: dist.ProcessGroup | None = None
    storage: dist.ProcessGroup | None = None
    watch: PeerWatch | None = None
    mesh: DeviceMesh | None = None

    @property
    def apart(self) -> Ranks:
        """The same ranks for a thread other than the main one: what it sends crosses nothing."""
        return replace(self, control=self.storage)

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, which alone writes files and logs."""
        return self.rank == 0

    @property
    def copies(self) -> int:
        """How many complete copies of a sharded model there are."""
        return 1 if self.mesh is None or self.mesh.ndim == 1 else self.mesh.size(0)

    @property
    def parts(self) -> int:
        """How many ranks share a copy, each with a part of it."""
        return self.count // self.copies

    def shard_range(self, total: int) -> range:
        """This rank's part of `total` things: neighbours, about as many as any other's."""
        start = total * self.rank // self.count
        stop = total * (self.rank + 1) // self.count
        return range(start, stop)

    def rows(self, total: int) -> range:
        """This rank's rows of a sharded value, as FSDP deals them; last ranks may have fewer."""
        chunk = -(-total // self.parts)
        start = chunk * (self.rank % self.parts)
        return range(min(total, start), min(total, start + chunk))

    def assign(self, sizes: Sequence[float]) -> list[int]:
        """The rank of each thing: the largest first, each to the rank with the least so far."""
        loads, owners = [0.0] * self.count, [0] * len(sizes)
        largest_first = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        for place in largest_first:
            owner = loads.index(min(loads))
            owners[place] = owner
            loads[owner] += sizes[place]
        return owners

    def meet(self) -> None:
        """Returns once every rank is here; a signal interrupts it, which collectives hold up."""
        if self.watch is not None:
            with self._loss_context():
                self.watch.meet()

    def all_gather(self, value: T) -> list[T]:
        """Every rank's value, by rank."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with self._loss_context():
            dist.all_gather_object(values, value, group=self.control)
        return values

    def all_reduce_(self, *tensors: Tensor) -> None:
        """Replaces each tensor by its sum over the ranks."""
        if self.count == 1:
            return
        for tensor in tensors:
            with self._loss_context():
                dist.all_reduce(tensor, group=self._group_of(tensor))

    def reduce_scatter_(self, part: Tensor, whole: Tensor) -> None:
        """Fills `part`, as large on every rank, with this rank's rows of the sum of `whole`."""
        with self._loss_context():
            dist.reduce_scatter_tensor(part, whole, group=self._mesh_group(1))
            if self.copies > 1:
                dist.all_reduce(part, group=self._mesh_group(0))

    def all_gather_into_(self, whole: Tensor, part: Tensor) -> None:
        """Fills `whole` with every `part` of a copy, which are equally large."""
        with self._loss_context():
            dist.all_gather_into_tensor(whole, part, group=self._mesh_group(1))

    def _mesh_group(self, axis: int) -> dist.ProcessGroup | None:
        """Those that differ from this rank in one axis of (copies, parts); all without copies."""
        if self.mesh is None or self.copies == 1:
            return None
        return self.mesh.get_group(axis)

    def _loss_context(self) -> AbstractContextManager[None]:
        """A context that turns a torn connection into a PeerLostError that says what to do."""
        return nullcontext() if self.watch is None else self.watch.explaining()

    def _group_of(self, tensor: Tensor) -> dist.ProcessGroup | None:
        """What connects the devices that such tensors lie on: NCCL sends from a GPU alone."""
        return self.control if tensor.device.type == "cpu" else None

    def reduce_sum(self, *values: float) -> list[float]:
        """The sum of each number over the ranks."""
        if self.count == 1:
            return list(values)
        by_rank = self.all_gather(values)
        return [sum(column) for column in zip(*by_rank, strict=True)]

    def summed_gradients(
        self, gradients: Sequence[Tensor | None], weights: Sequence[Tensor]
    ) -> list[Tensor | None]:
        """The sum of each weight's gradient over the ranks, in fp32, in few messages.

        None for a weight that has a gradient on no rank. The given gradients may be overwritten.
        """
        if self.count == 1:
            return list(gradients)
        counts = torch.tensor([float(gradient is not None) for gradient in gradients])
        self.all_reduce_(counts)

        sums = list(gradients)
        for i, ranks_with_gradient in enumerate(counts.tolist()):
            # All ranks must take part in the sum, also those without a gradient.
            if ranks_with_gradient and sums[i] is None:
                sums[i] = torch.zeros_like(weights[i], device=self.device)
        present = [gradient for gradient in sums if gradient is not None]
        for bucket in _buckets(present):
            self._sum_bucket(bucket)
        return sums

    def _sum_bucket(self, bucket: Sequence[Tensor]) -> None:
        """Replaces the tensors by their sums over the ranks, in one message."""
        flat = torch.cat([tensor.flatten() for tensor in bucket])
        self.all_reduce_(flat)
        parts = flat.split([tensor.numel() for tensor in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Makes each tensor what it is on rank 0."""
        if self.count == 1:
            return
        for tensor in tensors:
            with self._loss_context(), torch.no_grad():
                dist.broadcast(tensor.data, src=0, group=self._group_of(tensor))

    def results_of(self, work: Callable[[], T]) -> list[T]:
        """What `work` returns on every rank, by rank.

        What it raises is raised on that rank, and PeerLostError with its words on the others.
        """
        if self.count == 1:
            return [work()]
        result: Any = None
        reason = "it was stopped"
        try:
            result, reason = work(), ""
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            # Also after an error: the other ranks are waiting.
            outcomes = self.all_gather((result, reason))
        for rank, (_, reason) in enumerate(outcomes):
            if reason:
                raise PeerLostError(f"process {rank} cannot go on: {reason}")
        return [value for value, _ in outcomes]

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
            with self._loss_context():
                dist.broadcast_object_list(message, src=0, group=self.control)
        if message[1] is not None:
            raise PeerLostError(f"process 0 cannot go on: {message[1]}")
        return message[0]


SINGLE_PROCESS = Ranks()


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in their order, in lists of at most `BUCKET_BYTES` or of one."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and size + tensor.nbytes > BUCKET_BYTES:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def is_main_process() -> bool:
    """Whether this process is rank 0 or alone, also before `process_group`."""
    return int(os.environ.get("RANK", "0")) == 0


def processes_of_node() -> int:
    """How many of the launched processes this machine has; all if it is not said."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(os.environ.get("LOCAL_WORLD_SIZE", count))


def place_on_node() -> int:
    """The number of this process among those of its machine."""
    rank = os.environ.get("RANK", "0")
    return int(os.environ.get("LOCAL_RANK", rank))


def launched_processes() -> tuple[int, bool]:
    """How many processes `accelerate launch` started, and whether they share the layers.

    Also before `process_group`. Raises ValueError as that does.
    """
    return int(os.environ.get("WORLD_SIZE", "1")), _check_launch()


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

    try:
        state = PartialState(cpu=device.type == "cpu", timeout=TENSORS_TIMEOUT)
        control, storage = _connection(), _connection()
    except RuntimeError as error:
        raise PeerLostError(advice(str(error).splitlines()[0])) from error
    ranks = Ranks(
        state.process_index,
        state.num_processes,
        state.device,
        sharded,
        control,
        storage,
    )
    name = ranks.broadcast_object(lambda: f"scgrpo/{uuid.uuid4()}")
    watch = PeerWatch(ranks.rank, ranks.count, name, sharded=sharded)
    try:
        yield replace(ranks, watch=watch)
        watch.leave()
        if not watch.lost:
            # The store may lie with a process that would end first.
            with watch.explaining():
                dist.barrier(group=control)
    except (PeerLostError, KeyboardInterrupt):
        # The others know of it: they have lost the same one, or stop as well.
        watch.leave()
        raise
    except BaseException as error:
        watch.leave(f"{type(error).__name__}: {error}")
        raise
    finally:
        # A sharded model that outlives the group can abort the process at its end.
        gc.collect()
        state.destroy_process_group()


def _connection() -> dist.ProcessGroup:
    """All ranks, connected by their CPUs."""
    group = dist.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
    assert isinstance(group, dist.ProcessGroup)
    return group


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
