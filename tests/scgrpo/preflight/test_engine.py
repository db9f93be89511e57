"""`engine.kind=auto` is vLLM where it can be used, and the model itself elsewhere."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from scgrpo.config import EngineConfig, TrainConfig
from scgrpo.models.tiny import make_tiny
from scgrpo.preflight import engine as engine_module
from scgrpo.preflight.engine import with_engine
from scgrpo.settings import parse as settings


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return make_tiny(folder, hidden=16, layers=1, heads=2)


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU and vLLM."""
    monkeypatch.setattr(engine_module, "device_of", lambda _: torch.device("cuda"))
    monkeypatch.setattr(engine_module, "find_spec", lambda _: object())


def config_of(tiny: Path, **engine: Any) -> TrainConfig:
    return TrainConfig(model=str(tiny), engine=EngineConfig(**engine))


@pytest.mark.parametrize(
    ("processes", "expected"), [(1, ("vllm", "")), (4, ("vllm_server", "colocated"))]
)
def test_with_a_gpu_and_vllm_it_is_vllm(tiny, with_gpu, processes, expected):
    engine = with_engine(config_of(tiny), processes).engine
    assert (engine.kind, engine.place) == expected
    assert not engine.samples_itself


def test_without_one_of_them_it_is_the_model_itself(tiny, with_gpu, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "find_spec", lambda _: None)
        assert with_engine(config_of(tiny)).engine.kind == "hf"
    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "device_of", lambda _: torch.device("cpu"))
        assert with_engine(config_of(tiny), 4).engine.kind == "hf"


def test_what_vllm_cannot_start_from_or_has_no_room_for_is_the_models(
    tiny, with_gpu, tmp_path
):
    model = AutoModelForCausalLM.from_pretrained(tiny)
    adapter = tmp_path / "adapter"
    options = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(model, options).save_pretrained(str(adapter))
    assert with_engine(config_of(adapter)).engine.kind == "hf"
    assert with_engine(replace(config_of(tiny), ahead=1), 2).engine.kind == "hf"


@pytest.mark.parametrize(
    "engine",
    [
        {"kind": "hf"},
        {"kind": "vllm"},
        {"kind": "vllm_server", "servers": ("http://a/v1",)},
    ],
)
def test_a_kind_that_is_named_stays(tiny, with_gpu, engine: Mapping[str, Any]):
    config = config_of(tiny, **engine)
    assert with_engine(config, 2) == config


def test_servers_that_are_named_are_the_engine():
    arguments = ["engine.servers=[http://127.0.0.1:8000/v1]"]
    config = settings.parse(TrainConfig, arguments, prog="scgrpo train", examples=())
    assert config.engine.kind == "vllm_server"
    assert EngineConfig(place="apart").kind == "vllm_server"
    with pytest.raises(ValueError, match="belongs together"):
        EngineConfig(kind="hf", place="apart")
