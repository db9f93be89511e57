"""A sharded optimizer's state is written in parts, and read by any number of processes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from scgrpo.config import LoraConfig
from scgrpo.distributed.ranks import SINGLE_PROCESS, PeerLostError, Ranks
from scgrpo.distributed.sharding import is_sharded, shard
from scgrpo.models.head import output_layer
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.read_back import HashingFile
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.models.tiny import make_tiny
from scgrpo.runs import checkpoints
from scgrpo.runs.checkpoints import CheckpointError
from scgrpo.runs.disk import DiskError
from scgrpo.training import checkpoint
from scgrpo.training.checkpoint import Content, load_into
from scgrpo.training.open_model import with_adapters
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.training.optimizer_files import read_parts
from tests.scgrpo.distributed.processes import FSDP, run_processes

RANKS_OF_ADAPTERS = (0, 4)
"""Over three processes an adapter's four rows leave the last one without any."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=2, heads=2
    )


class Training:
    """A model, sharded over the ranks, and its optimizer."""

    def __init__(self, folder: Path, ranks: Ranks, rank: int) -> None:
        model, self.tokenizer = load_model(folder, dtype=torch.bfloat16)
        torch.manual_seed(0)
        self.model: Any = with_adapters(model, LoraConfig(rank=rank))
        choose_path(self.model)
        shard(self.model, ranks)
        self.ranks = ranks
        self.optimizer = MasterAdamW(self.model.parameters(), lr=1e-3, ranks=ranks)

    def step(self) -> None:
        branch = [5 + 7 * self.ranks.rank, 6, 7, 8]
        states = predicting_states(self.model, [3, 4], [branch], [[True] * 4])
        scores = token_scores(output_layer(self.model), states, torch.tensor(branch))
        (-scores.logprobs.sum()).backward()
        self.optimizer.step(lr=1e-3, max_norm=1.0)

    def save(self, folder: Path, step: int) -> None:
        content = Content(
            step, self.model, self.tokenizer, self.optimizer.state_parts(), {"n": step}
        )
        snapshot = checkpoint.snapshot(content, torch.bfloat16)
        checkpoint.save(folder, snapshot, ranks=self.ranks.apart)


def go_on(ranks: Ranks, tiny: Path, folder: Path, steps: int, number: int) -> None:
    """Goes on from the checkpoint before `number`, if there is one, and saves that one."""
    for rank in RANKS_OF_ADAPTERS:
        training = Training(tiny, ranks, rank)
        assert any(map(is_sharded, training.model.parameters())) == ranks.sharded
        of_kind = folder / str(rank)
        before = checkpoints.step_folder(of_kind, number - 1)
        if before.exists():
            load_into(before, training.optimizer, ranks)
        for _ in range(steps):
            training.step()
        training.save(of_kind, number)


def weights(path: Path) -> dict[str, torch.Tensor]:
    (file,) = path.glob("*.safetensors")
    return load_file(file)


def a_state_goes_from_2_to_1_to_3_processes_bit_for_bit(tiny: Path, tmp_path: Path):
    assert run_processes(go_on, tiny, tmp_path, 2, 1, launch=FSDP) == [0, 0]
    go_on(SINGLE_PROCESS, tiny, tmp_path, 0, 2)
    codes = run_processes(go_on, tiny, tmp_path, 0, 3, count=3, launch=FSDP)
    assert codes == [0, 0, 0]
    for rank in RANKS_OF_ADAPTERS:
        paths = [
            checkpoints.step_folder(tmp_path / str(rank), step) for step in (1, 2, 3)
        ]
        for path in paths:
            checkpoints.verify(path)
        by_two, alone, by_three = (read_parts(path / "optimizer") for path in paths)
        assert sum("exp_avg_sq" in name for name in by_two) > 10
        assert any(value.abs().max() > 1e-6 for value in by_two.values())
        for name, value in by_two.items():
            assert torch.equal(alone[name], value), name
            assert torch.equal(by_three[name], value), name
        first, *later = map(weights, paths)
        for name, value in first.items():
            assert value.dtype == torch.bfloat16
            assert all(torch.equal(other[name], value) for other in later), name

        # Every process wrote a part of its own, and a torn one is named.
        parts = sorted(file.name for file in (paths[2] / "optimizer").glob("*.distcp"))
        assert parts == ["__0_0.distcp", "__1_0.distcp", "__2_0.distcp"]
        torn = paths[2] / "optimizer" / parts[1]
        os.truncate(torn, torn.stat().st_size - 10)
        with pytest.raises(CheckpointError, match=r"optimizer/__1_0.distcp is torn"):
            checkpoints.verify(paths[2])
        assert checkpoints.latest(tmp_path / str(rank)) == paths[1]


def fails(ranks: Ranks, tiny: Path, folder: Path) -> None:
    """Saves once, then the disk of rank 1 is full."""
    training = Training(tiny, ranks, 0)
    training.step()
    training.save(folder, 1)
    if ranks.rank == 1:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        HashingFile.write = full
    try:
        training.save(folder, 2)
    except (DiskError, PeerLostError) as error:
        (folder / f"said-{ranks.rank}").write_text(f"{type(error).__name__}: {error}")


def a_process_that_cannot_write_its_part_leaves_the_checkpoint_before(
    tiny: Path, tmp_path: Path
):
    assert run_processes(fails, tiny, tmp_path, launch=FSDP) == [0, 0]
    said = [(tmp_path / f"said-{rank}").read_text() for rank in range(2)]
    assert said[1].startswith("DiskError: cannot write")
    assert "the disk is full: free some space" in said[1]
    assert said[0].startswith("PeerLostError: process 1 cannot go on: DiskError")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["said-0", "said-1", "step-000001"]
    checkpoints.verify(tmp_path / "step-000001")


def test_files_that_hold_no_state_are_refused(tiny: Path, tmp_path: Path):
    training = Training(tiny, SINGLE_PROCESS, 0)
    training.step()
    training.save(tmp_path, 1)
    folder = tmp_path / "step-000001" / "optimizer"
    (folder / "__0_0.distcp").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="optimizer: no state of an optimizer"):
        read_parts(folder)


@pytest.mark.daily(1)  # each starts processes
@pytest.mark.parametrize(
    "claim",
    [
        a_state_goes_from_2_to_1_to_3_processes_bit_for_bit,
        a_process_that_cannot_write_its_part_leaves_the_checkpoint_before,
    ],
    ids=lambda claim: claim.__name__,
)
def test_several_processes(
    claim: Callable[[Path, Path], None], tiny: Path, tmp_path: Path
):
    """Each writes its part."""
    claim(tiny, tmp_path)
