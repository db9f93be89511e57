"""How many tokens a model can read, as its configuration says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PretrainedConfig,
)

from envs.rollout import Limits
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.tiny import make_tiny
from scgrpo.preflight.positions import (
    WITHOUT_POSITIONS,
    check_positions,
    longest_teacher_input,
    max_positions,
    within_positions,
)


def llama(positions: int, **rope: Any) -> LlamaConfig:
    scaling = {"rope_theta": 10000.0, **rope} if rope else None
    # The name that configurations on the hub have.
    about: dict[str, Any] = {"rope_scaling": scaling}
    return LlamaConfig(max_position_embeddings=positions, **about)


LIMITED = [
    (llama(64), 64),
    (GPT2Config(n_positions=77), 77),
    (OPTConfig(max_position_embeddings=88), 88),
    # A window limits what a token sees, not how many there are.
    (MistralConfig(max_position_embeddings=99, sliding_window=16), 99),
    (FalconConfig(max_position_embeddings=55, alibi=False), 55),
]


@pytest.mark.parametrize(("config", "positions"), LIMITED)
def test_the_limit_is_what_the_configuration_states(config, positions):
    assert max_positions(config) == positions


SCALED = [
    (llama(64, rope_type="linear", factor=4.0), 256),
    (llama(64, type="linear", factor=4.0), 256),
    (llama(64, rope_type="dynamic", factor=2.0), 128),
    (llama(64, rope_type="yarn", factor=4.0, original_max_position_embeddings=32), 128),
    # The number stated is the scaled one already.
    (llama(512, rope_type="yarn", factor=8.0, original_max_position_embeddings=64), 512),
    (
        llama(
            512, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=64,
        ),
        512,
    ),
    (
        Gemma3TextConfig(
            max_position_embeddings=512,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        ),
        512,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "positions"), SCALED)
def test_scaled_rotary_positions_count_as_stated(config, positions):
    assert max_positions(config) == positions


UNLIMITED = ["mamba", "mamba2", "falcon_mamba", "bloom", "mpt", "xlnet", "xlstm"]


@pytest.mark.parametrize("kind", [*UNLIMITED, *sorted(WITHOUT_POSITIONS)])
def test_models_without_position_embeddings_have_no_limit(kind):
    assert max_positions(CONFIG_MAPPING[kind]()) is None


def test_alibi_has_no_limit():
    assert max_positions(FalconConfig(max_position_embeddings=55, alibi=True)) is None


@pytest.mark.parametrize(
    ("kind", "setting", "without", "with_positions"),
    [
        ("zamba2", "use_mem_rope", False, True),
        ("granitemoehybrid", "position_embedding_type", "nope", "rope"),
    ],
)
def test_hybrids_are_limited_only_with_rotary_positions(
    kind, setting, without, with_positions
):
    config = CONFIG_MAPPING[kind]
    assert max_positions(config(**{setting: without})) is None
    assert max_positions(config(**{setting: with_positions})) is not None


@pytest.mark.parametrize("kind", sorted(WITHOUT_POSITIONS - {"kimi_linear"}))
def test_a_model_without_positions_has_no_part_that_makes_them(kind):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind]())
    names = [name.rpartition(".")[2] for name, _ in model.named_modules()]
    names += [name.rpartition(".")[2] for name, _ in model.named_buffers()]
    marks = ("rotary", "wpe", "embed_positions", "pos_encoding", "inv_freq")
    assert [name for name in names if any(mark in name for mark in marks)] == []


def model_of(folder: Path, config: PretrainedConfig) -> Path:
    """A folder that passes for a model: what is checked reads its configuration alone."""
    config.save_pretrained(folder)
    (folder / "model.safetensors").touch()
    return folder


def test_a_budget_beyond_the_positions_is_refused_with_both_numbers(tmp_path):
    model = model_of(tmp_path, llama(64))
    check_positions(model, Limits(8, 64))
    with pytest.raises(ValueError, match=r"limits\.episode_tokens=65 .* 64 positions"):
        check_positions(model, Limits(8, 65))
    with pytest.raises(ValueError, match=r"set limits\.episode_tokens=64 or less"):
        check_positions(model, Limits(8, 65))


def test_the_teacher_reads_no_more_than_the_positions(tmp_path):
    model = model_of(tmp_path, llama(256))
    limits = Limits(8, 200)
    check_positions(model, limits)
    with pytest.raises(ValueError, match=r"reference\.input_tokens=4096 .* 256 pos"):
        check_positions(model, limits, ReferenceLimits())
    with pytest.raises(ValueError, match=r"set reference\.input_tokens=256 or less"):
        check_positions(model, limits, ReferenceLimits(input_tokens=257))
    check_positions(model, limits, ReferenceLimits(input_tokens=256))


def test_the_default_for_the_teacher_may_be_more_than_it_can_reach(tmp_path):
    model = model_of(tmp_path, llama(2048))
    limits = Limits(48, 640)
    assert longest_teacher_input(limits, ReferenceLimits()) == 640 + 512
    check_positions(model, limits, ReferenceLimits())
    # What a user asked for is never out of reach.
    with pytest.raises(ValueError, match=r"reference\.input_tokens=3000 .* 2048"):
        check_positions(model, limits, ReferenceLimits(input_tokens=3000))


def test_an_adapter_has_the_positions_of_its_base(tmp_path):
    base = model_of(tmp_path / "base", llama(64))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    about = {"base_model_name_or_path": str(base)}
    (adapter / "adapter_config.json").write_text(json.dumps(about))
    (adapter / "adapter_model.safetensors").touch()
    with pytest.raises(ValueError, match="64 positions"):
        check_positions(adapter, Limits(8, 65))

    base.rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"adapter .*/adapter needs .*/base, which"):
        check_positions(adapter, Limits(8, 64))


def test_a_configuration_of_no_known_kind_is_refused_by_its_folder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match=f"configuration of the model {tmp_path}"):
        check_positions(tmp_path, Limits(8, 64))


def test_weights_are_not_read(tmp_path):
    model = make_tiny(tmp_path, hidden=16, layers=1, heads=2)
    (model / "model.safetensors").write_bytes(b"torn")
    check_positions(model, Limits(8, 2048))


def test_a_longer_input_of_the_teacher_is_left_out_at_run_time():
    reference = ReferenceLimits(tokens=9)
    assert within_positions(reference, llama(64)) == ReferenceLimits(9, 400, 64)
    assert within_positions(reference, llama(8192)) == reference
    assert within_positions(reference, CONFIG_MAPPING["mamba"]()) == reference


def test_defaults_of_references_grow_with_long_episodes_alone():
    default = ReferenceLimits()
    # Of the default episodes everything is as it stands.
    assert default.for_episodes(640) == default
    assert default.for_episodes(14_336) == ReferenceLimits(14_208, 400, 28_672)
    # What a user set is kept.
    own = ReferenceLimits(tokens=600, input_tokens=5000)
    assert own.for_episodes(14_336) == own
