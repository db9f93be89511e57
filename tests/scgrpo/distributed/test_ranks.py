"""Two processes learn what one learns, say the same, and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from envs.rollout import Limits
from envs.store import read_episodes
from scgrpo.algorithms.presets import ALGORITHMS
from scgrpo.config import LoraConfig, TrainConfig
from scgrpo.distributed import ranks as ranks_module
from scgrpo.distributed.ranks import (
    SINGLE_PROCESS,
    UNSUPPORTED,
    PeerLostError,
    Ranks,
    process_group,
)
from scgrpo.distributed.sharding import full_tensor, is_sharded, local_part, shard
from scgrpo.models.load import load_model, recompute_activations
from scgrpo.models.paths import choose_path
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts, SharedRollouts
from scgrpo.runs import checkpoints
from scgrpo.runs.log import read_metrics
from scgrpo.training.open_model import reference_model_of, with_adapters
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.update import PolicyUpdate
from scgrpo.warm_start.examples import with_token_ids
from tests.daily import Day
from tests.scgrpo.distributed.processes import FSDP, free_port, run_processes

LIMITS = Limits(turn_tokens=8, episode_tokens=300)
ALGOS = ("sc_grpo", "entropy_80_20", "gspo", "distill_both")
IN_PARTS = " in parts"
"""Behind an algorithm: several optimizer steps a batch, and the KL from a frozen model."""
DDP_FLAGS, FSDP_FLAGS = ("--multi_gpu",), ("--use_fsdp", "--fsdp_version", "2")
GROUP = 6
MINUTE = 60


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=32, layers=2, heads=2
    )
    model, _ = load_model(path)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0)  # so that attention, hence a reference, makes a difference
    model.save_pretrained(path)
    return path


def whole(ranks: Ranks, parameter: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """The complete value of which `part` is this rank's rows."""
    if is_sharded(parameter) or not ranks.sharded:
        return full_tensor(parameter, part)
    return torch.cat(ranks.all_gather(part))


