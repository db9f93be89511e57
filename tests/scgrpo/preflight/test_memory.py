"""Memory of models as their configurations describe them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import Gemma4TextConfig, GPT2Config, LlamaConfig, MambaConfig

from envs.rollout import Limits
from scgrpo.config import EngineConfig, LoraConfig, TrainConfig
from scgrpo.models.load import load_config
from scgrpo.models.scoring import CHUNK
from scgrpo.models.tiny import make_tiny
from scgrpo.preflight import memory
from scgrpo.preflight.memory import (
    ENGINE_MIB,
    LIBRARIES_MIB,
    RESERVE,
    Size,
    available_memory_mib,
    check_warm_start_memory,
    engine_memory_mib,
    memory_share,
    model_size,
    peak_memory_mib,
    phases,
    sampling_memory_mib,
    slots_that_fit,
)

WIDTHS: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
}
WIDE: dict[str, Any] = {"global_head_dim": 16}
"""Which the configuration takes as an attribute of some layers alone."""


@pytest.mark.parametrize(
    ("config", "kept", "inner"),
    [
        # Two layers of keys and values, of 2 groups of 8.
        (LlamaConfig(**WIDTHS, num_hidden_layers=2, num_key_value_heads=2), 64, 48),
        # Without key-value heads of its own, as many as heads; four times the width inside.
        (GPT2Config(vocab_size=32, n_embd=32, n_layer=2, n_head=4), 128, 128),
        # A state, whatever the length.
        (MambaConfig(vocab_size=32, hidden_size=32, num_hidden_layers=2), 0, 64),
        # Heads of 8 in two layers and of 16 in the third.
        (
            Gemma4TextConfig(
                **WIDTHS, **WIDE, num_hidden_layers=3, num_key_value_heads=2, head_dim=8,
                hidden_size_per_layer_input=8, vocab_size_per_layer_input=32,
                layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            ),
            2 * 32 + 64,
            48,
        ),
    ],
)  # fmt: skip
def test_the_cache_of_a_token_is_that_of_its_layers(config, kept, inner):
    size = model_size(config)
    assert (size.kept, size.inner, size.hidden) == (kept, inner, 32)
    assert size.parameters == size.trained > 0


def test_a_step_takes_what_its_larger_phase_does():
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=1))
    config = TrainConfig(device="cpu", dtype="bfloat16", tasks_per_step=1, group_size=2)
    # Weights in bf16, masters and two moments in fp32.
    held = LIBRARIES_MIB * 2**20 + size.parameters * (2 + 4 + 8)
    gradient = size.parameters * 4
    logits = CHUNK * 32 * (2 * 2 + 2 * 4)
    # Two episodes of 640 tokens and references of 512 are more than the 1,024 tokens of a pass and
    # the 1,024 whose graph is kept: 11 x 32 + 2 x 48 numbers of two bytes for each.
    graph = (1024 + 1024) * (11 * 32 + 2 * 48) * 2
    learning = (held + gradient + logits + graph) / 2**20
    assert peak_memory_mib(config, size) == pytest.approx(learning)

    # Long episodes have a cache that is larger than what fits a pass.
    long = replace(config, limits=Limits(episode_tokens=400_000))
    cache = 2 * 400_000 * 2 * 32 * 2
    sampling = (held + cache + size.parameters * 2) / 2**20
    assert peak_memory_mib(long, size) == pytest.approx(sampling)


def test_both_phases_at_once_take_the_sum_of_both():
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=1))
    # Of few episodes, whose cache is smaller than what a step keeps.
    config = TrainConfig(device="cpu", dtype="bfloat16", tasks_per_step=1, group_size=2)
    one = peak_memory_mib(config, size)
    both = peak_memory_mib(replace(config, ahead=1), size)
    sampled = sampling_memory_mib(config, size) - LIBRARIES_MIB
    assert both == pytest.approx(one + sampled - size.parameters * 2 / 2**20)


def test_layers_that_keep_all_take_more():
    lean = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=1))
    config = TrainConfig(device="cpu", dtype="float32")
    assert lean.lean
    assert not model_size(
        GPT2Config(vocab_size=32, n_embd=32, n_layer=1, n_head=4)
    ).lean
    keeps_all = replace(lean, lean=False)
    assert peak_memory_mib(config, keeps_all) > peak_memory_mib(config, lean)


def test_sampling_takes_the_weights_and_the_full_cache():
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=1))
    config = TrainConfig(device="cpu", dtype="float32", tasks_per_step=1, group_size=2)
    # Two episodes of 640 tokens, a key and a value of 32 each, four bytes.
    cache = 2 * 640 * 2 * 32 * 4
    expected = LIBRARIES_MIB + (size.parameters * 4 + cache) / 2**20
    assert sampling_memory_mib(config, size) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("room", "expected"), [(0.5, 1), (3.0, 2), (10.0, 8), (1e6, 32)]
)
def test_as_many_episodes_at_once_as_have_room(monkeypatch, room, expected):
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=2))
    config = TrainConfig(device="cpu", dtype="bfloat16", limits=Limits(8, 100))
    slot_mib = 100 * size.kept * 2 / 2**20
    monkeypatch.setattr(memory, "available_memory_mib", lambda _: room * slot_mib)
    assert slots_that_fit(config, size, 32) == expected


def test_a_warm_start_has_to_fit_one_gpu_with_its_optimizer(monkeypatch):
    about = LlamaConfig(**WIDTHS, num_hidden_layers=2)
    size = model_size(about)
    config = TrainConfig(dtype="bfloat16")
    monkeypatch.setattr(memory, "device_of", lambda _: torch.device("cuda"))

    def fits(config: TrainConfig, size: Size, bytes_of_a_weight: float) -> bool:
        free = size.parameters * bytes_of_a_weight / 2**20
        monkeypatch.setattr(memory, "available_memory_mib", lambda _: free)
        try:
            check_warm_start_memory(config, size)
        except ValueError as error:
            assert "warm_start.mode=never" in str(error)  # noqa: PT017
            return False
        return True

    # bf16 weights, fp32 masters, two moments, and an fp32 gradient.
    assert fits(config, size, 18.1)
    assert not fits(config, size, 17.9)
    assert fits(replace(config, optimizer_offload=True), size, 6.1)
    assert not fits(replace(config, optimizer_offload=True), size, 5.9)
    adapters = replace(config, lora=LoraConfig(rank=1))
    assert fits(adapters, model_size(about, lora_rank=1), 8.0)


def test_some_memory_is_free_here():
    assert available_memory_mib(torch.device("cpu")) > 1


def test_sharded_processes_hold_parts_of_the_layers_and_gather_them_to_sample():
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=2))
    layers = size.parameters - size.outside
    # Embedding, head and the last norm.
    assert size.outside == 2 * 32 * 32 + 32
    config = TrainConfig(device="cpu", dtype="bfloat16")
    alone = phases(config, size)
    four = phases(config, size, processes=4, sharded=True)
    # fp32 weights and two moments of a quarter; outside bf16 whole, and a quarter of the rest.
    held = layers * 12 / 4 + size.outside * (2 + 12 / 4)
    assert four.held == pytest.approx(LIBRARIES_MIB + held / 2**20)
    assert four.sampling * 2**20 == pytest.approx(
        (alone.sampling * 2**20 - size.parameters * 2) / 4
        + size.parameters * 2
        + layers * 2
    )
    assert four.peak < alone.peak


def test_the_frozen_model_of_the_kl_is_held_in_parts_and_with_adapters_not_at_all():
    about = LlamaConfig(**WIDTHS, num_hidden_layers=2)
    size, adapted = model_size(about), model_size(about, lora_rank=4)
    layers = size.parameters - size.outside
    config = TrainConfig(device="cpu", dtype="bfloat16")

    def more(size: Size, config: TrainConfig, **processes: Any) -> float:
        """Bytes that the KL's model takes."""
        with_kl = replace(config, kl_coefficient=0.1)
        held = phases(with_kl, size, **processes).held
        return (held - phases(config, size, **processes).held) * 2**20

    assert more(size, config) == pytest.approx(size.parameters * 2)
    parted = more(size, config, processes=4, sharded=True)
    assert parted == pytest.approx((layers / 4 + size.outside) * 2)
    assert more(adapted, replace(config, lora=LoraConfig(rank=4))) == 0


