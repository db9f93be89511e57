"""How a sharded model lies on the processes: over all of them, or once on each node."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch.distributed.device_mesh import init_device_mesh

from scgrpo.distributed.ranks import Ranks, place_on_node, processes_of_node

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
        size = _ranks_of_each_node(ranks)
        # One node has one copy, whose parts lie on all ranks.
        if size < ranks.count:
            shape, names = (ranks.count // size, size), ("copies", "parts")
    device = "cpu" if ranks.device is None else ranks.device.type
    mesh = init_device_mesh(device, shape, mesh_dim_names=names)
    return replace(ranks, mesh=mesh)


def _ranks_of_each_node(ranks: Ranks) -> int:
    """How many ranks a node has. Raises ValueError unless all have as many, one after the other."""
    by_rank = ranks.all_gather((processes_of_node(), place_on_node()))
    sizes = {size for size, _ in by_rank}
    size = min(sizes)
    places = [place for _, place in by_rank]
    if len(sizes) > 1 or places != [rank % size for rank in range(ranks.count)]:
        raise ValueError(
            "mesh=by_node needs equally many processes on each node, and their ranks in a row; got "
            f"{sorted(sizes)} on a node, and by rank the local ranks {places}"
        )
    return size
