"""Rows of a trial as if runs had made them."""

from evals.trials.data import Outcomes, TrialRow
from evals.trials.plan import Stage


def trial_row(
    cell: str,
    method: str,
    seed: int,
    success: float,
    *,
    stage: Stage = "trial",
    lr: float = 1e-3,
    digest: str = "d",
) -> TrialRow:
    """A run that solved the share `success` of ten `id` tasks, and half of it of a shift's."""
    solved, shifted = round(10 * success), round(5 * success)
    ids = [f"t{i}" for i in range(10)]
    return TrialRow(
        cell=cell,
        method=method,
        seed=seed,
        stage=stage,
        lr=lr,
        digest=digest,
        curve=[0.0, None, success],
        tokens=1000,
        outcomes={
            "id": Outcomes(ids, ids, ["11"] * solved + ["00"] * (10 - solved)),
            "ood/surface": Outcomes(
                ids, ids, ["10"] * (2 * shifted) + ["0-"] * (10 - 2 * shifted)
            ),
        },
        seconds=60.0,
        step_size={"weighted": 0.5},
        auroc={"choice weight": 0.75},
        commit="0123456789",
        date="2026-11-29",
    )
