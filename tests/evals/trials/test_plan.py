"""A plan refuses what cannot run before anything runs, and says which rows are its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from evals.trials.plan import Cell, Shard, TrialPlan, Tuning, environment, load_plan
from scgrpo.settings.parse import flat

PLAN = TrialPlan(
    cells=("toy_guess/0", "math_word/0"),
    methods={
        "grpo": "algo=grpo",
        "sc": "algo=sc_grpo",
        "shuffled": "algo=sc_grpo credit.control=shuffled",
    },
    comparisons=("sc - grpo",),
    seeds=(0, 1),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": ()}, "needs cells, methods and seeds, got 0, 3 and 2"),
        ({"cells": ("toy_guess",)}, "got the cell 'toy_guess', expected one such as"),
        ({"comparisons": ("sc - dapo",)}, "'sc - dapo', expected `a - b` of grpo, sc"),
        ({"comparisons": ("sc-grpo",)}, "'sc-grpo', expected `a - b`"),
        (
            {"tuning": Tuning(cells=("math_word/1",))},
            r"tuning.cells \['math_word/1'\] are not of the plan, expected some of toy",
        ),
        ({"seeds": (0, 100)}, r"tuning.seeds \[100\] are seeds of the trial"),
        ({"methods": {"grpo": "algo=grpo", "sc": "algo=sc_grpo lrr=1"}}, "lrr"),
        ({"settings": "max_steps=0"}, "max_steps must be at least 1"),
    ],
)
def test_what_cannot_run_is_refused(change: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **change)  # pyright: ignore[reportArgumentType]


def test_a_trial_that_is_cut_off_has_whole_comparisons():
    """All methods of a cell follow each other, and seeds are the outer loop."""
    names = [str(shard) for shard in PLAN.shards()]
    assert names[:4] == [
        "trial toy_guess/0 grpo seed 0",
        "trial toy_guess/0 sc seed 0",
        "trial toy_guess/0 shuffled seed 0",
        "trial math_word/0 grpo seed 0",
    ]
    assert len(names) == 2 * 2 * 3
    assert names[6] == "trial toy_guess/0 grpo seed 1"


def test_tuning_and_second_runs_have_seeds_of_their_own():
    tune = {shard.seed for shard in PLAN.shards("tune")}
    again = {shard.seed for shard in PLAN.again(Cell("toy_guess", 0), "sc")}
    assert not (tune | again) & set(PLAN.seeds)
    one = replace(PLAN, tuning=Tuning(cells=("math_word/0",)))
    assert {str(shard.cell) for shard in one.shards("tune")} == {"math_word/0"}
    with pytest.raises(ValueError, match="got toy_guess/1 sc, expected one of"):
        list(PLAN.again(Cell("toy_guess", 1), "sc"))


def test_a_row_is_of_the_plan_if_its_numbers_would_be_the_same():
    shard = Shard(Cell("toy_guess", 0), "sc", 0, 1e-3)
    same = replace(PLAN, title="asked anew", comparisons=(), seeds=(0, 1, 2))
    assert same.digest(shard) == PLAN.digest(shard)
    others = [
        PLAN.digest(replace(shard, seed=1)),
        PLAN.digest(replace(shard, lr=1e-4)),
        PLAN.digest(replace(shard, method="shuffled")),
        replace(PLAN, settings="max_steps=3").digest(shard),
        replace(PLAN, training="max_steps=4").digest(shard),
        replace(PLAN, panel=replace(PLAN.panel, rollouts=2)).digest(shard),
        replace(PLAN, small=replace(PLAN.small, steps=9)).digest(shard),
        # The small model is taught all cells.
        replace(PLAN, cells=("toy_guess/0",)).digest(shard),
    ]
    assert len({PLAN.digest(shard), *others}) == len(others) + 1
    # A model that is warm-started in each cell knows nothing of the others.
    auto = replace(PLAN, model="auto")
    assert replace(auto, cells=("toy_guess/0",)).digest(shard) == auto.digest(shard)


def test_how_long_is_trained_changes_nothing_of_the_branches():
    cell = Cell("toy_guess", 0)
    longer = replace(PLAN, training="max_steps=7")
    assert longer.branch_digest(cell) == PLAN.branch_digest(cell)
    assert longer.digest(Shard(cell, "sc", 0, 1e-3)) != PLAN.digest(
        Shard(cell, "sc", 0, 1e-3)
    )
    shorter = replace(PLAN, settings="limits.episode_tokens=300")
    assert shorter.branch_digest(cell) != PLAN.branch_digest(cell)


def test_a_row_outlives_changes_of_code_and_defaults(
    monkeypatch: pytest.MonkeyPatch,
):
    """Data of months must stay the plan's; another version of an environment is another one."""
    shard = Shard(Cell("toy_guess", 0), "sc", 0, 1e-3)
    before = PLAN.digest(shard)
    own = environment("toy_guess")

    edited = replace(own, source="edited")
    monkeypatch.setattr("evals.trials.plan.environment", lambda name: edited)
    monkeypatch.setattr(
        "evals.trials.plan.settings.flat", lambda config: {**flat(config), "new": 1}
    )
    assert PLAN.digest(shard) == before

    newer = replace(own, env="scgrpo/toy_guess-v9")
    monkeypatch.setattr("evals.trials.plan.environment", lambda name: newer)
    assert PLAN.digest(shard) != before


def test_the_settings_of_a_run_are_the_plans_and_the_methods():
    plan = replace(PLAN, settings="lr=1e-5", training="max_steps=7")
    config = plan.config(Shard(Cell("math_word", 0), "shuffled", 3, 1e-3))
    assert (config.env, config.levels, config.seed) == ("math_word", (0,), 3)
    assert (config.max_steps, config.lr) == (7, 1e-3)
    assert (config.algo, config.credit.control) == ("sc_grpo", "shuffled")
    assert config.warm_start.mode == "never"


def test_the_plans_of_the_repository_can_be_read():
    plans = list((Path(__file__).parents[3] / "docs" / "court").glob("*.yaml"))
    assert plans
    for path in plans:
        assert list(load_plan(path).shards())


def test_a_bad_file_is_named(tmp_path: Path):
    path = tmp_path / "plan.yaml"
    path.write_text("cells: [toy_guess]\nmethods: {grpo: algo=grpo}\n")
    with pytest.raises(ValueError, match="got the cell 'toy_guess'"):
        load_plan(path)
