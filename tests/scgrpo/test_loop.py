"""The training loop goes on exactly where it was, and says why it stops."""

import errno
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.rollout import Limits
from envs.store import read_episodes
from sandboxes import SandboxError
from scgrpo import validation as validation_module
from scgrpo.algorithms.presets import ALGORITHMS
from scgrpo.algorithms.registry import algorithm_of
from scgrpo.config import LoraConfig, TrainConfig, ValidationConfig, WarmStartConfig
from scgrpo.launch import train
from scgrpo.loop import TrainingLoop
from scgrpo.models.tiny import make_tiny
from scgrpo.policies import hf
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs import checkpoints
from scgrpo.runs.folders import new_run
from scgrpo.runs.log import read_metrics
from scgrpo.settings import parse as settings
from scgrpo.steps.errors import TrainingError
from scgrpo.steps.groups import Groups, draw_tasks
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.update import PolicyUpdate
from scgrpo.validation import validate

LIMITS = Limits(turn_tokens=4, episode_tokens=200)
ROWS = 4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has seen how a guess is written, so that groups succeed and fail."""
    folder = tmp_path_factory.mktemp("models")
    blank = make_tiny(folder / "blank", hidden=16, layers=1, heads=2)
    config = TrainConfig(
        env="toy_guess",
        model=str(blank),
        levels=(0,),
        limits=LIMITS,
        warm_start=WarmStartConfig(
            "always", episodes=18, steps=60, tasks_per_step=9, lr=1e-2
        ),
        dtype="float32",
        device="cpu",
    )
    from scgrpo.warm_start.starting_weights import starting_weights

    with pytest.MonkeyPatch.context() as patch, Rollouts("toy_guess", LIMITS) as play:
        patch.setenv("SCGRPO_CACHE", str(folder / "cache"))
        return starting_weights(config, play).folder


@pytest.fixture
def one_thread() -> Iterator[Rollouts]:
    """Episodes one after another: nothing depends on who joins whose batch."""
    with Rollouts("toy_guess", LIMITS, threads=1) as play:
        yield play


@pytest.fixture
def config(tiny: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        env="toy_guess",
        model=str(tiny),
        max_steps=4,
        tasks_per_step=3,
        group_size=ROWS,
        lr=3e-3,
        levels=(0, 1),
        limits=LIMITS,
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=tmp_path,
        save_every=2,
    )


def learn(run: Path, config: TrainConfig, play: Rollouts, start: Path) -> None:
    with TrainingLoop(run, config, play, start) as learner:
        learner.learn()


def told(run: Path) -> list[Mapping[str, Any]]:
    """The metrics without times and memory, which no run repeats."""
    return [
        {
            key: value
            for key, value in row.items()
            if not key.startswith(("time", "memory/"))
        }
        for row in read_metrics(run / "metrics.jsonl")
    ]


def weights(run: Path, step: int) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(run / "checkpoints" / f"step-{step:06d}" / "model.safetensors")


def test_a_resumed_run_repeats_the_uninterrupted_one_exactly(
    tiny, config, one_thread, tmp_path
):
    whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
    learn(whole, config, one_thread, tiny)
    learn(parts, replace(config, max_steps=2), one_thread, tiny)
    learn(parts, replace(config, resume=True), one_thread, tiny)
    assert [row["step"] for row in told(whole)] == [1, 2, 3, 4]
    assert told(parts) == told(whole)
    for name, weight in weights(whole, 4).items():
        assert torch.equal(weight, weights(parts, 4)[name]), name
    # The run did something: tokens had a gradient and the weights moved.
    assert any(row.get("train/tokens") for row in told(whole))
    assert any(
        not torch.equal(weights(whole, 2)[n], w) for n, w in weights(whole, 4).items()
    )


def test_several_updates_of_a_batch_and_the_frozen_model_go_on_exactly(
    tiny, config, one_thread, tmp_path
):
    config = replace(
        config, updates_per_batch=2, mini_batches=3, kl_coefficient=0.1, algo="sc_grpo"
    )
    whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
    learn(whole, config, one_thread, tiny)
    learn(parts, replace(config, max_steps=2), one_thread, tiny)
    # The KL is from where the run started, not from where it went on.
    learn(parts, replace(config, resume=True), one_thread, tiny)
    assert told(parts) == told(whole)
    rows = told(whole)
    assert max(row.get("train/updates", 0) for row in rows) == 6
    assert any(row.get("train/clipped") for row in rows)
    distances = [row["train/reference_kl"] for row in rows]
    assert distances[0] < distances[-1]
    assert distances[-1] > 1e-3


def test_a_bfloat16_run_resumes_with_its_full_precision_masters(tiny, config, tmp_path):
    config = replace(config, dtype="bfloat16", lr=1e-4)
    with Rollouts("toy_guess", LIMITS, threads=1) as play:
        whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
        learn(whole, replace(config, max_steps=3), play, tiny)
        learn(parts, replace(config, max_steps=2), play, tiny)
        learn(parts, replace(config, max_steps=3, resume=True), play, tiny)
    assert told(parts) == told(whole)


def test_every_step_keeps_its_episodes(tiny, config, one_thread, tmp_path):
    run = new_run(tmp_path, "run")
    learn(run, replace(config, max_steps=2), one_thread, tiny)
    for step in (1, 2):
        episodes = list(read_episodes(run / "episodes" / f"step-{step:06d}.jsonl"))
        assert len(episodes) == 3 * ROWS
        assert {e.policy_version for e in episodes} == {step - 1}
        groups = [episodes[i : i + ROWS] for i in range(0, len(episodes), ROWS)]
        names = [{e.task.id for e in group} for group in groups]
        assert all(len(name) == 1 for name in names)
        assert len(set().union(*names)) == 3  # no task in two groups
        success = sum(bool(e.verified) for e in episodes) / len(episodes)
        assert told(run)[step - 1]["episodes/success"] == pytest.approx(success)


def test_a_level_with_fewer_tasks_than_a_step_wants_repeats_them(
    tiny, config, one_thread, tmp_path
):
    run = new_run(tmp_path, "run")
    many = replace(config, levels=(0,), tasks_per_step=11, group_size=2, max_steps=1)
    learn(run, many, one_thread, tiny)
    episodes = list(read_episodes(run / "episodes" / "step-000001.jsonl"))
    assert len(episodes) == 22
    assert len({e.task.id for e in episodes}) == 9


class InterruptedRollouts(Rollouts):
    """Ctrl-C in the rollouts of the third step."""

    calls = 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().__call__(*args, **options)


def test_an_interrupt_during_episodes_keeps_every_finished_step(
    tiny, config, one_thread, tmp_path
):
    config = replace(config, save_every=100, max_steps=3)
    whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
    learn(whole, config, one_thread, tiny)
    with (
        InterruptedRollouts("toy_guess", LIMITS, threads=1) as play,
        pytest.raises(KeyboardInterrupt),
    ):
        learn(parts, config, play, tiny)
    saved = checkpoints.latest(parts / "checkpoints")
    assert saved is not None
    assert saved.name == "step-000002"
    learn(parts, replace(config, resume=True), one_thread, tiny)
    assert told(parts) == told(whole)


def test_an_interrupt_during_the_update_finishes_the_step_first(
    tiny, config, one_thread, tmp_path, monkeypatch
):
    config = replace(config, save_every=100, max_steps=3)
    whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
    learn(whole, config, one_thread, tiny)
    step, calls = MasterAdamW.step, []

    def interrupted(self: MasterAdamW, **options: Any) -> float:
        calls.append(1)
        if len(calls) == 2:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return step(self, **options)

    monkeypatch.setattr(MasterAdamW, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn(parts, config, one_thread, tiny)
    assert [row["step"] for row in told(parts)] == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    learn(parts, replace(config, resume=True), one_thread, tiny)
    assert told(parts) == told(whole)


def broken(times: set[int]):
    """MasterAdamW.step with a gradient that is not finite at the given calls."""
    step, calls = MasterAdamW.step, [0]

    def poisoned(self: MasterAdamW, **options: Any) -> float:
        calls[0] += 1
        if calls[0] in times:
            self._masters[0].grad = torch.full_like(self._masters[0], math.nan)
        return step(self, **options)

    return poisoned


def test_a_gradient_that_stays_not_finite_ends_the_run(
    tiny, config, one_thread, tmp_path, monkeypatch, caplog
):
    run = new_run(tmp_path, "run")
    monkeypatch.setattr(MasterAdamW, "step", broken({2, 3, 4}))
    caplog.set_level("INFO", "scgrpo.loop")
    with pytest.raises(
        TrainingError, match=r"not finite in the last 3 steps, up to step 4.*lr"
    ):
        learn(run, replace(config, max_steps=9), one_thread, tiny)
    rows = told(run)
    assert [row["train/skipped"] for row in rows] == [0.0, 1.0, 1.0, 1.0]
    assert rows[1]["train/gradient_norm"] is None
    assert f"kept in {run / 'checkpoints' / 'step-000004'}" in caplog.text
    first, last = weights(run, 2), weights(run, 4)
    assert all(torch.equal(first[name], last[name]) for name in first)


def test_single_bad_gradients_are_skipped(
    tiny, config, one_thread, tmp_path, monkeypatch
):
    run = new_run(tmp_path, "run")
    monkeypatch.setattr(MasterAdamW, "step", broken({1, 2, 4}))
    learn(run, config, one_thread, tiny)
    assert [row["train/skipped"] for row in told(run)] == [1.0, 1.0, 0.0, 1.0]


def test_references_that_the_model_does_not_use_are_reported_once(
    config, one_thread, tmp_path, caplog
):
    """A fresh model's weights are too small for what it reads to matter."""
    blank = make_tiny(tmp_path / "blank", hidden=16, layers=1, heads=2)
    learn(new_run(tmp_path, "run"), replace(config, lr=1e-9), one_thread, blank)
    assert caplog.text.count("references move the policy by") == 1


