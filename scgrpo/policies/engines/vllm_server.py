"""A vLLM server as an engine: turns are streamed, weights and states go by its own routes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from scgrpo.policies.completions import Completions, Server, ServerError
from scgrpo.policies.engines.base import EngineLostError, Sampled
from scgrpo.policies.engines.sampling import (
    ADAPTER_PREFIX,
    COMPLETE_DISTRIBUTION,
    EXTENSION,
    turn_of,
)

__all__ = ["VLLMServer"]

LOAD_TIMEOUT_S = 600.0  # loading takes longer than a turn
STATE_TIMEOUT_S = 20.0
RESETS = 20
RESET_WAIT_S = 0.1
REPLICA = "X-data-parallel-rank"


class VLLMServer:
    """A vLLM server, started with VLLM_SERVER_DEV_MODE=1 and `--worker-extension-cls` of ours.

    An `engines.base.Engine`. A turn may take as long as it does, unless the server sends nothing
    for any turn for `stall_s` seconds. Raises ValueError if it does not serve the model, or was
    started without these.
    """

    def __init__(self, server: Server, *, stall_s: float = 120.0) -> None:
        self.name = server.base_url
        self._stall_s = stall_s
        self._completions = Completions(server, may_return=True)
        self._is_paused = False
        # Routes that control the server lie at its root.
        parts = urlsplit(server.base_url)
        root = urlunsplit(parts._replace(path=parts.path.removesuffix("/v1")))
        control = Server(
            root, timeout_s=LOAD_TIMEOUT_S, tries=3, patience_s=LOAD_TIMEOUT_S
        )
        self._control = Completions(control, may_return=True)
        state = Server(root, timeout_s=STATE_TIMEOUT_S, tries=1)
        self._state = Completions(state, may_return=True)
        try:
            models = self._completions.ask("GET", "/models")
            self._model = server.model or str(models["data"][0]["id"])
            self.weight_digests()
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
        adapter: str = "",
    ) -> Sampled:
        """One completion of the ids. Raises EngineLostError, with the part that came."""
        body = {
            "model": self._model_of(adapter),
            "prompt": list(ids),
            "max_tokens": room,
            **COMPLETE_DISTRIBUTION,
            "seed": seed,
            "logprobs": 0,
            "return_token_ids": True,
            "stop": [stop_text] if stop_text else [],
            "include_stop_str_in_output": True,
            "stop_token_ids": list(stop_ids),
            "cache_salt": salt,
            "stream": True,
        }
        turn = _Turn()
        try:
            self._completions.stream(
                "/completions", body, turn.add, stall_s=self._stall_s
            )
        except ServerError as error:
            if error.refused:
                raise
            raise EngineLostError(str(error), turn.sampled) from error
        if turn.reason is None:
            problem = f"{self.name} ended a turn without a reason"
            raise EngineLostError(problem, turn.sampled)
        return turn.complete()

    def score(self, ids: Sequence[int], *, adapter: str = "") -> list[list[float]]:
        """See `Engine.score`; a replica is one of `--data-parallel-size`."""
        body = {
            "model": self._model_of(adapter),
            "prompt": list(ids),
            "max_tokens": 1,
            "prompt_logprobs": 0,
            "return_token_ids": True,
        }
        scores: list[list[float]] = []
        for replica in range(self._replicas()):
            headers = {REPLICA: str(replica)} if replica else {}
            answer = self._control.ask("POST", "/v1/completions", body, headers=headers)
            try:
                entries = answer["choices"][0]["prompt_logprobs"][1:]
                pairs = zip(entries, ids[1:], strict=True)
                scores.append([float(entry[str(i)]["logprob"]) for entry, i in pairs])
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise ServerError(
                    f"{self.name} gave no log-probabilities of a prompt: {str(answer):.200}"
                ) from error
        return scores

    def load(self, folder: Path) -> None:
        """Has every worker read the weights, and forgets what it cached. Raises ServerError."""
        self.call_workers("sync_weights", {"weights_path": str(folder.resolve())})
        self.forget()

    def load_adapter(self, folder: Path) -> None:
        """See `Engine.load_adapter`; the server needs `--enable-lora`.

        It forgets the one before, also an earlier run's, and what it cached of it.
        """
        served = self._completions.ask("GET", "/models")["data"]
        for name in [str(model["id"]) for model in served]:
            if name.startswith(ADAPTER_PREFIX):
                self._adapter_call("unload", lora_name=name)
        name, path = self._model_of(folder.name), str(folder.resolve())
        self._adapter_call("load", lora_name=name, lora_path=path)
        self.forget()

    def forget(self) -> None:
        """Empties the prefix cache. Raises ServerError if the server keeps it.

        It cannot while blocks of ended requests are being given back, which takes moments. Of
        turns that wait it keeps them: they are cached under the salt of an earlier version.
        """
        if self._is_paused:
            return
        for _ in range(RESETS):
            answer = self._control.ask("POST", "/reset_prefix_cache", words=True)
            if '"success":false' not in answer.replace(" ", ""):
                return
            time.sleep(RESET_WAIT_S)
        raise ServerError(
            f"{self.name} keeps its prefix cache: does something else use the server?"
        )

    def weight_digests(self) -> list[dict[str, str]]:
        """See `Engine.weight_digests`. Raises ServerError."""
        digests = self.call_workers("weight_digests", {})
        if self._replicas() > 1:
            self._compare_replicas()
        return digests

    def set_version(self, version: str) -> None:
        """See `Engine.set_version`."""
        self.control("/update_weight_version", {"new_version": version})

    def version(self) -> str:
        """See `Engine.version`; one try, so that a dead server is answered for at once."""
        return str(self._state.ask("GET", "/weight_info")["weight_version"])

    def pause(self) -> None:
        """See `Engine.pause`."""
        self.control("/pause?mode=keep")
        self._is_paused = True

    def resume(self) -> None:
        """See `Engine.resume`."""
        self.control("/resume")
        self._is_paused = False

    def sleep(self, *, keep_weights: bool) -> None:
        """See `Engine.sleep`; the server needs `--enable-sleep-mode`."""
        self.control(f"/sleep?level={1 if keep_weights else 2}")

    def wake(self, what: str) -> None:
        """See `Engine.wake`."""
        self.control(f"/wake_up?tags={what}")

    def control(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What a route at the server's root answers to a POST. Raises ServerError."""
        return self._control.ask("POST", path, body)

    def call_workers(self, method: str, arguments: Mapping[str, Any]) -> list[Any]:
        """What each worker's method returns; of replicas only the first one's workers."""
        body = {"method": method, "kwargs": dict(arguments)}
        answer = self._control.ask("POST", "/collective_rpc", body, words=True)
        # Without a body if no worker returns anything.
        return list(json.loads(answer)["results"]) if answer.strip() else []

    def workers(self) -> int:
        """How many processes compute: over tensor, pipeline and data parallelism."""
        return int(self._control.ask("GET", "/get_world_size")["world_size"])

    def close(self) -> None:
        """Ends running requests; the server keeps running."""
        self._completions.close()
        self._control.close()
        self._state.close()

    def _model_of(self, adapter: str) -> str:
        """The name by which the server knows an adapter; without one, the model's."""
        return f"{ADAPTER_PREFIX}{adapter}" if adapter else self._model

    def _replicas(self) -> int:
        path = "/get_world_size?include_dp=false"
        of_one = self._control.ask("GET", path)["world_size"]
        return max(1, self.workers() // max(1, int(of_one)))

    def _compare_replicas(self) -> None:
        """Raises ServerError unless all replicas hold the same weights.

        `call_workers` is answered by the first of them alone.
        """
        answer = self.control("/weight_checker", {"action": "checksum"})
        by_replica: dict[str, dict[str, str]] = {}
        for key, value in answer["checksums"].items():
            replica, _, rest = key.partition(":")
            by_replica.setdefault(replica, {})[rest] = value
        first, *others = by_replica.values()
        if any(other != first for other in others):
            raise ServerError(
                f"{self.name}: its replicas hold different weights; restart the server"
            )

    def _adapter_call(self, action: str, **body: str) -> None:
        # It answers in words, not in JSON.
        path = f"/{action}_lora_adapter"
        self._completions.ask("POST", path, body, words=True)


class _Turn:
    """What has come of a turn; events that are no part of one are passed over."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._ids: list[int] = []
        self._logprobs: list[float | None] = []

    @property
    def sampled(self) -> Sampled:
        """The tokens so far that have their log-probabilities."""
        count = min(len(self._ids), len(self._logprobs))
        logprobs = [p for p in self._logprobs[:count] if p is not None]
        return Sampled(self._ids[: len(logprobs)], logprobs, self.reason == "length")

    def add(self, event: Any) -> None:
        """Reads a server-sent event of a completion."""
        # One that tells an error has no choices.
        for choice in (event.get("choices") or [])[:1]:
            self._ids += map(int, choice.get("token_ids") or [])
            scores = choice.get("logprobs") or {}
            self._logprobs += scores.get("token_logprobs") or []
            self.reason = choice.get("finish_reason") or self.reason

    def complete(self) -> Sampled:
        """The whole turn. Raises ServerError unless every id has its log-probability."""
        return turn_of(self._ids, self._logprobs, cut=self.reason == "length")