def three_steps(
    ranks: Ranks,
    folder: Path,
    out: Path,
    algos: Sequence[str],
    rank: int,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Learns from the same random episodes with each algorithm; writes what came of it."""
    found: dict[str, Any] = {}
    with Rollouts("toy_guess", LIMITS, threads=2) as play:
        played = SharedRollouts(play, ranks)(
            None, play.env.tasks("train", 0)[:4], group=GROUP, seed=3
        )
    for algo in algos:
        model, tokenizer = load_model(folder, dtype=dtype)
        torch.manual_seed(0)
        model = with_adapters(model, LoraConfig(rank=rank))
        choose_path(model)
        shard(model, ranks)
        chat = Chat(tokenizer)
        episodes = [with_token_ids(e, chat) for e in played]
        optimizer = MasterAdamW(model.parameters(), lr=1e-3, ranks=ranks)
        gradients: list[torch.Tensor] = []

        def keep(
            *_: Any, adam: Any = optimizer, into: list[torch.Tensor] = gradients
        ) -> None:
            pairs = zip(adam.parameters, adam._masters, strict=True)
            given = [
                whole(ranks, p, part.grad) for p, part in pairs if part.grad is not None
            ]
            into.append(torch.cat([g.flatten() for g in given]).clone())

        optimizer._adam.register_step_pre_hook(keep)
        name = algo.removesuffix(IN_PARTS)
        options: dict[str, Any] = {}
        if algo.endswith(IN_PARTS):
            adapters = LoraConfig(rank=rank)
            config = TrainConfig(kl_coefficient=0.1, lora=adapters, dtype="float32")
            options = {
                "updates_per_batch": 2,
                "mini_batches": 2,
                "kl_coefficient": config.kl_coefficient,
                "reference": reference_model_of(folder, config, ranks),
            }
        trainer = PolicyUpdate(
            model=model,
            chat=chat,
            algorithm=ALGORITHMS[name],
            optimizer=optimizer,
            rng=np.random.default_rng(0),
            max_grad_norm=1e9,
            ranks=ranks,
            **options,
        )
        groups = [i // GROUP for i in range(len(episodes))]
        updates = [trainer.update(episodes, groups, lr=1e-3) for _ in range(3)]
        found[algo] = {
            "mine": sorted(trainer.forward(episodes, groups).local_rows),
            "ids": [e.token_ids for e in episodes],
            "logs": [update.log for update in updates],
            "gradient": gradients[0],
            "weights": [
                full_tensor(p, local_part(p.detach())) for p in model.parameters()
            ],
            "sharded": sum(map(is_sharded, model.parameters())),
            "credited": [
                (r.episode, r.case, r.reference, len(r.weight), len(r.entropy))
                for r in sorted(updates[-1].credit_rows, key=lambda r: r.episode)
            ],
        }
    torch.save(found, out / f"{ranks.count}-{ranks.rank}.pt")


@pytest.mark.daily(1)  # each starts processes
@pytest.mark.parametrize(
    ("asked", "rank"), [({}, 0), (FSDP, 0), (FSDP, 4)], ids=["ddp", "fsdp", "fsdp-lora"]
)
def test_two_processes_take_the_steps_of_one(
    tiny: Path, tmp_path: Path, asked: dict[str, str], rank: int, day: Day
):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    algos = [*day.some(ALGOS, 1, str(asked)), f"sc_grpo{IN_PARTS}"]
    three_steps(SINGLE_PROCESS, tiny, tmp_path, algos, rank)
    torch.set_num_threads(threads)
    assert run_processes(three_steps, tiny, tmp_path, algos, rank, launch=asked) == [
        0,
        0,
    ]
    alone, *both = (
        torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1")
    )
    for algo in algos:
        one = alone[algo]
        assert one["gradient"].norm() > 1e-3
        assert all((two[algo]["sharded"] > 0) == bool(asked) for two in both)
        shares = [set(two[algo]["mine"]) for two in both]
        assert all(shares)
        assert not set.intersection(*shares)
        assert set.union(*shares) == set(one["mine"])
        for two in (found[algo] for found in both):
            assert two["ids"] == one["ids"]
            torch.testing.assert_close(
                two["gradient"], one["gradient"], rtol=0, atol=1e-5
            )
            for mine, wanted in zip(two["weights"], one["weights"], strict=True):
                torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-5)
            for mine, wanted in zip(two["logs"], one["logs"], strict=True):
                # Of rounding errors alone, which may happen to be none.
                mine.pop("credit/d_above_noise", None)
                wanted.pop("credit/d_above_noise", None)
                assert mine == pytest.approx(wanted, rel=1e-3, abs=1e-5)
            assert two["credited"] == one["credited"]
        # Not nearly, but to the bit: else the ranks would drift apart.
        for mine, other in zip(
            *(found[algo]["weights"] for found in both), strict=True
        ):
            assert torch.equal(mine, other)


def relative_gap(value: torch.Tensor, expected: torch.Tensor) -> float:
    return float((value - expected).norm() / expected.norm())


@pytest.mark.daily(1)
@pytest.mark.parametrize("rank", [0, 4])
def test_in_bfloat16_two_processes_take_the_step_of_one_but_for_rounding(
    rank: int, tiny: Path, tmp_path: Path
):
    """Each side rounds the gradient of each pass to 8 bits, the sums are in fp32.

    So each is within 2**-9 of what is exact, and the two within 2**-8 of each other, if the
    passes' gradients do not cancel. What is compared is the first step: Adam's next ones are of
    weights that differ in signs of gradients near 0.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    algos, dtype = ("sc_grpo",), torch.bfloat16
    three_steps(SINGLE_PROCESS, tiny, tmp_path, algos, rank, dtype)
    torch.set_num_threads(threads)
    codes = run_processes(three_steps, tiny, tmp_path, algos, rank, dtype, launch=FSDP)
    assert codes == [0, 0]
    alone, *both = (
        torch.load(tmp_path / f"{name}.pt")["sc_grpo"] for name in ("1-0", "2-0", "2-1")
    )
    assert alone["gradient"].norm() > 1e-3
    for two in both:
        assert two["sharded"] > 0
        assert relative_gap(two["gradient"], alone["gradient"]) < 2.0**-8
        first, expected = two["logs"][0], alone["logs"][0]
        for name in ("train/loss", "train/entropy", "train/gradient_norm"):
            assert first[name] == pytest.approx(expected[name], rel=2.0**-8, abs=1e-6)
        # The embedding, outside the layers, is complete in bf16 on both, and the same.
        for mine, other in zip(two["weights"], both[0]["weights"], strict=True):
            assert torch.equal(mine, other)


def test_gradients_are_summed_in_buckets(monkeypatch):
    """Of two processes; the other one has gradients of 10 for the second and the last weight."""
    messages: list[int] = []

    def all_reduce(_: Ranks, tensor: torch.Tensor) -> None:
        if not messages:
            tensor += torch.tensor([0.0, 1.0, 0.0, 1.0])  # how many have a gradient
        else:
            tensor += 10.0
        messages.append(tensor.numel())

    monkeypatch.setattr(Ranks, "all_reduce_", all_reduce)
    monkeypatch.setattr(ranks_module, "BUCKET_BYTES", 40)
    weights = [torch.zeros(size) for size in (2, 3, 4, 5)]
    given = [torch.ones(2), None, None, torch.ones(5)]
    sums = Ranks(0, 2).summed_gradients(given, weights)
    # Ten values of four bytes fit into a message: all that some rank has.
    assert messages == [4, 10]
    assert sums[2] is None
    values = [part.tolist() for part in sums if part is not None]
    assert values == [[11.0] * 2, [10.0] * 3, [11.0] * 5]
    messages.clear()
    monkeypatch.setattr(ranks_module, "BUCKET_BYTES", 16)
    Ranks(0, 2).summed_gradients(given, weights)
    assert messages == [4, 2, 3, 5]


def left_alone(ranks: Ranks, out: Path) -> None:
    if not ranks.is_main_process:
        os._exit(3)
    try:
        ranks.all_reduce_(torch.ones(2))
    except PeerLostError as error:
        (out / "said").write_text(str(error))


def refused(ranks: Ranks, out: Path) -> None:
    def broken() -> None:
        raise ValueError("there is no run x")

    try:
        ranks.broadcast_object(broken)
    except (PeerLostError, ValueError) as error:
        (out / f"said-{ranks.rank}").write_text(f"{type(error).__name__}: {error}")


def test_a_rank_that_dies_ends_the_others_with_a_reason(tmp_path: Path):
    assert run_processes(left_alone, tmp_path) == [0, 3]
    said = (tmp_path / "said").read_text()
    assert "another process of this training ended" in said
    assert "resume=true" in said


def test_what_the_first_rank_refuses_the_others_do_not_wait_for(tmp_path: Path):
    assert run_processes(refused, tmp_path) == [0, 0]
    assert (tmp_path / "said-0").read_text() == "ValueError: there is no run x"
    assert (
        (tmp_path / "said-1").read_text()
        == "PeerLostError: process 0 cannot go on: ValueError: there is no run x"
    )


@pytest.mark.parametrize("key", sorted(UNSUPPORTED))
def test_a_launch_that_would_share_the_model_in_another_way_is_refused(
    monkeypatch, key: str
):
    monkeypatch.setenv(key, "true")
    with (
        pytest.raises(
            ValueError, match=f"launched with {UNSUPPORTED[key]}.*--fsdp_version 2"
        ),
        process_group(torch.device("cpu")),
    ):
        pass


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("FSDP_VERSION", "1", "got --fsdp_version 1, expected 2: launch with"),
        ("FSDP_OFFLOAD_PARAMS", "true", "expected false: offloading is not supported"),
        (
            "FSDP_RESHARD_AFTER_FORWARD",
            "false",
            "expected true: a layer is always given back",
        ),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "set activation_checkpointing=true"),
        (
            "ACCELERATE_MIXED_PRECISION",
            "bf16",
            "got --mixed_precision bf16, expected no: dtype=",
        ),
    ],
)
def test_what_a_launch_asks_for_in_vain_is_refused(
    monkeypatch, key: str, value: str, said: str
):
    for name, given in (FSDP | {key: value}).items():
        monkeypatch.setenv(name, given)
    with pytest.raises(ValueError, match=said), process_group(torch.device("cpu")):
        pass