def test_a_model_that_computes_nothing_finite_ends_the_run(
    tiny, config, one_thread, tmp_path
):
    run = new_run(tmp_path, "run")
    with TrainingLoop(run, replace(config, group_size=8), one_thread, tiny) as learner:
        tasks = one_thread.env.tasks("train", 0)[:3]
        episodes = one_thread(learner.policy, tasks, group=8, seed=0)
        with torch.no_grad():
            learner.model.get_output_embeddings().weight.fill_(math.nan)
        with pytest.raises(
            TrainingError, match="step 1 cannot be learned from: divergence"
        ):
            learner._learning.learn(1, Groups(tasks, episodes, seconds=1.0))


def test_a_step_without_any_verdict_ends_the_run_and_keeps_the_steps_before(
    tiny, config, one_thread, tmp_path, monkeypatch
):
    run = new_run(tmp_path, "run")
    play, calls = HFPolicy.begin, [0]

    def begin(self: Any, *args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] > 3 * ROWS:
            raise RuntimeError("the engine is gone")
        return play(self, *args, **options)

    monkeypatch.setattr(HFPolicy, "begin", begin)
    words = r"no episode of step 2 has a verdict \(RuntimeError 12\).*engine is gone"
    with pytest.raises(TrainingError, match=words):
        learn(run, config, one_thread, tiny)
    saved = checkpoints.latest(run / "checkpoints")
    assert saved is not None
    assert saved.name == "step-000001"


