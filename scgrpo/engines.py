"""Opens the policy that samples a run's episodes, by `engine.kind`."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scgrpo.config import TrainConfig
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.policies.completions import Server
from scgrpo.policies.engines.base import Engine
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.engines.groups import GlooGroup, NcclGroup
from scgrpo.policies.engines.handover import ByDisk, Handover
from scgrpo.policies.engines.network import free_port
from scgrpo.policies.engines.started import (
    LOOPBACK,
    ServerStart,
    StartedServer,
    server_start,
    start_servers,
)
from scgrpo.policies.engines.transfer import (
    ByTransfer,
    Channel,
    GroupChannel,
    IpcChannel,
)
from scgrpo.policies.engines.vllm import VLLMEngine
from scgrpo.policies.engines.vllm_server import VLLMServer
from scgrpo.policies.hf import HFPolicy
from scgrpo.policies.remote import RemotePolicy
from scgrpo.policies.weight_sync import WeightSync
from scgrpo.preflight.memory import engine_memory_share

__all__ = ["open_policy"]

WEIGHT_SYNC = "weight_sync"
IPC = "ipc"
ENGINE_LOGS = "engines"


def open_policy(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    start: Path,
    run: Path,
    *,
    ranks: Ranks = SINGLE_PROCESS,
) -> HFPolicy | RemotePolicy:
    """The policy over `model`; engines of their own get the model's weights.

    Raises ValueError if vLLM is missing, a server cannot follow the training, or several
    processes would share an engine in one of them.
    """
    if config.engine.samples_itself:
        # A rank plays its part of the episodes alone, and no more at once than it has threads.
        part = ranks.shard_range(config.tasks_per_step * config.group_size)
        return HFPolicy(
            model,
            tokenizer,
            slots=max(1, min(len(part), config.threads(ranks.count))),
            cache_tokens=config.limits.episode_tokens,
            chat_options=config.chat,
        )

    # Servers that other processes started are theirs to sample from, and ours to hand over to.
    engines, others = _engines(config, start, run, ranks)
    options = {"tries": config.engine.tries, "patience_s": config.engine.stall_s}
    fleet = Fleet(engines, first=ranks.rank, **options)
    targets = Fleet([*engines, *others], **options) if others else fleet
    weight_sync = WeightSync(
        model,
        tokenizer,
        fleet,
        _handover(config, model, tokenizer, run, ranks),
        run=run.name,
        targets=targets,
        ranks=ranks,
        sleeps=config.engine.sleeps,
        pauses=config.ahead > 0,
    )
    return RemotePolicy(
        model,
        tokenizer,
        fleet,
        weight_sync,
        cache_tokens=config.limits.episode_tokens,
        chat_options=config.chat,
    )


def _handover(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    run: Path,
    ranks: Ranks,
) -> Handover:
    kind, device = config.engine.handover, model.device
    if kind == "disk":
        folder = Path(config.engine.handover_folder or run / WEIGHT_SYNC)
        return ByDisk(model, tokenizer, folder)
    if kind == "gloo":
        return ByTransfer(lambda server: GroupChannel(server, GlooGroup))
    if device.type != "cuda":
        raise ValueError(
            f"engine.handover={kind} sends from a GPU, got a model on {device}: use gloo or disk"
        )
    if kind == "nccl":
        open_group = partial(NcclGroup, device=device)
        shares_gpu = _shares_gpu(config, ranks)

        def channel(server: VLLMServer) -> Channel:
            if shares_gpu and isinstance(server, StartedServer):
                return IpcChannel(server, device)
            return GroupChannel(server, open_group)

        return ByTransfer(channel)
    if ranks.count > 1:
        raise ValueError(
            f"engine.handover=ipc reaches engines on the main process's GPU alone, got "
            f"{ranks.count} processes: use nccl or disk"
        )
    return ByTransfer(lambda server: IpcChannel(server, device))


def _engines(
    config: TrainConfig, start: Path, run: Path, ranks: Ranks
) -> tuple[list[Engine], list[Engine]]:
    """The engines that this process samples from, and on the main process those of the others."""
    engine = config.engine
    if engine.place == "colocated":
        return _colocated_servers(config, start, run, ranks)
    if engine.kind == "vllm_server":
        if engine.place == "apart":
            return _servers_apart(config, start, run, ranks), []
        return [_connect(config, url) for url in engine.servers], []
    if ranks.count > 1:
        raise ValueError(
            f"engine.kind=vllm samples for one process, got {ranks.count}: start servers, and "
            "name them by engine.kind=vllm_server engine.servers=[...]"
        )

    # A user's `engine.options` win over what follows from the other settings.
    options: dict[str, Any] = {"max_model_len": config.limits.episode_tokens}
    if config.lora.rank:
        options |= {"enable_lora": True, "max_lora_rank": config.lora.rank}
    if engine.sleeps:
        options["enable_sleep_mode"] = True
    share = engine_memory_share(config, start, ranks)
    if share is not None:
        options["gpu_memory_utilization"] = share
    return [VLLMEngine(start, **(options | dict(engine.options)))], []


def _colocated_servers(
    config: TrainConfig, start: Path, run: Path, ranks: Ranks
) -> tuple[list[Engine], list[Engine]]:
    """A server next to each process, on its GPU."""
    hosts = ranks.all_gather(socket.gethostname())
    is_one_host = len(set(hosts)) == 1
    gpus = visible_gpus()
    place = server_start(
        config,
        start,
        port=free_port(),
        # Routes that change the weights ask for no password: no further than they must be reached.
        host=LOOPBACK if is_one_host else hosts[ranks.rank],
        gpus=gpus[local_rank() : local_rank() + 1],
        memory_share=engine_memory_share(config, start, ranks),
        handover=IPC if _shares_gpu(config, ranks) else "",
    )
    (own,) = _start_servers(config, [place], run, ranks.rank)
    others: list[Engine] = []
    for rank, url in enumerate(ranks.all_gather(place.url)):
        if ranks.is_main_process and rank != ranks.rank:
            others.append(_connect(config, url))
    return [own], others


def _servers_apart(
    config: TrainConfig, start: Path, run: Path, ranks: Ranks
) -> list[Engine]:
    """Servers that the main process starts, on the GPUs behind those that are trained on."""
    own: list[Engine] = []

    def start_all() -> list[str]:
        size = int(config.engine.options.get("tensor_parallel_size", 1))
        parts = gpus_apart(visible_gpus(), config.engine.count, size)
        places = [
            server_start(config, start, port=free_port(), gpus=part) for part in parts
        ]
        own.extend(_start_servers(config, places, run))
        return [place.url for place in places]

    urls = ranks.broadcast_object(start_all)
    return own or [_connect(config, url) for url in urls]


def _shares_gpu(config: TrainConfig, ranks: Ranks) -> bool:
    """Whether the server of this process gets weights on the GPU that sends them.

    NCCL has no two ranks on one GPU.
    """
    engine = config.engine
    is_sender = ranks.is_main_process
    return is_sender and engine.place == "colocated" and engine.handover == "nccl"


def _start_servers(
    config: TrainConfig, places: Sequence[ServerStart], run: Path, first: int = 0
) -> list[StartedServer]:
    """The servers, whose logs are numbered from `first`."""
    engine = config.engine
    numbers = range(first, first + len(places))
    logs = [run / ENGINE_LOGS / f"{number}.log" for number in numbers]
    return start_servers(places, logs, start_s=engine.start_s, stall_s=engine.stall_s)


def _connect(config: TrainConfig, url: str) -> VLLMServer:
    return VLLMServer(Server(url), stall_s=config.engine.stall_s)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none on a CPU."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]


def local_rank() -> int:
    """The number of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def gpus_apart(gpus: Sequence[str], count: int, size: int) -> list[Sequence[str]]:
    """`size` GPUs for each of `count` servers, behind those of this machine's processes.

    Raises ValueError if there are too few; without any, servers run on the CPU.
    """
    if not gpus:
        return [()] * count
    trained = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if trained + count * size > len(gpus):
        raise ValueError(
            f"engine.place=apart wants {count} servers of {size} GPUs besides the {trained} that "
            f"are trained on, got {len(gpus)} GPUs: lower engine.count, or use "
            "engine.place=colocated"
        )
    firsts = range(trained, trained + count * size, size)
    return [gpus[first : first + size] for first in firsts]