def test_the_largest_things_are_dealt_first():
    # 9 -> 0, 7 -> 1, 4 -> 1 (11), 3 -> 0 (12), 1 -> 1 (12)
    assert replace(SINGLE_PROCESS, count=2).assign([1, 9, 4, 3, 7]) == [1, 0, 1, 0, 1]


def test_parts_are_neighbours_and_cover_everything_once():
    parts = [list(Ranks(rank, 3).shard_range(7)) for rank in range(3)]
    assert parts == [[0, 1], [2, 3], [4, 5, 6]]


def test_recomputed_activations_give_the_same_gradient(tiny: Path):
    gradients, calls = [], []
    for recompute in (False, True):
        model, tokenizer = load_model(tiny)
        choose_path(model)
        if recompute:
            recompute_activations(model)
        chat, count = Chat(tokenizer), [0]

        def counted(*_: Any, into: list[int] = count) -> None:
            into[0] += 1

        model.get_decoder().layers[0].mlp.register_forward_pre_hook(counted)
        with Rollouts("toy_guess", LIMITS, threads=1) as play:
            played = play(None, play.env.tasks("train", 0)[:2], group=GROUP, seed=3)
        optimizer = MasterAdamW(model.parameters(), lr=1e-3)
        kept: list[torch.Tensor] = []

        def keep(adam: Any, *_: Any, into: list[torch.Tensor] = kept) -> None:
            given = [p.grad for group in adam.param_groups for p in group["params"]]
            into.extend(g.clone() for g in given if g is not None)

        optimizer._adam.register_step_pre_hook(keep)
        rng = np.random.default_rng(0)
        trainer = PolicyUpdate(
            model, chat, ALGORITHMS["grpo"], optimizer, rng, max_grad_norm=1e9
        )
        episodes = [with_token_ids(e, chat) for e in played]
        trainer.update(episodes, [i // GROUP for i in range(len(episodes))], lr=1e-3)
        gradients.append(torch.cat([g.flatten() for g in kept]))
        calls.append(count[0])
        assert not any(
            part.training
            for part in model.modules()
            if "Dropout" in type(part).__name__
        )
    assert calls[0] > 0
    assert calls[1] == 2 * calls[0]
    assert gradients[0].norm() > 1e-3
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-7)


def launched(runs: Path, *extra: str, flags: Sequence[str] = ()) -> str:
    """Runs the command alone, or two under `accelerate launch` with flags; what they said."""
    start = [sys.executable, "-m"]
    if flags:
        start += ["accelerate.commands.launch", *flags, "--num_processes", "2"]
        start += ["--main_process_port", free_port(), "-m"]
    done = subprocess.run(
        [*start, "scgrpo.train", f"runs={runs}", *extra],
        env={**os.environ, "OMP_NUM_THREADS": "1", "SCGRPO_CACHE": str(runs / "cache")},
        capture_output=True,
        text=True,
        timeout=4 * MINUTE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.daily(0)  # the steps that either takes are compared above each day
@pytest.mark.parametrize("flags", [DDP_FLAGS, FSDP_FLAGS], ids=["ddp", "fsdp"])
def test_a_launched_run_on_two_processes_learns_what_one_does(
    tiny: Path, tmp_path: Path, flags: Sequence[str]
):
    settings = [
        "env=toy_guess",
        f"model={tiny}",
        "device=cpu",
        "dtype=float32",
        "levels=0",
        "tasks_per_step=3",
        "group_size=4",
        "lr=1e-4",
        "limits.turn_tokens=4",
        "limits.episode_tokens=200",
        "save_every=2",
        "warm_start.mode=always",
        "warm_start.episodes=12",
        "warm_start.steps=20",
    ]
    assert "processes: " not in launched(tmp_path, *settings, "name=one", "max_steps=3")
    first = ["name=two", "max_steps=2", "validation.every=2"]
    said = launched(tmp_path, *settings, *first, flags=flags)
    assert said.count("run: ") == 1
    how = (
        "the model's layers are sharded"
        if flags == FSDP_FLAGS
        else "each with the model"
    )
    assert f"processes: 2, {how}" in said
    said = launched(tmp_path, "name=two", "resume=true", "max_steps=3", flags=flags)
    assert said.count("going on from") == 1
    one, two = tmp_path / "one", tmp_path / "two"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "cache",
        "latest",
        "one",
        "two",
    ]
    rows = [read_metrics(run / "metrics.jsonl") for run in (one, two)]
    assert [row["step"] for row in rows[1]] == [1, 2, 3]
    assert [row["step"] for row in read_metrics(two / "validation.jsonl")] == [2]
    for step in (1, 2, 3):
        name = f"step-{step:06d}.jsonl"
        ids = [
            [e.token_ids for e in read_episodes(run / "episodes" / name)]
            for run in (one, two)
        ]
        assert ids[0] == ids[1]
        assert (two / "credit" / name).is_file()
    for mine, wanted in zip(*reversed(rows), strict=True):
        assert mine["train/loss"] == pytest.approx(wanted["train/loss"], abs=1e-5)
        assert mine["train/gradient_norm"] == pytest.approx(
            wanted["train/gradient_norm"], rel=1e-3
        )
    assert any(row["train/gradient_norm"] > 0 for row in rows[1])
    last = [
        load_file(run / "checkpoints" / "step-000003" / "model.safetensors")
        for run in (one, two)
    ]
    for weight, wanted in last[1].items():
        torch.testing.assert_close(wanted, last[0][weight], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)  # where others use the cores too
def test_a_sharded_run_that_is_terminated_goes_on_with_another_number_of_processes(
    tiny: Path, tmp_path: Path, day: Day
):
    if not day.whole:
        pytest.skip("with --all: its parts are tested each day")
    settings = [
        *("env=toy_guess", f"model={tiny}", f"runs={tmp_path}", "name=run"),
        *("device=cpu", "dtype=float32", "levels=0", "tasks_per_step=2"),
        *("group_size=2", "limits.turn_tokens=4", "limits.episode_tokens=200"),
        *("warm_start.mode=never", "save_every=1000000", "max_steps=1000000"),
    ]
    port = free_port()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "scgrpo.train", *settings],
            env={
                **os.environ,
                **FSDP,
                "OMP_NUM_THREADS": "1",
                "ACCELERATE_USE_CPU": "true",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    run = tmp_path / "run"
    ends = time.monotonic() + 6 * MINUTE
    while len(read_metrics(run / "metrics.jsonl")) < 3:
        assert time.monotonic() < ends
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)
    # The one that writes no metrics and no log.
    processes[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=3 * MINUTE)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], said
    assert "continue with: scgrpo train resume=true name=run" in said[0]

    last = read_metrics(run / "metrics.jsonl")[-1]["step"]
    newest = checkpoints.latest(run / "checkpoints")
    assert newest == checkpoints.step_folder(run / "checkpoints", last)
    parts = {path.name for path in (newest / "optimizer").glob("*.distcp")}
    assert parts == {"__0_0.distcp", "__1_0.distcp"}
    launched(tmp_path, "name=run", "resume=true", f"max_steps={last + 2}")
    steps = [row["step"] for row in read_metrics(run / "metrics.jsonl")]
    assert steps == list(range(1, last + 3))