def test_a_rise_of_one_cause_is_counted_shown_and_warned_of_once(
    tiny, config, one_thread, tmp_path, monkeypatch, caplog, capsys
):
    run = new_run(tmp_path, "run")
    begin, calls = HFPolicy.begin, [0]

    def full(self: Any, *args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] > 3 * ROWS and calls[0] % 2:
            raise OSError(errno.ENOSPC, "No space left on device", "in the sandbox")
        return begin(self, *args, **options)

    monkeypatch.setattr(HFPolicy, "begin", full)
    with caplog.at_level(logging.WARNING, "scgrpo.training.error_monitor"):
        learn(run, replace(config, max_steps=2), one_thread, tiny)
        learn(run, replace(config, max_steps=3, resume=True), one_thread, tiny)
    rows = told(run)
    assert [row.get("errors/ENOSPC") for row in rows] == [None, 6.0, 6.0]
    assert [row["episodes/count"] for row in rows] == [12.0] * 3
    assert [row["episodes/void"] for row in rows] == [0.0, 6.0, 6.0]
    (line,) = caplog.messages
    assert line.startswith(
        "step 2: 6 of 12 episodes (0 of 12 before) errored by ENOSPC. They"
    )
    assert " s, errored: ENOSPC 6\n" in capsys.readouterr().err


