"""Every algorithm learns from every kind of environment, without a case of its own."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from envs.base import TextEnv
from envs.rollout import Limits, play
from envs.types import Episode
from sandboxes import SandboxError
from scgrpo.algorithms.presets import ALGORITHMS
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.credit.options import ReferenceLimits
from scgrpo.loop import TrainingLoop
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.policies.scripted import RandomPolicy, ScriptedPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs.folders import new_run
from scgrpo.runs.log import read_metrics
from scgrpo.teachers.prompt_ids import load_teacher
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.update import PolicyUpdate
from scgrpo.warm_start.examples import with_token_ids

LIMITS = Limits(turn_tokens=3, episode_tokens=4000)
PLAYED: dict[str, list[Episode]] = {}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "teacher", hidden=32, layers=1, heads=2
    )


@pytest.fixture(scope="module")
def repairs() -> Iterator[Rollouts]:
    try:
        with Rollouts("swe_lite", LIMITS) as play:
            yield play
    except SandboxError as error:
        pytest.skip(f"no sandbox on this machine: {error}")


def played(env: TextEnv) -> list[Episode]:
    """One task: twice solved, by a detour where the budget allows one, and twice given up."""
    if env.name not in PLAYED:
        task = env.tasks("train", 0)[0]
        right = env.oracle(task)
        others = (turn for seed in range(50) for turn in _random_turns(env, seed))
        wrong = next(turn for turn in others if turn not in right)
        scripts = [
            right,
            [wrong, *right][-env.turn_budget(task) :],
            [wrong],
            [wrong, wrong],
        ]
        PLAYED[env.name] = [
            play(env, ScriptedPolicy(script), task) for script in scripts
        ]
    return PLAYED[env.name]


def _random_turns(env: TextEnv, seed: int) -> list[str]:
    done = play(env, RandomPolicy(env), env.tasks("train", 0)[0], seed=seed)
    return [turn.text for turn in done.turns]


@pytest.mark.daily(1, per="algo")
@pytest.mark.parametrize("name", ["toy_guess", "swe_lite"])
@pytest.mark.parametrize("algo", sorted(ALGORITHMS))
def test_episodes_of_either_kind_give_every_algorithm_a_gradient(
    tiny: Path, teacher: Path, make_env: Callable[[str], TextEnv], name: str, algo: str
):
    env = make_env(name)
    model, tokenizer = load_model(tiny)
    choose_path(model)
    chat = Chat(tokenizer)
    episodes = [with_token_ids(episode, chat) for episode in played(env)]
    assert {episode.verified for episode in episodes} == {True, False}
    trainer = PolicyUpdate(
        model=model,
        chat=chat,
        algorithm=ALGORITHMS[algo],
        optimizer=MasterAdamW(model.parameters(), lr=1e-3),
        rng=np.random.default_rng(0),
        limits=ReferenceLimits(tokens=4000, input_tokens=16000),
        episode_tokens=LIMITS.episode_tokens,
        teacher=load_teacher(
            str(teacher), tokenizer, dtype=torch.float32, device=torch.device("cpu")
        ),
        solution=env.oracle,
    )
    before = [p.detach().clone() for p in model.parameters()]
    log = trainer.update(episodes, [0] * len(episodes), lr=1e-3).log
    assert math.isfinite(log["train/gradient_norm"])
    assert log["train/gradient_norm"] > 0
    assert any(
        not torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True)
    )


@pytest.mark.daily(5)
@pytest.mark.parametrize("algo", sorted(ALGORITHMS))
def test_a_blank_model_takes_a_step_in_a_real_environment(
    tiny: Path, teacher: Path, repairs: Rollouts, tmp_path: Path, algo: str
):
    distill = ALGORITHMS[algo].distill
    external = distill is not None and distill.teacher == "model"
    config = TrainConfig(
        env="swe_lite",
        algo=algo,
        model=str(tiny),
        teacher=str(teacher) if external else "",
        max_steps=1,
        tasks_per_step=1,
        group_size=2,
        levels=(0,),
        limits=LIMITS,
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=tmp_path,
    )
    run = new_run(tmp_path, algo)
    with TrainingLoop(run, config, repairs, tiny) as learner:
        learner.learn()
    (row,) = read_metrics(run / "metrics.jsonl")
    assert row["episodes/void"] == 0.0
    assert math.isfinite(row.get("train/gradient_norm", 0.0))
