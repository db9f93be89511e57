"""The weight transfer over gloo in vLLM's workers, so that it can be had on CPUs.

`vllm_worker` registers it as the backend `gloo` of `--weight-transfer-config`. Runs in vLLM's own
Python alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import (  # pyright: ignore  # noqa: TID253
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from scgrpo.policies.engines.groups import GlooGroup

__all__ = ["GlooTransferEngine"]


@dataclass
class GlooInit(WeightTransferInitInfo):
    """Where the group meets; rank 0 is the trainer."""

    master_address: str
    master_port: int
    rank_offset: int
    world_size: int
    packed: bool = False


@dataclass
class GlooUpdate(WeightTransferUpdateInfo):
    """The weights of a bucket."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]


class GlooTransferEngine(WeightTransferEngine):
    """Receives each weight by a broadcast and loads it as a checkpoint's."""

    init_info_cls = GlooInit
    update_info_cls = GlooUpdate
    _group: GlooGroup | None = None

    def init_transfer_engine(self, init_info: GlooInit) -> None:
        """Joins the group, as a rank of its own over all replicas."""
        about = self.parallel_config
        rank = about.data_parallel_index * about.world_size + about.rank
        self._group = GlooGroup(
            init_info.master_address,
            init_info.master_port,
            init_info.world_size,
            rank=init_info.rank_offset + rank,
        )

    def start_weight_update(self) -> None:
        """Prepares the layers for a checkpoint's weights."""
        from vllm.model_executor.model_loader import reload  # pyright: ignore

        reload.initialize_layerwise_reload(self.model)

    def finish_weight_update(self) -> None:
        """Lays the loaded weights out as the kernels read them."""
        from vllm.model_executor.model_loader import reload  # pyright: ignore

        reload.finalize_layerwise_reload(self.model, self.model_config)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Receives a bucket. The base class would wait for a GPU."""
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: GlooUpdate) -> None:
        """Fills a tensor for each weight, and has the model load it."""
        if self._group is None:
            raise RuntimeError("weights before /init_weight_transfer_engine")
        about = zip(
            update_info.names, update_info.dtype_names, update_info.shapes, strict=True
        )
        for name, dtype, shape in about:
            weight = torch.empty(shape, dtype=getattr(torch, dtype))
            self._group.broadcast([weight], lambda: None)
            self.model.load_weights([(name, weight)])

    def shutdown(self) -> None:
        """Leaves the group."""
        self._group = None