def test_the_teacher_of_opd_is_held(tmp_path):
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=2))
    teacher = make_tiny(tmp_path / "teacher", hidden=32, layers=3, heads=2)
    config = TrainConfig(device="cpu", dtype="bfloat16")
    held = phases(replace(config, teacher=str(teacher)), size).held
    parameters = model_size(load_config(teacher)).parameters
    assert held - phases(config, size).held == pytest.approx(parameters * 2 / 2**20)


def test_a_copy_on_each_node_is_cut_over_its_processes(monkeypatch):
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=2))
    config = TrainConfig(device="cpu", dtype="bfloat16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    nodes = phases(replace(config, mesh="by_node"), size, processes=4, sharded=True)
    flat = phases(config, size, processes=4, sharded=True)
    assert (
        nodes.held == phases(config, size, processes=2, sharded=True).held > flat.held
    )
    assert nodes.sampling == flat.sampling


def test_what_lies_on_the_cpu_leaves_the_gpu():
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=2))
    layers = size.parameters - size.outside
    # Any device but the CPU.
    config = TrainConfig(device="meta", dtype="bfloat16")
    offloaded = replace(config, optimizer_offload=True)
    # Masters and two moments, four bytes each; the gradient stays.
    stays, leaves = phases(config, size), phases(offloaded, size)
    saved = 12 * size.parameters / 2**20
    assert stays.held - leaves.held == pytest.approx(saved)
    assert stays.learning == leaves.learning
    # A part in fp32 stays with FSDP, which gathers it in bf16.
    four = [
        phases(kind, size, processes=4, sharded=True).held
        for kind in (config, offloaded)
    ]
    saved = (8 * layers + 12 * size.outside) / 4 / 2**20
    assert four[0] - four[1] == pytest.approx(saved)
    with pytest.raises(
        ValueError, match="optimizer_offload=true needs optimizer=adamw"
    ):
        TrainConfig(optimizer="adamw_8bit", optimizer_offload=True)