def test_adapters_alone_are_trained_and_saved(tiny, config, one_thread, tmp_path):
    run = new_run(tmp_path, "run")
    adapted = replace(config, lora=LoraConfig(rank=2, alpha=4), max_steps=2)
    learn(run, adapted, one_thread, tiny)
    saved = run / "checkpoints" / "step-000002"
    assert (saved / "adapter_config.json").is_file()
    assert not (saved / "model.safetensors").exists()
    learn(run, replace(adapted, max_steps=3, resume=True), one_thread, tiny)
    assert [row["step"] for row in told(run)] == [1, 2, 3]
    assert any(row.get("train/gradient_norm") for row in told(run))


@pytest.mark.parametrize("algo", ["sc_grpo", "grpo"])
def test_a_run_folder_holds_what_a_reader_needs(config, algo, monkeypatch):
    run = train(replace(config, algo=algo, max_steps=1, name=algo))
    saved = settings.load(TrainConfig, run / "config.yaml")
    assert (saved.algo, saved.lr, saved.limits) == (algo, 3e-3, LIMITS)
    (row,) = told(run)
    wanted = {"episodes/success", "episodes/void", "episodes/stop_max_tokens", "level"}
    assert wanted | ({"credit/overflow"} if algo == "sc_grpo" else set()) <= row.keys()
    assert os.listdir(run / "tensorboard")
    assert os.readlink(run.parent / "latest") == algo


@pytest.mark.daily(6)  # each day all of them give the recorded gradient
@pytest.mark.parametrize("algo", sorted(ALGORITHMS))
def test_every_algorithm_trains_the_toy(tiny, config, one_thread, tmp_path, algo):
    run = new_run(tmp_path, algo)
    teacher = str(make_tiny(tmp_path / "teacher", hidden=16, layers=1, heads=2, seed=1))
    learn(
        run,
        replace(
            config,
            algo=algo,
            teacher=teacher if algo == "opd" else "",
            max_steps=2,
            save_every=2,
        ),
        one_thread,
        tiny,
    )
    rows = told(run)
    assert len(rows) == 2
    assert all(math.isfinite(row.get("train/gradient_norm", 0.0)) for row in rows)
    assert any(row.get("train/gradient_norm", 0.0) > 0 for row in rows)


def test_dynamic_sampling_refills_up_to_its_cap(tiny, config, one_thread, tmp_path):
    run = new_run(tmp_path, "dapo")
    with TrainingLoop(
        run, replace(config, algo="dapo", group_size=2), one_thread, tiny
    ) as learner:
        found = []
        for step in range(1, 7):
            played = learner.groups.take(step)
            episodes, rounds = played.episodes, played.rounds
            groups = [episodes[i : i + 2] for i in range(0, len(episodes), 2)]
            assert [g[0].task.id for g in groups] == [t.id for t in played.tasks]
            mixed = sum(g[0].verified != g[1].verified for g in groups)
            found.append((mixed, rounds))
        assert all(mixed <= 3 and rounds <= 4 for mixed, rounds in found)
        assert all(mixed == 3 or rounds == 4 for mixed, rounds in found)
        assert any(rounds > 1 for _, rounds in found)


def test_a_teacher_belongs_to_the_algorithm_that_reads_it(config):
    with pytest.raises(ValueError, match="give teacher=MODEL"):
        algorithm_of(replace(config, algo="opd"))
    with pytest.raises(ValueError, match="use algo=opd"):
        algorithm_of(replace(config, teacher="other"))


def test_a_teacher_of_another_tokenizer_is_refused(tiny, config, one_thread, tmp_path):
    teacher = make_tiny(tmp_path / "teacher", hidden=16, layers=1, heads=2)
    about = json.loads((teacher / "tokenizer.json").read_text())
    vocabulary = about["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (teacher / "tokenizer.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="another tokenizer"):
        learn(
            new_run(tmp_path, "run"),
            replace(config, algo="opd", teacher=str(teacher)),
            one_thread,
            tiny,
        )


