"""What is left to run, and the learning rate that its tuning chose."""

from dataclasses import replace

import pytest

from evals.trials.plan import Cell, Shard, TrialPlan, Tuning
from evals.trials.run import check_methods, missing_shards, tuned_lr
from tests.evals.trials.rows import trial_row

PLAN = TrialPlan(
    cells=("toy_guess/0",),
    methods={"grpo": "algo=grpo", "sc": "algo=sc_grpo"},
    seeds=(0, 1),
    tuning=Tuning(lrs=(1e-4, 1e-3), seeds=(100, 101)),
)
TUNED = [
    trial_row("toy_guess/0", "sc", seed, success, stage="tune", lr=lr)
    for seed, lr, success in [
        (100, 1e-4, 0.6),
        (101, 1e-4, 0.4),
        (100, 1e-3, 0.9),
        (101, 1e-3, 0.0),
    ]
]


def test_the_learning_rate_with_the_best_curve_on_the_tuning_seeds():
    # The trial's own runs have no say.
    trial = trial_row("toy_guess/0", "sc", 0, 1.0, lr=1e-3)
    assert tuned_lr(PLAN, [*TUNED, trial], "sc") == 1e-4


def test_a_control_has_the_learning_rate_of_its_method():
    methods = {**PLAN.methods, "sc/shuffled": "algo=sc_grpo credit.control=shuffled"}
    plan = replace(PLAN, methods=methods)
    assert tuned_lr(plan, TUNED, "sc/shuffled") == tuned_lr(PLAN, TUNED, "sc")
    assert {s.method for s in plan.shards("tune")} == {"grpo", "sc"}


def test_it_is_chosen_when_all_of_its_runs_are_there():
    with pytest.raises(ValueError, match="sc has 1 of 2 runs at lr=0.001 to choose by"):
        tuned_lr(PLAN, TUNED[:3], "sc")


def test_a_run_without_a_row_of_these_settings_is_missing():
    plan = replace(PLAN, tuning=Tuning(lrs=(1e-3,)))
    shards = list(plan.shards())
    assert missing_shards(plan, [], shards) == [replace(s, lr=1e-3) for s in shards]
    digest = plan.digest(Shard(Cell("toy_guess", 0), "sc", 1, 1e-3))
    rows = [
        trial_row("toy_guess/0", "sc", 1, 0.5, digest=digest),
        trial_row("toy_guess/0", "sc", 0, 0.5, digest="of other settings"),
    ]
    missing = missing_shards(plan, rows, shards)
    assert [str(s) for s in missing] == [
        "trial toy_guess/0 grpo seed 0 lr 0.001",
        "trial toy_guess/0 sc seed 0 lr 0.001",
        "trial toy_guess/0 grpo seed 1 lr 0.001",
    ]


def test_settings_that_an_algorithm_refuses_are_refused_before_any_run():
    check_methods(PLAN)
    refused = replace(PLAN, settings="credit.alpha_div=0.2")
    with pytest.raises(ValueError, match=r"method grpo: credit\.\* has no effect"):
        check_methods(refused)
