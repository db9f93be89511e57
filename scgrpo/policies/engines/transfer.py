"""Hand-over from memory to memory, by vLLM's own weight transfer (`--weight-transfer-config`).

An update has phases: `/start_weight_update`, `/update_weights` for each bucket of weights, and
`/finish_weight_update`. The bytes go by a channel of each engine's own, so that a lost
engine takes no other with it. Buckets have a few weights, or one large one: besides the model no
more is in memory.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

import torch
from torch import Tensor

from scgrpo.policies.completions import ServerError
from scgrpo.policies.engines.base import Engine
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.engines.groups import Group
from scgrpo.policies.engines.network import free_port, own_address
from scgrpo.policies.engines.vllm_server import VLLMServer

__all__ = ["Bucket", "ByTransfer", "Channel", "GroupChannel", "IpcChannel"]

BUCKET_BYTES = 256 * 2**20

Bucket = Sequence[tuple[str, Tensor]]


class Channel(Protocol):
    """The way of weights to the workers of one engine."""

    def send(self, bucket: Bucket) -> None:
        """Has the workers load the weights; returns when they have. Raises ServerError."""
        ...

    def close(self) -> None:
        """Ends the connection. Safe to call twice."""
        ...


class ByTransfer:
    """A `Handover` by channels, which are opened at the first hand-over and after a failure.

    | argument | meaning |
    |---|---|
    | open_channel | the channel of an engine |
    """

    streams = True

    def __init__(self, open_channel: Callable[[VLLMServer], Channel]) -> None:
        self._open = open_channel
        self._channels: dict[str, Channel] = {}

    def push(
        self,
        weights: Iterator[tuple[str, Tensor]],
        fleet: Fleet,
        number: int,
    ) -> None:
        """See `Handover.push`."""
        fleet.hand_over(self._start)
        for bucket in buckets(weights):
            fleet.check(lambda engine, bucket=bucket: self._send(engine, bucket))
        fleet.check(self._finish)

    def close(self) -> None:
        """Ends all connections."""
        while self._channels:
            _, channel = self._channels.popitem()
            channel.close()

    def _start(self, engine: Engine) -> None:
        server = _server(engine)
        if engine.name not in self._channels:
            self._channels[engine.name] = self._open(server)
        with self._lost_on_error(engine):
            try:
                server.control("/start_weight_update")
            except ServerError:
                # An update that broke off, perhaps an earlier run's, is still open.
                server.control("/finish_weight_update", {})
                server.control("/start_weight_update")

    def _send(self, engine: Engine, bucket: Bucket) -> None:
        with self._lost_on_error(engine):
            self._channels[engine.name].send(bucket)

    def _finish(self, engine: Engine) -> None:
        server = _server(engine)
        with self._lost_on_error(engine):
            server.control("/finish_weight_update", {})
            server.call_workers("tie_head", {})
            server.forget()

    def _lost_on_error(self, engine: Engine) -> _LostOnError:
        return _LostOnError(self._channels, engine.name)


class _LostOnError:
    """Drops the channel of an engine that fails, so that the next hand-over opens another."""

    def __init__(self, channels: dict[str, Channel], name: str) -> None:
        self._channels, self._name = channels, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        if kind is not None and (channel := self._channels.pop(self._name, None)):
            channel.close()


class GroupChannel:
    """Broadcasts weights in a group with the engine's workers, one after the other.

    | argument | meaning |
    |---|---|
    | open_group | of (host, port, size): joins the group as rank 0 |
    """

    def __init__(
        self, server: VLLMServer, open_group: Callable[[str, int, int], Group]
    ) -> None:
        self._server = server
        self._threads = ThreadPoolExecutor(2, "transfer")
        host, port = own_address(server.name), free_port()
        size = 1 + server.workers()
        info = {
            "master_address": host,
            "master_port": port,
            "rank_offset": 1,
            "world_size": size,
            "packed": False,
        }
        # Both wait for each other; of workers that fail the group would wait for minutes.
        answer = self._ask("/init_weight_transfer_engine", {"init_info": info})
        group = self._threads.submit(open_group, host, port, size)
        wait([answer, group], return_when=FIRST_EXCEPTION)
        if answer.done():
            answer.result()
        self._group = group.result()

    def send(self, bucket: Bucket) -> None:
        """See `Channel.send`."""
        answer = self._ask("/update_weights", {"update_info": description(bucket)})

        def go_on() -> None:
            # Workers that failed will never take part.
            if answer.done() and answer.exception() is not None:
                answer.result()

        self._group.broadcast([weight for _, weight in bucket], go_on)
        answer.result()

    def close(self) -> None:
        """See `Channel.close`."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._group.close()

    def _ask(self, path: str, body: Mapping[str, Any]) -> Future[Any]:
        return self._threads.submit(self._server.control, path, body)


class IpcChannel:
    """Shares a buffer on the GPU with the workers of an engine on the same one.

    The server needs VLLM_ALLOW_INSECURE_SERIALIZATION=1, since handles of memory are pickled.
    """

    def __init__(self, server: VLLMServer, device: torch.device) -> None:
        self._server, self._device = server, device
        self._buffer = torch.empty(0, dtype=torch.uint8, device=device)
        server.control("/init_weight_transfer_engine", {"init_info": {"packed": True}})

    def send(self, bucket: Bucket) -> None:
        """See `Channel.send`; the workers copy what they load before they answer."""
        from torch.multiprocessing.reductions import reduce_tensor

        values = [
            weight.contiguous().view(-1).view(torch.uint8) for _, weight in bucket
        ]
        sizes = [len(value) for value in values]
        if sum(sizes) > len(self._buffer):
            self._buffer = self._buffer.new_empty(max(BUCKET_BYTES, sum(sizes)))
        torch.cat(values, out=self._buffer[: sum(sizes)])
        torch.cuda.synchronize(self._device)

        uuid = str(torch.cuda.get_device_properties(self._device).uuid)
        _, handle = reduce_tensor(self._buffer)
        pickled = base64.b64encode(pickle.dumps({uuid: handle})).decode()
        info = description(bucket) | {
            "tensor_sizes": sizes,
            "ipc_handles_pickled": pickled,
        }
        self._server.control("/update_weights", {"update_info": info})

    def close(self) -> None:
        """See `Channel.close`."""
        self._buffer = self._buffer.new_empty(0)
        torch.cuda.ipc_collect()


def buckets(weights: Iterator[tuple[str, Tensor]]) -> Iterator[Bucket]:
    """The weights in groups of at most 256 MiB, or one alone that is larger."""
    bucket: list[tuple[str, Tensor]] = []
    size = 0
    for name, weight in weights:
        if bucket and size + weight.nbytes > BUCKET_BYTES:
            yield bucket
            bucket, size = [], 0
        bucket.append((name, weight))
        size += weight.nbytes
        # Not held while the next one is gathered.
        if size >= BUCKET_BYTES:
            yield bucket
            bucket, size = [], 0
    if bucket:
        yield bucket


def description(bucket: Bucket) -> dict[str, Any]:
    """What vLLM's workers must know of a bucket: names, types and shapes."""
    return {
        "names": [name for name, _ in bucket],
        "dtype_names": [str(weight.dtype).partition(".")[2] for _, weight in bucket],
        "shapes": [list(weight.shape) for _, weight in bucket],
    }


def _server(engine: Engine) -> VLLMServer:
    if not isinstance(engine, VLLMServer):
        raise TypeError(f"got {type(engine).__name__}, expected a VLLMServer")
    return engine
