"""Who samples for a vLLM policy: a server of vLLM's, or its engine in this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit, urlunsplit

from scgrpo.policies.completions import Completions, Server, ServerError

__all__ = ["EXTENSION", "Engine", "Sampled", "VLLMEngine", "VLLMServer"]

CALL_END = "</tool_call>"
ADAPTER = "scgrpo-"
EXTENSION = "scgrpo.policies.engines.vllm_worker.WeightSyncWorker"


class Sampled(NamedTuple):
    """A turn: its ids, their log-probabilities in nats, and whether the limit cut it."""

    ids: list[int]
    logprobs: list[float]
    cut: bool


class Engine(Protocol):
    """Whoever samples. Thread-safe; errors are ServerError."""

    def sample(
        self,
        ids: Sequence[int],
        *,
        room: int,
        seed: int,
        salt: str,
        stop_ids: Sequence[int],
    ) -> Sampled: ...

    def load(self, folder: Path) -> None: ...

    def load_adapter(self, folder: Path) -> None: ...

    def weight_checksums(self) -> set[str]: ...

    def close(self) -> None: ...


class VLLMServer:
    """A vLLM server, started with VLLM_SERVER_DEV_MODE=1 and `--worker-extension-cls` of ours.

    Raises ValueError where it does not serve the model, or lacks what was said.
    """

    def __init__(self, server: Server) -> None:
        self._completions, self._adapter = Completions(server), ""
        parts = urlsplit(server.base_url)
        root = urlunsplit(parts._replace(path=parts.path.removesuffix("/v1")))
        # Loading takes longer than a turn.
        self._control = Completions(Server(root, timeout_s=600.0, tries=3))
        try:
            models = self._completions.ask("GET", "/models")
            self._model = server.model or str(models["data"][0]["id"])
            self.weight_checksums()
        except (ServerError, KeyError, IndexError, TypeError) as error:
            self.close()
            raise ValueError(
                f"{server.base_url} is no vLLM server that can follow training ({error}); start it "
                f"with VLLM_SERVER_DEV_MODE=1 and --worker-extension-cls {EXTENSION}"
            ) from error

    def sample(
        self,
        ids: Sequence[int],
        *,
        room: int,
        seed: int,
        salt: str,
        stop_ids: Sequence[int],
    ) -> Sampled:
        """One completion of the ids. Raises ServerError."""
        answer = self._completions.ask(
            "POST",
            "/completions",
            {
                "model": self._adapter or self._model,
                "prompt": list(ids),
                "max_tokens": room,
                "temperature": 1.0,
                "top_p": 1.0,
                "top_k": 0,
                "min_p": 0.0,
                "seed": seed,
                "logprobs": 0,
                "return_token_ids": True,
                "stop": [CALL_END],
                "include_stop_str_in_output": True,
                "stop_token_ids": list(stop_ids),
                "cache_salt": salt,
            },
        )
        try:
            choice = answer["choices"][0]
            sampled, logprobs = (
                choice["token_ids"],
                choice["logprobs"]["token_logprobs"],
            )
            return _checked(sampled, logprobs, choice["finish_reason"] == "length")
        except (KeyError, IndexError, TypeError) as error:
            raise ServerError(
                f"the server gave no token ids: {str(answer):.200}"
            ) from error

    def load(self, folder: Path) -> None:
        """Has every worker read the weights, and forgets what it cached. Raises ServerError."""
        arguments = {"weights_path": str(folder.resolve())}
        self._rpc("sync_weights", arguments)
        self._control.ask("POST", "/reset_prefix_cache")

    def load_adapter(self, folder: Path) -> None:
        """Samples from this adapter from now on; the server needs `--enable-lora`.

        It forgets the one before, also an earlier run's, and what it cached of it.
        """
        for served in self._completions.ask("GET", "/models")["data"]:
            if str(served["id"]).startswith(ADAPTER):
                self._adapt("unload", lora_name=served["id"])
        self._adapter = f"{ADAPTER}{folder.name}"
        self._adapt("load", lora_name=self._adapter, lora_path=str(folder.resolve()))
        self._control.ask("POST", "/reset_prefix_cache")

    def _adapt(self, deed: str, **body: str) -> None:
        self._completions.ask("POST", f"/{deed}_lora_adapter", body, words=True)

    def weight_checksums(self) -> set[str]:
        """The checksum that each worker says."""
        return set(self._rpc("weight_checksum", {}))

    def close(self) -> None:
        """Ends running requests; the server goes on."""
        self._completions.close()
        self._control.close()

    def _rpc(self, method: str, arguments: Mapping[str, Any]) -> list[Any]:
        body = {"method": method, "kwargs": dict(arguments)}
        answer = self._control.ask("POST", "/collective_rpc", body)
        return list(answer["results"]) if answer else []


class VLLMEngine:
    """vLLM in this process: its own engine on a background event loop.

    `options` go to `vllm.AsyncEngineArgs`. Raises ValueError where vLLM is not installed.
    """

    def __init__(self, model: Path, **options: Any) -> None:
        try:
            from vllm import AsyncEngineArgs  # pyright: ignore
            from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore
        except ImportError as error:
            raise ValueError(
                f'vLLM cannot be used here ({error}): pip install "vllm"'
            ) from error
        self._count, self._lock, self._closed = 0, threading.Lock(), False
        self._adapter: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="vllm", daemon=True
        )
        self._thread.start()
        arguments = AsyncEngineArgs(
            model=str(model), worker_extension_cls=EXTENSION, **{"seed": 0, **options}
        )

        async def start() -> Any:
            return AsyncLLM.from_engine_args(arguments)

        self._engine: Any = self._wait(start())

    def sample(
        self,
        ids: Sequence[int],
        *,
        room: int,
        seed: int,
        salt: str,
        stop_ids: Sequence[int],
    ) -> Sampled:
        """One completion of the ids. Raises ServerError."""
        from vllm import SamplingParams  # pyright: ignore

        how = SamplingParams(
            max_tokens=room,
            temperature=1.0,
            top_p=1.0,
            seed=seed,
            logprobs=0,
            stop=[CALL_END],
            include_stop_str_in_output=True,
            stop_token_ids=list(stop_ids),
        )
        with self._lock:
            self._count += 1
            name = str(self._count)

        async def last() -> Any:
            prompt = {"prompt_token_ids": list(ids), "cache_salt": salt}
            turns = self._engine.generate(
                prompt, how, request_id=name, lora_request=self._adapter
            )
            return [turn async for turn in turns][-1]

        done = self._wait(last()).outputs[0]
        logprobs = [
            step[i].logprob
            for step, i in zip(done.logprobs, done.token_ids, strict=True)
        ]
        return _checked(list(done.token_ids), logprobs, done.finish_reason == "length")

    def load(self, folder: Path) -> None:
        """Has every worker read the weights, and forgets what it cached."""
        arguments = {"weights_path": str(folder.resolve())}
        self._wait(self._engine.collective_rpc("sync_weights", kwargs=arguments))
        self._wait(self._engine.reset_prefix_cache())

    def load_adapter(self, folder: Path) -> None:
        """Samples from this adapter from now on; the engine needs `enable_lora=True`."""
        from vllm.lora.request import LoRARequest  # pyright: ignore

        before = self._adapter
        number = before.lora_int_id + 1 if before else 1
        self._adapter = LoRARequest(folder.name, number, str(folder.resolve()))
        self._wait(self._engine.add_lora(self._adapter))
        if before:
            self._wait(self._engine.remove_lora(before.lora_int_id))

    def weight_checksums(self) -> set[str]:
        """The checksum that each worker says."""
        return set(self._wait(self._engine.collective_rpc("weight_checksum")))

    def close(self) -> None:
        """Ends the engine's processes. Safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        engine, self._engine = self._engine, None
        engine.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # Now, since it ends itself again as it is forgotten, and an interpreter's end is too late.
        del engine

    def _wait(self, work: Any) -> Any:
        if self._closed:
            raise ServerError("the engine was closed")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except CancelledError as error:
            raise ServerError("the engine was closed") from error


def _checked(
    ids: Sequence[int], logprobs: Sequence[float | None], cut: bool
) -> Sampled:
    """Raises ServerError unless every id has its log-probability."""
    if not ids or len(ids) != len(logprobs) or None in logprobs:
        raise ServerError(
            f"got {len(ids)} ids and {len(logprobs)} log-probabilities of a turn"
        )
    return Sampled([int(i) for i in ids], [float(p or 0.0) for p in logprobs], cut)
