"""Which tasks are drawn, and how each part of a mixture climbs."""

from __future__ import annotations

import numpy as np
import pytest

from envs import registry
from envs.store import read_episodes
from evals.evaluation.models import _levels_of_training
from evals.evaluation.suites import open_envs
from evals.report.html import page
from scgrpo.config import TrainConfig
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import read_metrics
from scgrpo.settings import parse as settings
from scgrpo.train import main
from scgrpo.training.curriculum import LevelCurriculum
from scgrpo.training.task_draw import TaskDraw
from scgrpo.validation import merge_parts


def test_one_environment_draws_as_before():
    env = registry.make("toy_guess").unwrapped
    draw, curriculum = TaskDraw(env), LevelCurriculum(env.levels)
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(50):
        pool = env.tasks("train", curriculum.draw(theirs))
        assert draw.draw(ours) == pool[int(theirs.integers(len(pool)))]
    assert draw.state_dict() == curriculum.state_dict()
    assert draw.log([]) == {}
    assert draw.validation_levels() == [("", None, 0)]


def test_parts_are_drawn_by_weight_and_climb_alone():
    env = registry.make("toy_guess@weight=3+tool_store@levels=1,2")
    draw = TaskDraw(env)
    rng = np.random.default_rng(0)
    tasks = [draw.draw(rng) for _ in range(2000)]
    numbers = [env.part_of(task) for task in tasks]
    # 3 in 4 of 2000, within four standard deviations of 19.4.
    assert abs(numbers.count(0) - 1500) < 78
    assert {task.level for task in tasks} == {0, 1}
    assert draw.validation_levels() == [("toy_guess", 0, 0), ("tool_store", 1, 1)]
    store = next(task for task in tasks if env.part_of(task) == 1)
    for _ in range(16):
        draw.record(store, 1.0)
    assert draw.validation_levels() == [("toy_guess", 0, 0), ("tool_store", 1, 2)]
    assert draw.level == 1.0

    again = TaskDraw(registry.make("toy_guess@weight=3+tool_store@levels=1,2"))
    again.load_state_dict(draw.state_dict())
    assert again.validation_levels() == draw.validation_levels()


def test_a_run_s_levels_are_those_of_the_parts_that_have_them():
    draw = TaskDraw(registry.make("toy_guess+tool_store@levels=2"), [1])
    assert draw.validation_levels() == [("toy_guess", 0, 1), ("tool_store", 1, 2)]
    with pytest.raises(ValueError, match="toy_guess has none of the levels \\[9\\]"):
        TaskDraw(registry.make("toy_guess+tool_store"), [9])


def test_validation_of_parts_has_each_and_the_mean():
    merged = merge_parts(
        [
            ("a", {"validation/id": 0.5, "validation_errors/x": 2.0}),
            ("b", {"validation/id": 1.0, "validation/gap": 0.25}),
        ]
    )
    assert merged == {
        "validation/id": 0.75,
        "validation/gap": 0.25,
        "validation_errors/x": 2.0,
        "validation/a/id": 0.5,
        "validation/b/id": 1.0,
        "validation/b/gap": 0.25,
    }
    assert merge_parts([("", {"validation/id": 0.5})]) == {"validation/id": 0.5}


def test_a_run_on_a_mixture_logs_saves_and_resumes_each_part(tmp_path):
    tiny = make_tiny(tmp_path / "tiny", hidden=16, layers=1, heads=2)
    arguments = [
        "env=toy_guess@levels=0@turn_tokens=1+tool_store@levels=1",
        f"model={tiny}",
        f"runs={tmp_path}",
        "name=mixed",
        "device=cpu",
        "dtype=float32",
        "tasks_per_step=6",
        "group_size=2",
        "limits.turn_tokens=3",
        "limits.episode_tokens=1400",
        "reference.input_tokens=2048",
        "warm_start.mode=never",
        "validation.every=1",
        "validation.tasks=2",
        "save_every=1",
    ]
    main([*arguments, "max_steps=1"])
    main(["resume=true", "name=mixed", f"runs={tmp_path}", "max_steps=2"])
    run = tmp_path / "mixed"
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2]
    for row in rows:
        shares = [row[f"env/{name}/share"] for name in ("toy_guess", "tool_store")]
        assert sum(shares) == 1.0
        assert row["env/tool_store/level"] == 1.0
    validation = read_metrics(run / "validation.jsonl")[-1]
    assert "validation/toy_guess/id" in validation
    assert "validation/tool_store/ood/tools" in validation

    # Episodes on disk are those of the environments themselves, for every reader.
    levels: dict[str, set[int]] = {}
    for step in (1, 2):
        for episode in read_episodes(run / "episodes" / f"step-{step:06d}.jsonl"):
            levels.setdefault(episode.env, set()).add(episode.task.level)
            own = registry.make(episode.env).unwrapped
            task = episode.task
            assert own.find(task.split, task.level, task.id) == task
            longest = max(turn.length for turn in episode.turns)
            assert longest == 1 if "guess" in episode.env else longest <= 3
    assert levels == {"scgrpo/toy_guess-v0": {0}, "scgrpo/tool_store-v0": {1}}

    config = settings.load(TrainConfig, run / "config.yaml")
    assert list(open_envs([config.env])) == ["toy_guess", "tool_store"]
    assert _levels_of_training(run, config) == (0, 1)

    # The report has the curves of each, and knows which one played an episode.
    text = page([run], episodes=8)
    for name in ("toy_guess", "tool_store"):
        assert f"<figcaption>env/{name}/success</figcaption>" in text
        assert f'"env": "{name}"' in text
