"""Branched groups as data: a JSON line for each, and the table that is made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evals.branching.agreement import (
    Agreement,
    Products,
    agreement,
    agreement_gap,
    products,
)
from evals.report.tables import Table
from evals.trials.data import read_lines
from evals.trials.plan import Cell, TrialPlan

__all__ = ["BranchRow", "branches_tables", "read_branches"]


@dataclass(frozen=True)
class BranchRow:
    """A group of episodes of one task, branched.

    | field | meaning |
    |---|---|
    | seed | of `BranchOptions.seeds`, by which it was drawn |
    | digest | of what the plan declares of it |
    | tokens | episode -> places of its open tokens, as `Branches.tokens` |
    | gains | episode -> of each of those, by halves of the continuations; None if unknown |
    | credit | method -> episode -> what the method's gradient multiplies each of them with |
    """

    cell: str
    seed: int
    task: str
    digest: str
    tokens: Sequence[Sequence[int]]
    gains: Sequence[Sequence[Sequence[float | None]]]
    credit: Mapping[str, Sequence[Sequence[float]]]
    commit: str = ""
    date: str = ""

    def products(self, method: str) -> Products:
        """The sums of the group's tokens that a method's agreement is made of."""
        gains = [pair for of_episode in self.gains for pair in of_episode]
        values = [value for of_episode in self.credit[method] for value in of_episode]
        return products(values, np.array(gains, dtype=np.float64).reshape(-1, 2))


def read_branches(plan: TrialPlan, path: Path) -> list[BranchRow]:
    """The rows of a file that are the plan's; none if there is no file."""
    digests = {cell: plan.branch_digest(Cell.of(cell)) for cell in plan.cells}
    rows = read_lines(path, BranchRow)
    return [row for row in rows if digests.get(row.cell) == row.digest]


def branches_tables(plan: TrialPlan, rows: Sequence[BranchRow]) -> list[Table]:
    """Each method's agreement with the gains of tokens, and the declared differences of it.

    By cell and seed of the groups.
    """
    groups = {
        (cell, seed): of_cell
        for cell in plan.cells
        for seed in plan.branches.seeds
        if (of_cell := [r for r in rows if (r.cell, r.seed) == (cell, seed)])
    }
    methods: list[list[str]] = []
    differences: list[list[str]] = []
    for (cell, seed), of_cell in groups.items():
        by_method = {m: [row.products(m) for row in of_cell] for m in plan.methods}
        tokens = sum(len(places) for row in of_cell for places in row.tokens)
        counts = [str(len(of_cell)), str(tokens)]
        for method, of_method in by_method.items():
            value = _words(agreement(of_method))
            methods.append([cell, str(seed), method, *counts, value])
        for comparison in plan.comparisons:
            after, before = plan.sides(comparison)
            gap = agreement_gap(by_method[after], by_method[before])
            differences.append([comparison, cell, str(seed), _words(gap, sign="+")])
    return [
        Table(
            ("cell", "seed", "method", "groups", "tokens", "agreement"),
            methods,
            title="Agreement of credit with what tokens were worth",
        ),
        Table(
            ("comparison", "cell", "seed", "agreement"),
            differences,
            title="Declared comparisons of agreement",
        ),
    ]


def _words(value: Agreement, *, sign: str = "") -> str:
    text = f"{value.value:{sign}.2f}"
    if math.isnan(value.low):
        return text
    return f"{text} ({value.low:{sign}.2f} to {value.high:{sign}.2f})"
