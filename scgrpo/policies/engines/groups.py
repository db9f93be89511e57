"""Groups in which the trainer broadcasts weights to the workers of an engine.

vLLM's workers import this module, in their own Python: it imports torch alone.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributed import (
    ProcessGroupGloo,
    TCPStore,  # pyright: ignore[reportPrivateImportUsage]
)

__all__ = ["GlooGroup", "Group", "NcclGroup"]

TIMEOUT = timedelta(minutes=5)
POLL_S = 1e-4


class Group(Protocol):
    """Processes that broadcast from rank 0, which is the trainer, to the workers of an engine."""

    def broadcast(self, tensors: Sequence[Tensor], go_on: Callable[[], None]) -> None:
        """Sends the tensors; calls `go_on` while it waits, which may raise."""
        ...

    def close(self) -> None:
        """Ends the group."""
        ...


class NcclGroup:
    """A `Group` over NCCL, by vLLM's own communicator: its workers have the same."""

    def __init__(self, host: str, port: int, size: int, device: torch.device) -> None:
        try:
            from vllm.distributed.weight_transfer.nccl_common import (  # pyright: ignore
                trainer_init,
            )
        except ImportError as error:
            raise ValueError(
                f"engine.handover=nccl needs vLLM in the training environment too ({error}): pip "
                'install "scgrpo[vllm]", or use engine.handover=disk'
            ) from error
        torch.cuda.set_device(device)
        address = {"master_address": host, "master_port": port, "world_size": size}
        self._communicator: Any = trainer_init(address)
        self._stream = torch.cuda.Stream(device)

    def broadcast(self, tensors: Sequence[Tensor], go_on: Callable[[], None]) -> None:
        """See `Group.broadcast`."""
        contiguous = [tensor.contiguous() for tensor in tensors]
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        for tensor in contiguous:
            self._communicator.broadcast(tensor, src=0, stream=self._stream)
        sent = self._stream.record_event()
        # Not `synchronize`, which a lost worker would hold for ever.
        while not sent.query():
            go_on()

    def close(self) -> None:
        """See `Group.close`."""
        self._communicator.destroy()


class GlooGroup:
    """A `Group` over gloo, for engines on CPUs."""

    def __init__(self, host: str, port: int, size: int, *, rank: int = 0) -> None:
        store = TCPStore(
            host,
            port,
            size,
            is_master=rank == 0,
            timeout=TIMEOUT,
            wait_for_workers=False,
        )
        self._pending: Any = None
        self._group: Any = ProcessGroupGloo(store, rank, size, TIMEOUT)

    def broadcast(self, tensors: Sequence[Tensor], go_on: Callable[[], None]) -> None:
        """See `Group.broadcast`; on the workers the tensors are filled."""
        for tensor in tensors:
            # As bytes, since gloo does not know every type.
            values = tensor.contiguous().view(-1).view(torch.uint8)
            self._pending = self._group.broadcast(values, root=0)
            while not self._pending.is_completed():
                go_on()
                time.sleep(POLL_S)
            self._pending.wait()
            self._pending = None

    def close(self) -> None:
        """See `Group.close`."""
        if self._pending is not None:
            # Its end would wait, with Python's lock held, for a peer that is gone: it never ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._group))
            self._pending = None
        self._group = None
