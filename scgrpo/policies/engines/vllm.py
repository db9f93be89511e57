"""vLLM as an engine in the training process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

from scgrpo.policies.completions import ServerError
from scgrpo.policies.engines.base import Sampled
from scgrpo.policies.engines.sampling import COMPLETE_DISTRIBUTION, EXTENSION, turn_of

__all__ = ["VLLMEngine"]


class VLLMEngine:
    """vLLM in this process: its own engine on a background event loop.

    An `engines.base.Engine`. `options` go to `vllm.AsyncEngineArgs`. Raises ValueError if vLLM is
    not installed.
    """

    name = "vLLM in this process"

    def __init__(self, model: Path, **options: Any) -> None:
        try:
            from vllm import AsyncEngineArgs  # pyright: ignore
            from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore
        except ImportError as error:
            raise ValueError(
                f'vLLM cannot be used here ({error}): pip install "scgrpo[vllm]"'
            ) from error
        self._count, self._lock, self._closed = 0, threading.Lock(), False
        self._adapter: Any = None
        self._version = ""
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
        adapter: str = "",
    ) -> Sampled:
        """One completion of the ids. Raises ServerError."""
        done = self._complete(
            ids,
            salt,
            adapter,
            max_tokens=room,
            seed=seed,
            logprobs=0,
            stop=[stop_text] if stop_text else [],
            include_stop_str_in_output=True,
            stop_token_ids=list(stop_ids),
            **COMPLETE_DISTRIBUTION,
        ).outputs[0]
        steps = zip(done.logprobs, done.token_ids, strict=True)
        logprobs = [step[i].logprob for step, i in steps]
        return turn_of(
            list(done.token_ids), logprobs, cut=done.finish_reason == "length"
        )

    def score(self, ids: Sequence[int], *, adapter: str = "") -> list[list[float]]:
        """See `Engine.score`."""
        done = self._complete(ids, "", adapter, max_tokens=1, prompt_logprobs=0)
        pairs = zip(done.prompt_logprobs[1:], ids[1:], strict=True)
        return [[float(step[i].logprob) for step, i in pairs]]

    def load(self, folder: Path) -> None:
        """Has every worker read the weights, and forgets what it cached."""
        arguments = {"weights_path": str(folder.resolve())}
        self._wait(self._engine.collective_rpc("sync_weights", kwargs=arguments))
        self._wait(self._engine.reset_prefix_cache())

    def load_adapter(self, folder: Path) -> None:
        """See `Engine.load_adapter`; the engine needs `enable_lora=True`."""
        from vllm.lora.request import LoRARequest  # pyright: ignore

        before = self._adapter
        number = before.lora_int_id + 1 if before else 1
        self._adapter = LoRARequest(folder.name, number, str(folder.resolve()))
        self._wait(self._engine.add_lora(self._adapter))
        if before:
            self._wait(self._engine.remove_lora(before.lora_int_id))

    def weight_digests(self) -> list[dict[str, str]]:
        """See `Engine.weight_digests`."""
        return list(self._wait(self._engine.collective_rpc("weight_digests")))

    def set_version(self, version: str) -> None:
        """See `Engine.set_version`."""
        self._version = version

    def version(self) -> str:
        """See `Engine.version`: it lives and ends with this process."""
        return self._version

    def pause(self) -> None:
        """See `Engine.pause`."""
        self._wait(self._engine.pause_generation(mode="keep"))

    def resume(self) -> None:
        """See `Engine.resume`."""
        self._wait(self._engine.resume_generation())

    def sleep(self, *, keep_weights: bool) -> None:
        """See `Engine.sleep`; the engine needs `enable_sleep_mode=True`."""
        self._wait(self._engine.sleep(1 if keep_weights else 2))

    def wake(self, what: str) -> None:
        """See `Engine.wake`."""
        self._wait(self._engine.wake_up([what]))

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

    def _complete(
        self, ids: Sequence[int], salt: str, adapter: str, **options: Any
    ) -> Any:
        """The last output for the ids, which holds the whole completion."""
        from vllm import SamplingParams  # pyright: ignore

        with self._lock:
            self._count += 1
            request_id = str(self._count)
        prompt: dict[str, Any] = {"prompt_token_ids": list(ids)}
        if salt:
            prompt["cache_salt"] = salt

        async def last() -> Any:
            outputs = self._engine.generate(
                prompt,
                SamplingParams(**options),
                request_id=request_id,
                lora_request=self._adapter if adapter else None,
            )
            return [output async for output in outputs][-1]

        return self._wait(last())

    def _wait(self, work: Any) -> Any:
        if self._closed:
            raise ServerError("the engine was closed")
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except CancelledError as error:
            raise ServerError("the engine was closed") from error
