"""What `ahead=1` cannot work with is refused in a sentence."""

from pathlib import Path

import pytest
from transformers import LlamaConfig

from scgrpo.config import EngineConfig, LoraConfig, TrainConfig
from scgrpo.preflight.ahead import check_ahead


def folder_of(path: Path, rope_type: str) -> Path:
    """A folder with the configuration of a small model with such rotary positions."""
    rope: dict[str, object] = {"rope_type": rope_type, "rope_theta": 1e4}
    if rope_type == "dynamic":
        rope["factor"] = 2.0
    LlamaConfig(hidden_size=32, rope_parameters=rope).save_pretrained(path)
    # Only its name is looked at.
    (path / "model.safetensors").touch()
    return path


def test_several_processes_are_refused(tmp_path):
    folder = folder_of(tmp_path, "default")
    check_ahead(TrainConfig(), folder, processes=2)
    check_ahead(TrainConfig(ahead=1), folder, processes=1)
    with pytest.raises(ValueError, match="ahead=1 with engine.kind=hf works in one"):
        check_ahead(TrainConfig(ahead=1), folder, processes=2)
    servers = EngineConfig("vllm_server", ("http://x/v1",))
    check_ahead(TrainConfig(ahead=1, engine=servers), folder, processes=2)


def test_positions_that_change_by_reading_are_refused(tmp_path):
    folder = folder_of(tmp_path, "dynamic")
    check_ahead(TrainConfig(), folder, processes=1)
    with pytest.raises(ValueError, match="its dynamic rotary positions change"):
        check_ahead(TrainConfig(ahead=1), folder, processes=1)


def test_settings_that_it_cannot_be_combined_with_are_refused():
    with pytest.raises(ValueError, match="ahead must be at least 0, got -1"):
        TrainConfig(ahead=-1)
    with pytest.raises(
        ValueError, match="engine.sleep=true and .* need ahead=0, got 1"
    ):
        TrainConfig(ahead=1, engine=EngineConfig("vllm", sleep=True))
    with pytest.raises(ValueError, match="ahead=1 with lora.rank=8 .* got vllm"):
        TrainConfig(ahead=1, lora=LoraConfig(rank=8), engine=EngineConfig("vllm"))
    TrainConfig(ahead=1, lora=LoraConfig(rank=8))
    with pytest.raises(ValueError, match="profile=true needs ahead=0"):
        TrainConfig(ahead=1, profile=True)
