"""The optimizer's state in a folder: each process writes its part, any number of them reads it.

The format is that of `torch.distributed.checkpoint`. Its files hold tensors alone and its index is
read without running pickled code, so that a checkpoint from elsewhere cannot run any.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint.default_planner import (
    DefaultLoadPlanner,
    DefaultSavePlanner,
)
from torch.distributed.checkpoint.filesystem import (
    FileSystem,
    FileSystemReader,
    FileSystemWriter,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.models.read_back import UNREADABLE, HashingFile
from scgrpo.runs.checkpoints import CheckpointError
from scgrpo.runs.disk import disk_errors_explained
from scgrpo.training.optimizer import Part

__all__ = ["cpu_copy", "read_parts", "write_parts"]

SAFE_CLASSES: Mapping[tuple[str, str], Any] = {
    (safe.__module__, safe.__qualname__): safe
    for safe in (
        list,
        torch.Size,
        torch.serialization._get_layout,
        filesystem._StorageInfo,
        metadata.ChunkStorageMetadata,
        metadata.Metadata,
        metadata.MetadataIndex,
        metadata.StorageMeta,
        metadata.TensorProperties,
        metadata.TensorStorageMetadata,
        metadata._MEM_FORMAT_ENCODING,
    )
}
"""What an index is made of, besides types of tensors."""


def cpu_copy(parts: Mapping[str, Part]) -> dict[str, Part]:
    """The values as they are now, in memory of their own."""
    copies: dict[str, Part] = {}
    for name, part in parts.items():
        copies[name] = part._replace(local=part.local.to("cpu", copy=True))
    return copies


def write_parts(
    folder: Path, parts: Mapping[str, Part], ranks: Ranks = SINGLE_PROCESS
) -> dict[str, str]:
    """Writes `state_parts` of an optimizer to a new folder; the SHA-256 of each file by its name.

    All ranks must call it if the optimizer is sharded. Each rank hashes its file as it writes it,
    and reads it back. Raises DiskError on a rank that cannot, and PeerLostError on the others.
    """
    folder.mkdir(exist_ok=True)
    writer, planner = _HashingWriter(folder), DefaultSavePlanner()
    mesh = _mesh(ranks)
    values: dict[str, Tensor] = {}
    for name, part in parts.items():
        values[name] = _as_rows(part.local, part.shape, mesh)
    planner.set_up_planner(values, is_coordinator=ranks.is_main_process)
    writer.set_up_storage_writer(ranks.is_main_process)
    plan = writer.prepare_local_plan(planner.create_local_plan())

    # Every rank makes the same plan of all of them, so that none has to be sent one.
    plans, index = planner.create_global_plan(ranks.all_gather(plan))
    plan = planner.finish_plan(writer.prepare_global_plan(plans)[ranks.rank])

    def write() -> tuple[Any, dict[str, str]]:
        with disk_errors_explained(folder):
            results = writer.write_data(plan, planner).value()
            return results, writer.checked_digests()

    results, digests = zip(*ranks.results_of(write), strict=True)

    def write_index() -> dict[str, str]:
        with disk_errors_explained(folder):
            writer.finish(index, list(results))
            return writer.checked_digests()

    by_name = ranks.broadcast_object(write_index)
    for of_rank in digests:
        by_name |= of_rank
    return by_name


@torch.no_grad()
def read_parts(folder: Path, ranks: Ranks = SINGLE_PROCESS) -> dict[str, Tensor]:
    """This rank's rows of everything in a folder of `write_parts`, whoever wrote it; on the CPU.

    Nothing is sent. Raises CheckpointError for files that are not such a folder.
    """
    reader, planner = _SafeReader(folder), DefaultLoadPlanner()
    mesh = _mesh(ranks)
    local: dict[str, Tensor] = {}
    values: dict[str, Tensor] = {}
    try:
        index = reader.read_metadata()
        for name, about in index.state_dict_metadata.items():
            assert isinstance(about, metadata.TensorStorageMetadata)
            shape = list(about.size)
            if shape and ranks.sharded:
                shape[0] = len(ranks.rows(shape[0]))
            local[name] = torch.empty(shape, dtype=about.properties.dtype)
            values[name] = _as_rows(local[name], about.size, mesh)

        planner.set_up_planner(values, index, is_coordinator=True)
        reader.set_up_storage_reader(index, is_coordinator=True)
        plan = reader.prepare_local_plan(planner.create_local_plan())
        (plan,) = reader.prepare_global_plan(planner.create_global_plan([plan]))
        reader.read_data(planner.finish_plan(plan), planner).wait()
    except (*UNREADABLE, pickle.UnpicklingError, AssertionError) as error:
        raise CheckpointError(f"{folder}: no state of an optimizer: {error}") from error
    return local


def _mesh(ranks: Ranks) -> DeviceMesh | None:
    """The ranks as (copies, parts) of sharded values lie on them; None if none are sharded.

    It is asked for places alone, and connects nothing.
    """
    if not ranks.sharded:
        return None
    places = torch.arange(ranks.count).view(ranks.copies, ranks.parts)
    return DeviceMesh("cpu", places, _init_backend=False)


def _as_rows(local: Tensor, shape: Sequence[int], mesh: DeviceMesh | None) -> Tensor:
    """A value of which each rank has some rows as PyTorch knows it; any other as it is."""
    if mesh is None or not shape:
        return local
    whole = torch.empty(shape, device="meta")
    return DTensor.from_local(
        local,
        mesh,
        [Replicate(), Shard(0)],
        run_check=False,
        shape=whole.shape,
        stride=whole.stride(),
    )


class _HashingFiles(FileSystem):
    """Files that are hashed as they are written."""

    def __init__(self) -> None:
        self.files: list[HashingFile] = []

    @contextmanager
    def create_stream(self, path: Any, mode: str) -> Iterator[Any]:
        """See `FileSystem`."""
        with HashingFile(Path(path)) as file:
            self.files.append(file)
            yield file

    def rename(self, path: Any, new_path: Any) -> None:
        """See `FileSystem`."""
        super().rename(path, new_path)
        for file in self.files:
            if file.path == Path(path):
                file.path = Path(new_path)


class _HashingWriter(FileSystemWriter):
    """Writes one file, and the index on rank 0."""

    def __init__(self, folder: Path) -> None:
        # Files reach the disk when the whole checkpoint does.
        super().__init__(folder, sync_files=False)
        self.fs = self._files = _HashingFiles()

    def storage_meta(self) -> metadata.StorageMeta:
        """Nothing: the index must not depend on where the folder lay."""
        return metadata.StorageMeta()

    def checked_digests(self) -> dict[str, str]:
        """The SHA-256 of each file by its name. Raises ReadBackError for one that is not whole."""
        for file in self._files.files:
            file.check()
        return {file.path.name: file.hexdigest() for file in self._files.files}


class _SafeReader(FileSystemReader):
    """Reads the index without running code."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> metadata.Metadata:
        """See `FileSystemReader`. Raises UnpicklingError for an index that asks for more."""
        with (Path(self.path) / ".metadata").open("rb") as file:
            return _SafeUnpickler(file).load()


class _SafeUnpickler(pickle.Unpickler):
    """Makes the records of an index, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """See `pickle.Unpickler`."""
        # Not by `super`, for which "filesystem.os.system" is a name as well.
        if (module, name) in SAFE_CLASSES:
            return SAFE_CLASSES[module, name]
        value = vars(torch).get(name) if module == "torch" else None
        if isinstance(value, torch.dtype):
            return value
        raise pickle.UnpicklingError(f"its index asks for {module}.{name}")
