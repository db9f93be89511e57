"""Weights go from memory to memory by vLLM's phases, and a lost engine takes no other with it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.completions import Server
from scgrpo.policies.engines import probe
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.engines.groups import GlooGroup
from scgrpo.policies.engines.transfer import (
    BUCKET_BYTES,
    ByTransfer,
    GroupChannel,
    buckets,
    description,
)
from scgrpo.policies.engines.vllm_server import VLLMServer
from scgrpo.policies.remote import RemotePolicy
from scgrpo.policies.weight_sync import WeightSync
from tests.scgrpo.policies.engines.small_vllm import SmallVLLM


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    return make_tiny(path, hidden=16, layers=1, heads=2)


def test_weights_arrive_by_gloo_and_a_broken_server_is_left_out_once(
    tiny: Path, monkeypatch
):
    monkeypatch.setattr(probe, "TURNS", 1)
    model, tokenizer = load_model(tiny)
    servers = [SmallVLLM(tiny), SmallVLLM(tiny)]
    with ExitStack() as stack:
        urls = [stack.enter_context(server.running()) for server in servers]
        fleet = Fleet([VLLMServer(Server(url)) for url in urls])
        handover = ByTransfer(lambda server: GroupChannel(server, GlooGroup))
        sync = WeightSync(model, tokenizer, fleet, handover, run="r")
        policy = stack.enter_context(RemotePolicy(model, tokenizer, fleet, sync))

        def step() -> None:
            with torch.no_grad():
                for weight in model.parameters():
                    weight.add_(0.01)
            policy.sync_weights()

        def follow(server: SmallVLLM) -> bool:
            pairs = zip(server.model.parameters(), model.parameters(), strict=True)
            return all(torch.equal(a, b) for a, b in pairs)

        step()
        assert all(map(follow, servers))
        servers[0].fault = "update"
        step()
        assert [follow(server) for server in servers] == [False, True]
        assert [engine.name for engine in fleet.working] == urls[1:]
        servers[0].fault = ""
        step()
        assert all(map(follow, servers))
        assert len(fleet.working) == 2
        # A connection is opened once, and again after a failure alone.
        opened = [s.calls.count("/init_weight_transfer_engine") for s in servers]
        assert opened == [2, 1]


def test_buckets_hold_few_weights_or_one_that_is_larger():
    def weight(size: int) -> torch.Tensor:
        return torch.empty(size, dtype=torch.uint8, device="meta")

    half = BUCKET_BYTES // 2
    sizes = [half, half - 1, 2, 3 * half, 5]
    weights = ((str(size), weight(size)) for size in sizes)
    names = [[name for name, _ in bucket] for bucket in buckets(weights)]
    assert names == [[str(half), str(half - 1)], ["2"], [str(3 * half)], ["5"]]


def test_a_bucket_is_described_as_vllm_reads_it():
    about = description([("a.weight", torch.empty(2, 3, dtype=torch.bfloat16))])
    assert about == {
        "names": ["a.weight"],
        "dtype_names": ["bfloat16"],
        "shapes": [[2, 3]],
    }
