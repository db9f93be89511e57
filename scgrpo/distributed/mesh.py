"""How a sharded model lies on the processes: over all of them, or once on each node."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch.distributed.device_mesh import init_device_mesh

from scgrpo.distributed.ranks import Ranks, processes_of_node

__all__ = ["MeshKind", "ranks_on_mesh"]

MeshKind = Literal["flat", "by_node"]


def ranks_on_mesh(ranks: Ranks, kind: MeshKind = "flat") -> Ranks:
    """The ranks with their mesh; as they are if nothing is sharded. All ranks must call it.

    `by_node` keeps a copy of the model on each node, whose processes have a part of it each: layers
    are gathered within a node, and only gradients cross the network (hybrid sharding,
    arXiv:2304.11277). Raises ValueError for it without sharding, and on nodes of unlike size.
    """
    if not ranks.sharded:
        if kind == "by_node":
            raise ValueError(
                "mesh=by_node shares the layers of a model: launch with --use_fsdp --fsdp_version 2"
            )
        return ranks

    shape, names = (ranks.count,), ("parts",)
    if kind == "by_node":
        sizes = set(ranks.all_gather(processes_of_node()))
        if len(sizes) > 1 or ranks.count % min(sizes):
            raise ValueError(
                f"mesh=by_node needs equally many processes on each node, got {sorted(sizes)}"
            )
        (size,) = sizes
        # One node has one copy, whose parts lie on all ranks.
        if size < ranks.count:
            shape, names = (ranks.count // size, size), ("copies", "parts")
    device = "cpu" if ranks.device is None else ranks.device.type
    mesh = init_device_mesh(device, shape, mesh_dim_names=names)
    return replace(ranks, mesh=mesh)
