"""What a run would cost, said before it starts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sandboxes import SandboxConfig
from scgrpo.config import TrainConfig
from scgrpo.models.load import load_config, load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.scoring import predicting_states
from scgrpo.models.tiny import make_tiny
from scgrpo.preflight.memory import model_size, peak_memory_mib
from scgrpo.train import main


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


def said(capsys, *arguments: str) -> dict[str, str]:
    main(["plan=true", *arguments])
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}


def test_the_counts_are_those_of_the_settings(tiny, tmp_path, capsys):
    found = said(
        capsys, "env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "max_steps=3",
        "tasks_per_step=2",
        "group_size=4", "limits.episode_tokens=100", "validation.every=2", "device=cpu",
    )  # fmt: skip
    assert found["episodes"] == "3 steps of 2 x 4: 24"
    assert found["tokens"] == "at most 800 a step, 2,400 in all"
    assert found["sandboxes"].startswith("none")
    assert found["validation"] == "1 times 32 episodes of each split"
    assert "once by the policy with the reference" in found["passes"]
    assert list(tmp_path.iterdir()) == []


def test_each_reference_of_a_row_is_a_pass(tiny, tmp_path, capsys):
    found = said(
        capsys, "env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "device=cpu",
        "algo=contrastive", "credit.references=2",
    )  # fmt: skip
    assert "up to 3 times by the policy with a reference" in found["passes"]


def test_what_several_updates_and_the_kl_read_is_planned(tiny, tmp_path, capsys):
    found = said(
        capsys, "env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "device=cpu",
        "algo=grpo", "updates_per_batch=3", "mini_batches=2", "kl_coefficient=0.01",
    )  # fmt: skip
    assert found["passes"] == (
        "of each episode a step: it is written once, read 3 times by the policy, forward and "
        "backward, once by the policy before its first update, once by the frozen model of the KL "
        "term"
    )


def test_sandboxes_are_counted_where_the_environment_needs_them(tiny, tmp_path, capsys):
    found = said(
        capsys, "env=swe_lite", f"model={tiny}", f"runs={tmp_path}", "sandbox.size=3",
        "algo=grpo", "device=cpu",
    )  # fmt: skip
    assert found["sandboxes"].startswith("up to 3, of 512 MiB")
    assert "reference" not in found["passes"]


def test_the_default_number_of_sandboxes_is_that_of_this_machine(
    tiny, tmp_path, capsys
):
    found = said(
        capsys, "env=swe_lite", f"model={tiny}", f"runs={tmp_path}", "algo=grpo", "device=cpu"
    )  # fmt: skip
    size = SandboxConfig().resolved_size
    assert size > 0
    assert found["sandboxes"].startswith(f"up to {size}, of 512 MiB")


def test_time_comes_from_a_run_alike(tiny, tmp_path, capsys):
    arguments = (
        "env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "max_steps=2", "tasks_per_step=2",
        "group_size=2", "levels=0", "limits.turn_tokens=3", "limits.episode_tokens=160",
        "device=cpu", "dtype=float32", "warm_start.mode=never",
    )  # fmt: skip
    assert "GFLOP/s measured here" in said(capsys, *arguments)["time"]
    main([*arguments, "name=a"])
    capsys.readouterr()
    assert f"as in {tmp_path / 'a'}" in said(capsys, *arguments)["time"]
    assert "GFLOP/s" in said(capsys, *arguments, "group_size=3")["time"]


def test_what_backward_keeps_is_about_what_is_planned(tmp_path):
    tokens = 400
    model, _ = load_model(make_tiny(tmp_path / "tiny", hidden=256, layers=4, heads=4))
    choose_path(model)
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        predicting_states(model, [1] * 8, [[2] * tokens], [[True] * tokens])
    taken = sum(storage.nbytes() for storage in kept.values()) / (tokens * 4 * 4)
    planned = 11 * 256 + 2 * model.config.intermediate_size
    assert 0.5 * taken < planned < 2 * taken, f"{taken:.0f} numbers a token and layer"


def test_computing_activations_again_takes_less_memory(tmp_path):
    model = load_config(make_tiny(tmp_path / "tiny", hidden=64, layers=8))
    config = TrainConfig(device="cpu", dtype="float32", group_size=2, tasks_per_step=1)
    less = replace(config, activation_checkpointing=True)
    size = model_size(model)
    # 2,048 tokens, fewer than two episodes and their references have, keep 8 inputs of 64 numbers,
    # not 8 layers of 11 x 64 + 2 x 256, and one layer in full, in four bytes.
    layer = 11 * 64 + 2 * 256
    saved = 2048 * (8 * layer - 8 * 64 - layer) * 4 / 2**20
    difference = peak_memory_mib(config, size) - peak_memory_mib(less, size)
    assert difference == pytest.approx(saved)


def test_an_unknown_model_is_refused_as_in_a_run(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["plan=true", f"model={tmp_path / 'nothing'}", f"runs={tmp_path}"])
    assert end.value.code == 2
    assert re.search("nothing", capsys.readouterr().err)
