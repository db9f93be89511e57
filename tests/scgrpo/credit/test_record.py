"""Every training step leaves the credit of its episodes beside them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.rollout import Limits
from envs.store import read_episodes
from scgrpo.batch import Batch
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.credit.record import (
    CreditRow,
    credit_path,
    write_credit,
)
from scgrpo.credit.references import Case, References
from scgrpo.credit.rows import credit_rows, skipped_rows
from scgrpo.credit.rule import Credit
from scgrpo.loop import TrainingLoop
from scgrpo.models.tiny import make_tiny
from scgrpo.rollouts import Rollouts
from scgrpo.runs.folders import new_run

LIMITS = Limits(turn_tokens=4, episode_tokens=200)
KEYS = [
    "episode",
    "group",
    "reference",
    "case",
    "advantage",
    "divergence",
    "weight",
    "entropy",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def config(tiny: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        env="toy_guess",
        model=str(tiny),
        max_steps=2,
        tasks_per_step=3,
        group_size=4,
        levels=(0,),
        limits=LIMITS,
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=tmp_path,
        save_every=1,
    )


def learn(run: Path, config: TrainConfig) -> None:
    with (
        Rollouts("toy_guess", LIMITS, threads=1) as play,
        TrainingLoop(run, config, play, Path(config.model)) as learner,
    ):
        learner.learn()


def rows(run: Path, step: int) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in credit_path(run, step).read_text().splitlines()
    ]


@pytest.mark.parametrize("algo", ["sc_grpo", "grpo", "dapo"])
def test_a_run_keeps_a_line_of_credit_for_every_line_of_episodes(
    config, tmp_path, algo
):
    run = new_run(tmp_path, algo)
    learn(run, replace(config, algo=algo))
    for step in (1, 2):
        episodes = list(read_episodes(run / "episodes" / f"step-{step:06d}.jsonl"))
        found = rows(run, step)
        assert [row["episode"] for row in found] == list(range(len(episodes)))
        assert [row["group"] for row in found] == [i // 4 for i in range(len(episodes))]
        assert all(list(row) == KEYS for row in found)
        for row, episode in zip(found, episodes, strict=True):
            tokens = sum(len(turn.token_ids) for turn in episode.turns)
            if row["case"] != "dropped":
                assert len(row["divergence"]) == len(row["weight"]) == tokens > 0
                assert len(row["entropy"]) in (0, tokens)
            if algo == "grpo":
                assert (row["case"], set(row["weight"])) == ("none", {1.0})
            if row["reference"] is not None:
                assert algo == "sc_grpo"
                assert row["reference"] // 4 == row["group"]
                assert any(0 < w < 1 for w in row["weight"])
    if algo == "sc_grpo":
        assert any(row["reference"] is not None for row in rows(run, 1))


def test_a_resumed_run_keeps_the_same_credit_and_none_of_another_try(config, tmp_path):
    whole, parts = new_run(tmp_path, "whole"), new_run(tmp_path, "parts")
    learn(whole, config)
    learn(parts, replace(config, max_steps=1))
    stale = credit_path(parts, 2)
    stale.write_text("of a try that was killed\n")
    learn(parts, replace(config, resume=True))
    for step in (1, 2):
        assert (
            credit_path(parts, step).read_text() == credit_path(whole, step).read_text()
        )
    assert [path.name for path in stale.parent.iterdir()].count(stale.name) == 1
    assert len(list(stale.parent.iterdir())) == 2


def test_new_episodes_take_the_credit_of_the_old_ones_away(config, tmp_path):
    run = new_run(tmp_path, "run")
    with (
        Rollouts("toy_guess", LIMITS, threads=1) as play,
        TrainingLoop(run, config, play, Path(config.model)) as learner,
    ):
        stale = credit_path(run, 1)
        write_credit(stale, [CreditRow(0, 0)])
        learner._keep(1, learner.groups.take(1).episodes)
        assert not stale.exists()


def test_rows_of_the_batch_get_their_places_in_the_file():
    """Places 1 and 4 are rows 0 and 1: what stood between was left out."""
    mask = torch.tensor([[False, True, True], [False, True, False]])
    references = References(
        reference=torch.tensor([1, -1]),
        negative_reference=torch.tensor([-1, -1]),
        case=torch.tensor([Case.DIVERSITY, Case.DIVERSITY]),
        overflow=torch.tensor([False, False]),
    )
    values = torch.tensor([[9.0, 0.5, 0.25], [9.0, 2.0, 9.0]])
    entropy = {0: torch.tensor([1.5, 0.5])}
    none = torch.zeros(2, 3)
    batch = Batch(none, mask, mask, none, none[:, 0], torch.tensor([0, 1]), none[:, 0])
    credit = Credit(values / 4, torch.tensor([0.5, -1.0]), values, references)
    first, second = credit_rows([1, 4], batch, credit, entropy)
    assert first == CreditRow(
        1, 0, 4, "diversity", 0.5, [0.5, 0.25], [0.125, 0.0625], [1.5, 0.5]
    )
    assert second == CreditRow(4, 1, None, "diversity", -1.0, [2.0], [0.5], ())


def test_a_file_is_sorted_short_and_holds_null_for_what_is_not_finite(tmp_path):
    path = credit_path(tmp_path, 12)
    known = CreditRow(
        0, 0, 1, "weighted", 1 / 3, [1.23456e-7, math.inf], [2 / 3, 1.0], [math.nan]
    )
    write_credit(path, [*skipped_rows([1], [7], "void"), known])
    assert path == tmp_path / "credit" / "step-000012.jsonl"
    assert path.read_text().splitlines() == [
        '{"episode":0,"group":0,"reference":1,"case":"weighted","advantage":0.3333,'
        '"divergence":[1.235e-07,null],"weight":[0.6667,1],"entropy":[null]}',
        '{"episode":1,"group":7,"reference":null,"case":"void","advantage":null,'
        '"divergence":[],"weight":[],"entropy":[]}',
    ]
