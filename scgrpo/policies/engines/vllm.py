"""vLLM as an engine: a server of its own, or in the training process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from scgrpo.policies.completions import Completions, Server, ServerError
from scgrpo.policies.engines.base import Sampled

__all__ = ["EXTENSION", "VLLMEngine", "VLLMServer"]

ADAPTER_PREFIX = "scgrpo-"
EXTENSION = "scgrpo.policies.engines.vllm_worker.WeightSyncWorker"
LOAD_TIMEOUT_S = 600.0  # loading takes longer than a turn


class VLLMServer:
    """A vLLM server, started with VLLM_SERVER_DEV_MODE=1 and `--worker-extension-cls` of ours.

    An `engines.base.Engine`. Raises ValueError if it does not serve the model, or was started
    without these.
    """

    def __init__(self, server: Server) -> None:
        self._completions, self._adapter = Completions(server), ""
        # Routes that control the server lie at its root.
        parts = urlsplit(server.base_url)
        root = urlunsplit(parts._replace(path=parts.path.removesuffix("/v1")))
        self._control = Completions(Server(root, timeout_s=LOAD_TIMEOUT_S, tries=3))
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
        stop_text: str,
    ) -> Sampled:
        """One completion of the ids. Raises ServerError."""
        body = {
            "model": self._adapter or self._model,
            "prompt": list(ids),
            "max_tokens": room,
            # The complete distribution, whatever the model's generation config says.
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "seed": seed,
            "logprobs": 0,
            "return_token_ids": True,
            "stop": [stop_text] if stop_text else [],
            "include_stop_str_in_output": True,
            "stop_token_ids": list(stop_ids),
            "cache_salt": salt,
        }
        answer = self._completions.ask("POST", "/completions", body)
        try:
            choice = answer["choices"][0]
            token_ids = choice["token_ids"]
            logprobs = choice["logprobs"]["token_logprobs"]
            return _make_turn(
                token_ids, logprobs, cut=choice["finish_reason"] == "length"
            )
        except (KeyError, IndexError, TypeError) as error:
            raise ServerError(
                f"the server gave no token ids: {str(answer):.200}"
            ) from error

    def load(self, folder: Path) -> None:
        """Has every worker read the weights, and forgets what it cached. Raises ServerError."""
        self._rpc("sync_weights", {"weights_path": str(folder.resolve())})
        self._control.ask("POST", "/reset_prefix_cache")

    def load_adapter(self, folder: Path) -> None:
        """Samples from this adapter from now on; the server needs `--enable-lora`.

        It forgets the one before, also an earlier run's, and what it cached of it.
        """
        served = self._completions.ask("GET", "/models")["data"]
        for name in [str(model["id"]) for model in served]:
            if name.startswith(ADAPTER_PREFIX):
                self._adapter_call("unload", lora_name=name)
        self._adapter = f"{ADAPTER_PREFIX}{folder.name}"
        path = str(folder.resolve())
        self._adapter_call("load", lora_name=self._adapter, lora_path=path)
        self._control.ask("POST", "/reset_prefix_cache")

    def _adapter_call(self, action: str, **body: str) -> None:
        # It answers in words, not in JSON.
        path = f"/{action}_lora_adapter"
        self._completions.ask("POST", path, body, words=True)

    def weight_checksums(self) -> set[str]:
        """The checksum of each worker. Raises ServerError."""
        return set(self._rpc("weight_checksum", {}))

    def close(self) -> None:
        """Ends running requests; the server keeps running."""
        self._completions.close()
        self._control.close()

    def _rpc(self, method: str, arguments: Mapping[str, Any]) -> list[Any]:
        body = {"method": method, "kwargs": dict(arguments)}
        answer = self._control.ask("POST", "/collective_rpc", body)
        return list(answer["results"]) if answer else []


class VLLMEngine:
    """vLLM in this process: its own engine on a background event loop.

    An `engines.base.Engine`. `options` go to `vllm.AsyncEngineArgs`. Raises ValueError if vLLM is
    not installed.
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
            """Starts the engine in the thread of its loop."""
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
        stop_text: str,
    ) -> Sampled:
        """One completion of the ids. Raises ServerError."""
        from vllm import SamplingParams  # pyright: ignore

        params = SamplingParams(
            max_tokens=room,
            temperature=1.0,
            top_p=1.0,
            seed=seed,
            logprobs=0,
            stop=[stop_text] if stop_text else [],
            include_stop_str_in_output=True,
            stop_token_ids=list(stop_ids),
        )
        with self._lock:
            self._count += 1
            request_id = str(self._count)

        async def last() -> Any:
            """The last output, which holds the whole completion."""
            prompt = {"prompt_token_ids": list(ids), "cache_salt": salt}
            outputs = self._engine.generate(
                prompt, params, request_id=request_id, lora_request=self._adapter
            )
            return [output async for output in outputs][-1]

        done = self._wait(last()).outputs[0]
        steps = zip(done.logprobs, done.token_ids, strict=True)
        logprobs = [step[i].logprob for step, i in steps]
        return _make_turn(
            list(done.token_ids), logprobs, cut=done.finish_reason == "length"
        )

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
        """The checksum of each worker."""
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
        # Freed here: its destructor shuts it down again, which an exiting interpreter cannot.
        del engine

    def _wait(self, work: Any) -> Any:
        if self._closed:
            raise ServerError("the engine was closed")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except CancelledError as error:
            raise ServerError("the engine was closed") from error


def _make_turn(
    ids: Sequence[int], logprobs: Sequence[float | None], *, cut: bool
) -> Sampled:
    """Raises ServerError unless every id has its log-probability."""
    if not ids or len(ids) != len(logprobs) or None in logprobs:
        raise ServerError(
            f"got {len(ids)} ids and {len(logprobs)} log-probabilities of a turn"
        )
    return Sampled([int(i) for i in ids], [float(p or 0.0) for p in logprobs], cut)
