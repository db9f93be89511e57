"""A sharded model is one tree, and its weights leave it whole, one at a time."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from scgrpo.config import LoraConfig
from scgrpo.distributed import sharding
from scgrpo.distributed.ranks import Ranks
from scgrpo.distributed.sharding import (
    cpu_state_dict,
    full_parameters,
    is_sharded,
    shard,
    stream_weights,
)
from scgrpo.distributed.weight_files import save_streamed, write_weights
from scgrpo.models.families import make_family
from scgrpo.models.head import output_layer
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.scoring import predicting_states, token_scores
from scgrpo.training.open_model import with_adapters
from tests.scgrpo.distributed.processes import FSDP, run_processes

PREFIX, BRANCHES = [1, 2, 3], [[4, 5, 6], [7, 8]]
MASKS = [[True] * 3, [True] * 2]
TARGETS = torch.tensor([4, 5, 6, 7, 8])


def qwen(*, tied: bool, dtype: torch.dtype = torch.float32, layers: int = 6) -> Any:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        tie_word_embeddings=tied,
    )
    model = Qwen3ForCausalLM(config).to(dtype).eval()
    choose_path(model)
    return model


def loss_of(model: Any) -> Tensor:
    states = predicting_states(model, PREFIX, BRANCHES, MASKS)
    return -token_scores(output_layer(model), states, TARGETS).logprobs.sum()


def one_tree(ranks: Ranks, out: Path) -> None:
    """What torch makes of the wrapping, before and after layers were gathered for sampling."""
    seen: dict[str, Any] = {}
    for tied in (False, True):
        for dtype in (torch.float32, torch.bfloat16):
            model = qwen(tied=tied, dtype=dtype)
            shard(model, ranks)
            with full_parameters(model), torch.no_grad():
                sampled = float(loss_of(model))
            parts = [part for part in model.modules() if isinstance(part, FSDPModule)]
            states: list[Any] = [part._get_fsdp_state() for part in parts]
            buffers: list[int] = []

            def count(
                *_: Any, of: list[Any] = states, into: list[int] = buffers
            ) -> None:
                into.append(
                    sum(len(c.reduce_scatter_states) for c in {s._comm_ctx for s in of})
                )

            for layer in model.get_decoder().layers:
                layer.input_layernorm.register_full_backward_hook(count)
            model.get_input_embeddings().weight.register_hook(count)
            loss = loss_of(model)
            loss.backward()
            seen[f"{tied}, {dtype}"] = {
                "losses": (sampled, float(loss.detach())),
                "parts": len(parts),
                "roots": sum(bool(state._is_root) for state in states),
                "contexts": len({id(state._comm_ctx) for state in states}),
                "buffers": max(buffers),
                "counted": len(buffers),
                "tied": model.lm_head.weight is model.get_input_embeddings().weight,
                "whole": [
                    name for name, p in model.named_parameters() if not is_sharded(p)
                ],
            }
    torch.save(seen, out / f"tree-{ranks.rank}.pt")


def the_decoder_is_the_one_root_and_a_tied_head_stays_tied(tmp_path: Path):
    assert run_processes(one_tree, tmp_path, launch=FSDP) == [0, 0]
    for rank in range(2):
        seen = torch.load(tmp_path / f"tree-{rank}.pt")
        assert len(seen) == 4
        for case, tree in seen.items():
            is_tied = case.startswith("True")
            assert (tree["parts"], tree["roots"], tree["contexts"]) == (7, 1, 1), case
            assert tree["buffers"] <= 1, case
            assert tree["counted"] >= 6, case
            assert tree["tied"] == is_tied, case
            assert len(tree["whole"]) == (2 if is_tied else 3), case
            assert tree["losses"][0] == pytest.approx(tree["losses"][1], rel=1e-3)


def live_bytes() -> int:
    """Bytes of all tensors that are alive."""
    gc.collect()
    storages = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()
        for value in gc.get_objects()
        if type(value) in (Tensor, nn.Parameter)
    }
    return sum(storages.values())


def counted_state(model: Any, gathered: list[str]) -> dict[str, Tensor]:
    """`cpu_state_dict`; adds the shapes of the weights that were gathered for it."""
    before = sharding.full_tensor

    def counted(parameter: Tensor, part: Tensor) -> Tensor:
        whole = before(parameter, part)
        gathered.append("x".join(map(str, whole.shape)))
        return whole

    sharding.full_tensor = counted
    return cpu_state_dict(model, torch.bfloat16)


def stream(ranks: Ranks, out: Path, rank: int) -> None:
    model = with_adapters(qwen(tied=True, layers=2), LoraConfig(rank=rank))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    shard(model, ranks)
    if rank:
        (out / "merged").mkdir(exist_ok=True)
        save_streamed(model, out / "merged", torch.float32, merged=True)
        save_streamed(model, out / "adapter", torch.float32)
        weights = dict(stream_weights(model, torch.float32))
        torch.save(weights, out / f"weights-{ranks.rank}.pt")
        gathered: list[str] = []
        state = counted_state(model, gathered)
        torch.save((state, gathered), out / f"state-{ranks.rank}.pt")
        return
    sizes: list[int] = []
    before = live_bytes()
    weights = {}
    for name, weight in stream_weights(model, torch.bfloat16):
        sizes.append(live_bytes() - before)
        before += weight.nbytes  # of the copy
        weights[name] = weight.clone()
        del weight
    torch.save((sizes, weights), out / f"weights-{ranks.rank}.pt")


def weights_leave_a_sharded_model_whole_one_at_a_time_on_rank_0(tmp_path: Path):
    assert run_processes(stream, tmp_path, 0, launch=FSDP) == [0, 0]
    sizes, weights = torch.load(tmp_path / "weights-0.pt")
    expected = dict(qwen(tied=True, layers=2).state_dict())
    assert expected.pop("lm_head.weight").shape == (256, 64)
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value.bfloat16()), name
    largest = max(value.nbytes for value in weights.values())
    assert max(sizes) <= largest
    assert torch.load(tmp_path / "weights-1.pt") == ([], {})


def adapters_leave_a_sharded_model_by_name_or_merged(tmp_path: Path):
    assert run_processes(stream, tmp_path, 4, launch=FSDP) == [0, 0]
    model = with_adapters(qwen(tied=True, layers=2), LoraConfig(rank=4))
    weights = torch.load(tmp_path / "weights-0.pt")
    # For a checkpoint the base, whose weights have no side of four, is never gathered.
    state, gathered = torch.load(tmp_path / "state-0.pt")
    assert state.keys() == {name for name in model.state_dict() if "lora_" in name}
    assert len(gathered) == len(state)
    assert all("4" in shape.split("x") for shape in gathered)
    assert {value.dtype for value in state.values()} == {torch.bfloat16}
    assert torch.load(tmp_path / "state-1.pt")[0] == {}
    assert torch.load(tmp_path / "weights-1.pt") == {}
    assert weights.keys() == get_peft_model_state_dict(model).keys()
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(adapter[name], weights[name]) for name in weights)

    by_name = {
        name.replace(".weight", ".default.weight"): value
        for name, value in weights.items()
    }
    assert not model.load_state_dict(by_name, strict=False).unexpected_keys
    inner: Any = model
    merged = inner.merge_and_unload().state_dict()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").state_dict()
    for name, value in merged.items():
        torch.testing.assert_close(loaded[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", ["llama-tied", "qwen3-moe"])
def test_a_streamed_folder_is_that_of_save_pretrained(family: str, tmp_path: Path):
    model, _ = load_model(make_family(family, tmp_path / "family"))
    model.save_pretrained(tmp_path / "own")
    save_streamed(model, tmp_path / "streamed", torch.float32)
    own, mine = (
        load_file(tmp_path / name / "model.safetensors") for name in ("own", "streamed")
    )
    assert mine.keys() == own.keys()
    assert all(torch.equal(mine[name], own[name]) for name in own)
    for name in ("config.json", "generation_config.json"):
        texts = [(tmp_path / kind / name).read_text() for kind in ("own", "streamed")]
        assert texts[0] == texts[1]


def test_many_weights_go_into_files_that_transformers_reads(tmp_path: Path):
    model = qwen(tied=False, layers=2)
    model.config.save_pretrained(tmp_path)
    held: list[int] = []

    def counted() -> Iterator[tuple[str, Tensor]]:
        for name, value in stream_weights(model, torch.float32):
            held.append(len(list(tmp_path.glob(".model-*"))))
            yield name, value

    write_weights(tmp_path, counted(), file_bytes=100_000)
    # Files are written on the way, not at the end.
    assert held[-1] >= 3
    files = list(tmp_path.glob("*.safetensors"))
    assert held[-1] < len(files) <= held[-1] + 2
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


@pytest.mark.daily(1)  # each starts processes
@pytest.mark.parametrize(
    "claim",
    [
        the_decoder_is_the_one_root_and_a_tied_head_stays_tied,
        weights_leave_a_sharded_model_whole_one_at_a_time_on_rank_0,
        adapters_leave_a_sharded_model_by_name_or_merged,
    ],
    ids=lambda claim: claim.__name__,
)
def test_two_processes(claim: Callable[[Path], None], tmp_path: Path):
    """What they make of one model."""
    claim(tmp_path)
