"""A copy of the model on each node: four processes on two nodes take the steps of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from scgrpo.distributed.mesh import ranks_on_mesh
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.distributed.sharding import full_tensor, is_sharded, local_part, shard
from scgrpo.models.head import output_layer
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.training.optimizer_files import read_parts, write_parts
from tests.scgrpo.distributed.processes import FSDP, run_processes
from tests.scgrpo.distributed.test_sharding import qwen

TWO_NODES = FSDP | {"LOCAL_WORLD_SIZE": "2"}
BRANCHES = [[5, 6, 7, 8], [12, 9], [19, 6, 6, 3, 2], [26]]
"""Of each process, or of one alone."""


def steps(ranks: Ranks, out: Path, offload: bool, branches: Sequence[list[int]]) -> Any:
    """Three steps of a small model; what came of them."""
    model = qwen(tied=True, layers=2)
    shard(model, ranks)
    optimizer = MasterAdamW(model.parameters(), lr=1e-3, offload=offload, ranks=ranks)
    norms: list[float] = []
    for _ in range(3):
        for branch in branches:
            masks = [[True] * len(branch)]
            states = predicting_states(model, [3, 4], [branch], masks)
            targets = torch.tensor(branch)
            scores = token_scores(output_layer(model), states, targets)
            (-scores.logprobs.sum()).backward()
            optimizer.share_gradients()
        norms.append(optimizer.step(lr=1e-3, max_norm=1.0))
    write_parts(out, optimizer.state_parts(), ranks)
    weights = [full_tensor(p, local_part(p.detach())) for p in model.parameters()]
    held = [
        local_part(p).numel() / p.numel() for p in model.parameters() if is_sharded(p)
    ]
    masters = [part.local.numel() for part in optimizer.state_parts().values()]
    return {"norms": norms, "weights": weights, "held": held, "state": sum(masters)}


def on_two_nodes(ranks: Ranks, out: Path) -> None:
    ranks = ranks_on_mesh(ranks, "by_node")
    assert (ranks.copies, ranks.parts) == (2, 2)
    assert ranks.mesh is not None
    node = ranks.rank - ranks.rank % 2
    members = dist.get_process_group_ranks(ranks.mesh.get_group(1))
    assert members == [node, node + 1]
    for offload in (False, True):
        own = [BRANCHES[ranks.rank]]
        result = steps(ranks, out / f"optimizer-{offload}", offload, own)
        torch.save(result, out / f"{offload}-{ranks.rank}.pt")


def check_close(own: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for mine, wanted in zip(own, expected, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-5)


@pytest.mark.daily(0)
def test_two_nodes_with_a_copy_each_take_the_steps_of_one_process(tmp_path: Path):
    assert run_processes(on_two_nodes, tmp_path, count=4, launch=TWO_NODES) == [0] * 4
    alone = steps(SINGLE_PROCESS, tmp_path / "alone", False, BRANCHES)
    expected = read_parts(tmp_path / "alone")
    for offload in (False, True):
        four = [torch.load(tmp_path / f"{offload}-{rank}.pt") for rank in range(4)]
        for result in four:
            assert result["norms"] == pytest.approx(alone["norms"], rel=1e-5)
            check_close(result["weights"], alone["weights"])
            # To the bit on all ranks, else copies would drift apart.
            assert all(map(torch.equal, result["weights"], four[0]["weights"]))
            # Halves of layers and of all state: that outside the layers too.
            assert set(result["held"]) == {0.5}
            assert result["state"] == pytest.approx(alone["state"] / 2, rel=0.01)

        # One process reads what four wrote.
        state = read_parts(tmp_path / f"optimizer-{offload}")
        assert state.keys() == expected.keys()
        check_close(list(state.values()), [expected[name] for name in state])


def test_a_mesh_of_nodes_needs_sharding_and_equal_nodes(monkeypatch):
    with pytest.raises(ValueError, match="launch with --use_fsdp"):
        ranks_on_mesh(SINGLE_PROCESS, "by_node")
    assert ranks_on_mesh(SINGLE_PROCESS) is SINGLE_PROCESS
    unlike = [(2, 0), (2, 1), (1, 0)], [(2, 0), (2, 0), (2, 1), (2, 1)]
    for by_rank in unlike:
        monkeypatch.setattr(Ranks, "all_gather", lambda *_, values=by_rank: values)
        with pytest.raises(ValueError, match="equally many processes.* in a row; got"):
            ranks_on_mesh(Ranks(0, len(by_rank), sharded=True), "by_node")