def test_a_profile_covers_the_step_and_counts_its_tokens(
    tiny, config, tmp_path, caplog
):
    caplog.set_level("INFO", "scgrpo.loop")
    run = new_run(tmp_path, "run")
    with Rollouts("toy_guess", LIMITS, threads=8) as play:
        learn(run, replace(config, algo="grpo", profile=True), play, tiny)
    rows = read_metrics(run / "metrics.jsonl")
    learned = 0
    for row in rows:
        profile = {key: row[key] for key in row if key.startswith("profile/")}
        walls = {k: v for k, v in profile.items() if k.endswith("/wall_s")}
        # What was saved after the step before is in this row.
        step_s = row["time/rollout_s"] + row["time/update_s"]
        step_s += walls.get("profile/checkpoint/wall_s", 0)
        assert step_s * 0.98 <= sum(walls.values()) <= 1.1 * step_s + 0.05

        path = run / "episodes" / f"step-{row['step']:06d}.jsonl"
        episodes = list(read_episodes(path))
        sampled = sum(turn.length for e in episodes for turn in e.turns)
        assert profile["profile/sampling/tokens"] == sampled
        fed = sum(len(e.token_ids) - 1 for e in episodes)
        # The first episode of a prompt reads it, the others its last token alone.
        prompts = [e.segments[0].token_ids for e in episodes]
        fed -= sum(len(ids) - 1 for ids in prompts)
        fed += sum(len(ids) - 1 for ids in set(prompts))
        stages = ("prefill", "mixed", "decode")
        assert sum(profile.get(f"profile/{name}/tokens", 0) for name in stages) == fed

        backward = profile.get("profile/backward/tokens", 0)
        assert backward == row["train/tokens"]
        learned += backward
    assert learned > 0
    assert ["profile/checkpoint/wall_s" in row for row in rows] == [
        *(False, False, True, False)
    ]
    assert "stages of a step:\nstage " in caplog.text


def test_without_a_profile_the_log_is_as_it_was(
    tiny, config, one_thread, tmp_path, caplog
):
    caplog.set_level("INFO", "scgrpo.loop")
    config = replace(config, max_steps=2)
    plain, profiled = new_run(tmp_path, "plain"), new_run(tmp_path, "profiled")
    learn(plain, config, one_thread, tiny)
    assert "stages" not in caplog.text
    learn(profiled, replace(config, profile=True), one_thread, tiny)
    keys = [set(row) for row in told(plain)]
    assert not any(key.startswith("profile/") for row in keys for key in row)
    without = [
        {key: value for key, value in row.items() if not key.startswith("profile/")}
        for row in told(profiled)
    ]
    assert without == told(plain)


def test_a_profile_knows_the_teachers_passes(tiny, config, one_thread, tmp_path):
    run = new_run(tmp_path, "run")
    learn(run, replace(config, profile=True), one_thread, tiny)
    rows = read_metrics(run / "metrics.jsonl")
    weighted = [row for row in rows if "credit/mean_d" in row]
    assert weighted
    for row in weighted:
        read = row["profile/teacher_forward/tokens"]
        # Each of these rows is read after its reference, one prompt for several of them.
        assert read > row["profile/references/tokens"] / ROWS > 0
        assert row["profile/teacher_forward/wall_s"] > 0
        assert row["profile/student_forward/tokens"] > 0


