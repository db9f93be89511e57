"""vLLM's routes on loopback, over a model of transformers, with the faults that a test wants."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM

from scgrpo.policies.engines.digests import adapter_digests, head_digest, norm_digests
from scgrpo.policies.engines.groups import GlooGroup

PACKAGE = """
import sys, time
from pathlib import Path
from tests.scgrpo.policies.engines.small_vllm import SmallVLLM

def value(flag):
    return sys.argv[sys.argv.index(flag) + 1]

with SmallVLLM(Path(value("--model")), penalty=PENALTY).running(int(value("--port"))):
    time.sleep(600)
"""
LOADING = threading.Lock()
NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
NEUTRAL |= {"repetition_penalty": 1.0, "presence_penalty": 0.0}
NEUTRAL |= {"frequency_penalty": 0.0}


class SmallVLLM:
    """One engine. Turns depend on ids, seed and weights alone, not on what else it does.

    | argument | meaning |
    |---|---|
    | penalty | on repetition, which no request asks for |
    | tensor_parallel | its workers share the rows of the head |
    | replicas | under one address |

    | attribute | meaning |
    |---|---|
    | fault | `stall` or `die`, once `fault_after` tokens of turns were written; `stale`; |
    | | `update`, broken while it gets weights; `replica`, one with other weights |
    | turns | bodies of the requests for turns |
    | calls | paths of all other requests |
    """

    def __init__(
        self,
        folder: Path,
        *,
        penalty: float = 1.0,
        tensor_parallel: int = 1,
        replicas: int = 1,
    ) -> None:
        self.fault, self.fault_after = "", math.inf
        self.turns: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.weight_version = "default"
        self.is_asleep = False
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._folder, self._penalty = folder, penalty
        self._workers, self._replicas = tensor_parallel, replicas
        self._written = 0
        self._group: Any = None
        self._received: dict[str, torch.Tensor] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.load(folder)

    def load(self, folder: Path) -> None:
        # The library ties weights wrongly if two threads load at the same time.
        with LOADING:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model = model.eval()
        self.adapter = ""

    def load_adapter(self, name: str, path: str) -> None:
        """One at a time: the model with it, until it is unloaded."""
        assert not self.adapter, "unload that first"
        with self._lock:
            self.model = PeftModel.from_pretrained(self.model, path).eval()
            self.adapter = name

    def unload_adapter(self, name: str) -> None:
        assert name == self.adapter
        with self._lock:
            self.model, self.adapter = self.model.unload(), ""

    def restart(self) -> None:
        """As a supervisor would do: with the weights that it began with."""
        self.fault, self.weight_version = "", "default"
        self.load(self._folder)

    @torch.no_grad()
    def logits(self, ids: list[int]) -> torch.Tensor:
        with self._lock:
            return self.model(torch.tensor([ids])).logits[0].double()

    def draw(self, ids: list[int], rng: np.random.Generator) -> tuple[int, float]:
        logits = self.logits(ids)[-1]
        raw = logits.log_softmax(-1)
        seen = torch.tensor(sorted(set(ids)))
        scaled = logits[seen]
        scaled = torch.where(scaled > 0, scaled / self._penalty, scaled * self._penalty)
        mass = logits.index_copy(0, seen, scaled).softmax(-1).cumsum(-1)
        chosen = int(torch.searchsorted(mass, rng.random() * float(mass[-1])))
        return chosen, float(raw[chosen])

    def turn(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Events of a streamed completion."""
        assert {name: body[name] for name in NEUTRAL} == NEUTRAL
        # As vLLM refuses it.
        assert 0 < len(body["cache_salt"]) <= 128
        assert not set("@/\\") & set(body["cache_salt"])
        ids, stop = list(body["prompt"]), set(body["stop_token_ids"])
        rng = np.random.default_rng(body["seed"])
        for place in range(body["max_tokens"]):
            self._goes_on.wait()
            chosen, logprob = self.draw(ids, rng)
            ids.append(chosen)
            with self._lock:
                self._written += 1
                is_broken = self._written > self.fault_after
            if is_broken and self.fault == "stall":
                self._ended.wait()
            if is_broken and self.fault == "die":
                raise ConnectionResetError
            is_last = place + 1 == body["max_tokens"]
            reason = "stop" if chosen in stop else "length" if is_last else None
            yield {
                "choices": [
                    {
                        "token_ids": [chosen],
                        "logprobs": {"token_logprobs": [logprob]},
                        "finish_reason": reason,
                    }
                ]
            }
            if reason:
                return

    def scores(self, ids: list[int]) -> list[dict[str, Any] | None]:
        raw = self.logits(ids).log_softmax(-1)
        entries: list[dict[str, Any] | None] = [None]
        for place, i in enumerate(ids[1:]):
            entries.append({str(i): {"logprob": float(raw[place, i])}})
        return entries

    def digests(self) -> list[dict[str, str]]:
        head = self.model.get_output_embeddings().weight
        base = getattr(self.model, "base_model", self.model)
        norms = norm_digests(base.named_parameters())
        norms |= adapter_digests(self.matrices())
        size = -(-len(head) // self._workers)
        parts = range(0, len(head), size)
        return [norms | head_digest(head[a : a + size], a) for a in parts]

    def matrices(self) -> Iterator[torch.Tensor]:
        """As vLLM keeps them: the second one times the scale."""
        for layer in self.model.modules():
            if isinstance(layer, LoraLayer):
                yield layer.lora_A["default"].weight
                yield layer.lora_B["default"].weight * layer.scaling["default"]

    def answer(self, path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/models":
            names = ["m", *filter(None, [self.adapter])]
            return {"data": [{"id": name} for name in names]}
        if path == "/v1/load_lora_adapter":
            if self.fault == "stale":
                self.adapter = body["lora_name"]
            else:
                self.load_adapter(body["lora_name"], body["lora_path"])
            return {}
        if path == "/v1/unload_lora_adapter":
            if self.fault == "stale":
                self.adapter = ""
            else:
                self.unload_adapter(body["lora_name"])
            return {}
        if path == "/v1/completions":
            # Nothing is scheduled while it is paused, as in vLLM.
            self._goes_on.wait()
            return {"choices": [{"prompt_logprobs": self.scores(body["prompt"])}]}
        if path == "/get_world_size":
            return {"world_size": self._workers * self._replicas}
        if path == "/get_world_size?include_dp=false":
            return {"world_size": self._workers}
        if path == "/weight_checker":
            return {"checksums": self.checksums()}
        if path == "/weight_info":
            if self.fault == "stall" and self._written > self.fault_after:
                self._ended.wait()
            return {"weight_version": self.weight_version}
        if path == "/update_weight_version":
            self.weight_version = body["new_version"]
            return {"success": True}
        if path == "/collective_rpc":
            return {"results": self.workers(body["method"], body["kwargs"])}
        if path.endswith("_weight_transfer_engine") or "_weight" in path:
            return self.transfer(path, body)
        return self.change_state(path)

    def transfer(self, path: str, body: dict[str, Any]) -> Any:
        """The phases of a weight update, over gloo."""
        if path == "/init_weight_transfer_engine":
            about = body["init_info"]
            assert about["world_size"] == 2
            self._group = GlooGroup(
                about["master_address"], about["master_port"], 2, rank=1
            )
        elif path == "/start_weight_update":
            self._received = {}
        elif path == "/update_weights":
            if self.fault == "update":
                raise ConnectionResetError
            about = body["update_info"]
            for name, dtype, shape in zip(*about.values(), strict=True):
                weight = torch.empty(shape, dtype=getattr(torch, dtype))
                self._group.broadcast([weight], lambda: None)
                self._received[name] = weight
        elif path == "/finish_weight_update" and self.fault != "stale":
            with self._lock:
                self.model.load_state_dict(self._received, strict=False)
        return {"message": path}

    def checksums(self) -> dict[str, str]:
        text = json.dumps(self.digests())
        sums = {}
        for replica in range(self._replicas):
            is_other = replica and self.fault == "replica"
            value = hashlib.sha256((text + "other" * is_other).encode()).hexdigest()
            sums[f"dp{replica}:pp0:pcp0:tp0:all"] = value
        return sums

    def workers(self, method: str, arguments: dict[str, Any]) -> list[Any]:
        if method == "weight_digests":
            return self.digests()
        if method == "tie_head":
            return [None] * self._workers
        assert method == "sync_weights", method
        assert not self.is_asleep or "/wake_up?tags=weights" in self.calls
        if self.fault != "stale":
            self.load(Path(arguments["weights_path"]))
        return [None] * self._workers

    def change_state(self, path: str) -> Any:
        route = urlsplit(path).path
        if route == "/health":
            return {}
        if route == "/reset_prefix_cache":
            return {"success": True}
        if route == "/pause":
            self._goes_on.clear()
        elif route == "/resume":
            self._goes_on.set()
        elif route == "/sleep":
            self.is_asleep = True
        elif path == "/wake_up?tags=kv_cache":
            self.is_asleep = False
        elif path != "/wake_up?tags=weights":
            raise AssertionError(path)
        return {"status": route}

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        body = json.loads(handler.rfile.read(length) or "{}")
        is_dead = self.fault == "die" and self._written > self.fault_after
        if is_dead or self.fault == "dead":
            raise ConnectionResetError
        if handler.path == "/v1/completions" and body.get("stream"):
            self.turns.append(body)
            handler.send_response(200)
            handler.end_headers()
            for event in self.turn(body):
                handler.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            handler.wfile.write(b"data: [DONE]\n\n")
            handler.close_connection = True
            return
        self.calls.append(handler.path)
        text = json.dumps(self.answer(handler.path, body)).encode()
        handler.send_response(200)
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    @contextmanager
    def running(self, port: int = 0) -> Iterator[str]:
        """Yields its address, by default at a port that is free."""
        handle = self.handle

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            do_GET = do_POST = lambda self: handle(self)  # noqa: E731

            def log_message(self, format, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                """A connection that breaks is what some tests are about."""
                if not isinstance(sys.exception(), ConnectionError):
                    traceback.print_exc()

        with Quiet(("127.0.0.1", port), Handler) as httpd:
            thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{httpd.server_port}/v1"
            finally:
                self._ended.set()
                self._goes_on.set()
                httpd.shutdown()
                thread.join()


def importable(folder: Path, *, penalty: float = 1.0) -> str:
    """A folder for PYTHONPATH, with a package of vLLM's name whose server is the small one."""
    package = folder / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for parent in (package, package.parent, package.parent.parent):
        (parent / "__init__.py").touch()
    (package / "api_server.py").write_text(PACKAGE.replace("PENALTY", str(penalty)))
    return str(folder)