def test_an_engine_of_its_own_takes_the_cache_from_the_trainer():
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=1))
    servers = EngineConfig("vllm_server", ("http://x/v1",))
    config = TrainConfig(device="cpu", dtype="bfloat16", engine=servers)
    assert phases(config, size).sampling == 0
    # Two engines share 32 episodes of 640 tokens, a key and a value of 32, two bytes.
    cache = 16 * 640 * 2 * 32 * 2
    expected = ENGINE_MIB + (size.parameters * 2 + cache) / 2**20
    assert engine_memory_mib(config, size, 2) == pytest.approx(expected)


def test_a_sleeping_engine_may_take_what_the_step_takes():
    size = model_size(LlamaConfig(**WIDTHS, num_hidden_layers=1))
    size = replace(size, parameters=10**9, trained=10**9)
    engine = EngineConfig("vllm_server", place="colocated")
    config = TrainConfig(device="cpu", dtype="bfloat16", engine=engine)
    long = replace(config, limits=Limits(episode_tokens=200_000_000))
    total = 40 * 1024
    # Weights, masters and moments of 14 bytes stay; the cache would take more than the rest.
    held = phases(long, size).held
    left = total * (1 - RESERVE) - held
    assert memory_share(long, size, total, 1, False) == pytest.approx(left / total)
    needed = engine_memory_mib(config, size) / total
    assert memory_share(config, size, total, 1, False) == pytest.approx(needed)
    with pytest.raises(ValueError, match="vLLM needs 3.9 GiB for the weights alone"):
        memory_share(config, size, 16 * 1024, 1, False)