def test_without_ahead_a_run_is_what_its_parts_give(tiny, config, one_thread, tmp_path):
    """Draw, play, update and weight sync one after another, to the bit."""
    config = replace(config, max_steps=3, save_every=3)
    whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
    learn(whole, config, one_thread, tiny)
    with TrainingLoop(parts, config, one_thread, tiny) as loop:
        trainer = replace(
            loop.trainer, importance_cap=math.inf, writing_weights=nullcontext
        )
        for step in (1, 2, 3):
            tasks = draw_tasks(loop.levels, config.tasks_per_step, loop.rng)
            words = np.random.SeedSequence((config.seed, step)).generate_state(1)
            episodes = one_thread(loop.policy, tasks, group=ROWS, seed=int(words[0]))
            groups = [i // ROWS for i in range(len(episodes))]
            warmup = min(1.0, step / config.warmup_steps)
            trainer.update(episodes, groups, lr=config.lr * warmup)
            loop.policy.sync_weights()
            path = whole / "episodes" / f"step-{step:06d}.jsonl"
            saved = list(read_episodes(path))
            assert [e.segments for e in saved] == [e.segments for e in episodes], step
        for name, weight in weights(whole, 3).items():
            assert torch.equal(weight, loop.model.state_dict()[name]), name


class Gate:
    """Holds each update until a turn of the next step has been asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last_step: int) -> None:
        self.policies: list[HFPolicy] = []
        self.begun = 0
        self._early = threading.Semaphore(0)
        self._steps = 0
        begin, generate = HFPolicy.begin, hf.HFConversation.generate
        writing = HFPolicy.writing_weights

        def counted_begin(policy: HFPolicy, *args: Any, **options: Any) -> Any:
            self.begun += 1
            return begin(policy, *args, **options)

        def counted(conversation: Any) -> Any:
            if self.begun > 3 * ROWS * (self._steps + 1):
                self._early.release()
            return generate(conversation)

        @contextmanager
        def held(policy: HFPolicy) -> Iterator[None]:
            with writing(policy):
                if self._steps + 1 < last_step:
                    # Paused by now: what was asked for is sampled by the new weights.
                    assert self._early.acquire(timeout=30)
                self._steps += 1
                while self._early.acquire(blocking=False):
                    pass
                yield

        monkeypatch.setattr(HFPolicy, "begin", counted_begin)
        monkeypatch.setattr(hf.HFConversation, "generate", counted)
        monkeypatch.setattr(HFPolicy, "writing_weights", held)


def no_threads_left() -> bool:
    names = ("ahead", "episode")
    left = [t for t in threading.enumerate() if t.name.startswith(names)]
    assert not left
    return True


@pytest.mark.parametrize("algo", ["sc_grpo", "gspo", "opsd", "grpo in parts"])
def test_ahead_the_next_steps_groups_are_one_version_old_at_most(
    tiny, config, one_thread, tmp_path, monkeypatch, algo
):
    run = new_run(tmp_path, "run")
    gate = Gate(monkeypatch, last_step=4)
    config = replace(config, algo=algo.removesuffix(" in parts"), ahead=1)
    if algo.endswith(" in parts"):
        # However many optimizer steps: a version is what a step ends with.
        config = replace(config, updates_per_batch=2, mini_batches=3)
    learn(run, config, one_thread, tiny)
    assert no_threads_left()
    # Nothing is played that no step learns from.
    assert gate.begun == 4 * 3 * ROWS
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    version = 0
    for row in rows:
        step = row["step"]
        episodes = list(read_episodes(run / "episodes" / f"step-{step:06d}.jsonl"))
        assert len(episodes) == 3 * ROWS
        turns = [
            (of_turn, turn.length)
            for e in episodes
            for of_turn, turn in zip(e.versions, e.turns, strict=True)
        ]
        assert {of_turn for of_turn, _ in turns} <= {version - 1, version}
        stale = sum(length for of_turn, length in turns if of_turn < version)
        share = stale / sum(length for _, length in turns)
        assert row["train/stale"] == pytest.approx(share)
        assert (share > 0) == (step > 1)
        assert row["time/played_s"] > 0
        if row.get("train/tokens"):
            assert "train/importance_capped" in row
            assert row["train/logprob_mismatch"] >= 0
        version += "train/gradient_norm" in row
    assert version == 4


def test_ahead_a_resumed_run_plays_the_same_tasks(tiny, config, one_thread, tmp_path):
    # One level: on which side of an update it is drawn makes no difference.
    config = replace(config, ahead=1, levels=(0,))
    whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
    learn(whole, config, one_thread, tiny)
    learn(parts, replace(config, max_steps=2), one_thread, tiny)
    learn(parts, replace(config, resume=True), one_thread, tiny)
    for step in (1, 2, 3, 4):
        name = f"episodes/step-{step:06d}.jsonl"
        tasks = [
            [e.task.id for e in read_episodes(run / name)] for run in (whole, parts)
        ]
        assert tasks[0] == tasks[1]


class AheadRollouts(Rollouts):
    """Its second call, which is played ahead, does something else."""

    calls = 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == 2:
            assert threading.current_thread() is not threading.main_thread()
            self.instead(lambda: super(AheadRollouts, self).__call__(*args, **options))
        return super().__call__(*args, **options)

    def instead(self, play: Any) -> None:
        raise NotImplementedError


class BrokenAhead(AheadRollouts):
    def instead(self, play: Any) -> None:
        raise SandboxError("the sandboxes are gone")


@pytest.mark.parametrize("every", [0, 1])
def test_ahead_an_error_beside_the_update_ends_the_run_behind_the_finished_step(
    tiny, config, one_thread, tmp_path, every
):
    run = new_run(tmp_path, "run")
    config = replace(
        config,
        ahead=1,
        save_every=100,
        validation=ValidationConfig(every=every, tasks=2),
    )
    with (
        BrokenAhead("toy_guess", LIMITS, threads=1) as play,
        pytest.raises(SandboxError, match="the sandboxes are gone"),
    ):
        learn(run, config, play, tiny)
    assert no_threads_left()
    assert [row["step"] for row in told(run)] == [1]
    assert checkpoints.latest(run / "checkpoints").name == "step-000001"
    # Not a row without success, which would never be measured again.
    assert not read_metrics(run / "validation.jsonl")
    learn(run, replace(config, resume=True), one_thread, tiny)
    assert [row["step"] for row in told(run)] == [1, 2, 3, 4]
    assert len(list(run.glob("episodes/step-*.jsonl"))) == 4


class InterruptedAhead(AheadRollouts):
    """Ctrl-C while the main thread waits for episodes that do not end by themselves."""

    def instead(self, play: Any) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            rows = self.run / "metrics.jsonl"
            if rows.exists() and read_metrics(rows):
                break
            time.sleep(0.01)
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while all(e.verdict is not None for e in play()):
            assert time.monotonic() < deadline


def test_ahead_an_interrupt_ends_the_episodes_and_keeps_the_finished_step(
    tiny, config, one_thread, tmp_path
):
    run = new_run(tmp_path, "run")
    config = replace(config, ahead=1, save_every=100)
    with InterruptedAhead("toy_guess", LIMITS, threads=1) as play:
        play.run = run
        with pytest.raises(KeyboardInterrupt):
            learn(run, config, play, tiny)
    assert no_threads_left()
    assert checkpoints.latest(run / "checkpoints").name == "step-000001"
    learn(run, replace(config, resume=True), one_thread, tiny)
    assert [row["step"] for row in told(run)] == [1, 2, 3, 4]


def test_ahead_a_step_that_cannot_be_learned_from_ends_what_is_played(
    tiny, config, tmp_path, monkeypatch
):
    run = new_run(tmp_path, "run")

    def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr(PolicyUpdate, "update", refuse)
    with (
        Rollouts("toy_guess", LIMITS, threads=8) as play,
        pytest.raises(TrainingError, match="step 1 cannot be learned from: no"),
    ):
        learn(run, replace(config, ahead=1), play, tiny)
    assert no_threads_left()


def test_ahead_refills_are_played_after_the_update(tiny, config, one_thread, tmp_path):
    run = new_run(tmp_path, "run")
    config = replace(config, algo="dapo", group_size=2, ahead=1, max_steps=6)
    learn(run, config, one_thread, tiny)
    rows = told(run)
    version = 0
    for row in rows:
        path = run / "episodes" / f"step-{row['step']:06d}.jsonl"
        refilled = list(read_episodes(path))[6:]
        assert bool(refilled) == bool(row["episodes/refills"])
        assert {of_turn for e in refilled for of_turn in e.versions} <= {version}
        version += "train/gradient_norm" in row
    assert any(row["episodes/refills"] for row in rows)


def test_ahead_validation_has_the_policy_to_itself(
    tiny, config, one_thread, tmp_path, monkeypatch
):
    run = new_run(tmp_path, "run")
    measured = []

    def watched(rollouts: Any, policy: HFPolicy, *args: Any, **options: Any) -> Any:
        measured.append(len(policy._free))
        return validate(rollouts, policy, *args, **options)

    monkeypatch.setattr(validation_module, "validate", watched)
    evaluated = replace(config, ahead=1, validation=ValidationConfig(every=1, tasks=2))
    learn(run, evaluated, one_thread, tiny)
    assert measured == [3 * ROWS] * 4
    rows = read_metrics(run / "validation.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all("validation/id" in row for row in rows)
