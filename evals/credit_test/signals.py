"""How well signals on the tokens of an episode find those that decided it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evals.credit_test.critical import Deciding
from evals.credit_test.record import Credited
from evals.statistics import Estimate, mean_estimate

__all__ = [
    "LABELS",
    "SIGNALS",
    "Found",
    "Sample",
    "auroc",
    "mass",
    "measure",
    "signals",
]

OURS = "weight"
SIGNALS = (OURS, "uniform", "shuffled", "entropy", "later", "place")
LABELS = ("turn", "span", "choice")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A solved episode whose tokens have a weight, and which of them decided."""

    credited: Credited
    deciding: Deciding

    @property
    def task(self) -> str:
        """Id of its task."""
        return self.credited.episode.task.id

    @property
    def level(self) -> int:
        """Level of its task."""
        return self.credited.episode.task.level

    def asked(self, label: str) -> tuple[Bools, Bools]:
        """Which tokens decide, and which are looked at. (A,) each."""
        deciding = self.deciding
        if label == "turn":
            return deciding.turn, np.ones_like(deciding.turn)
        return deciding.span, deciding.rivals if label == "choice" else np.ones_like(
            deciding.span
        )


@dataclass(frozen=True)
class Found:
    """How well a signal finds what decides, at a level of the environment.

    | field | meaning |
    |---|---|
    | label | what is asked for: one of `LABELS` |
    | auroc, mass | of the signal |
    | auroc_gap, mass_gap | of the weight less those of the signal; None for the weight itself |
    """

    level: int
    label: str
    signal: str
    auroc: Estimate
    mass: Estimate
    auroc_gap: Estimate | None = None
    mass_gap: Estimate | None = None


def measure(found: Sequence[Sample], seed: int = 0) -> list[Found]:
    """Every signal at every level for every label. `seed` is of the shuffling."""
    rows = []
    for level in sorted({sample.level for sample in found}):
        mine = [sample for sample in found if sample.level == level]
        values = list(signals(mine, np.random.default_rng(seed)))
        rows += [
            _found(label, name, mine, values) for label in LABELS for name in SIGNALS
        ]
    return rows


def signals(
    found: Sequence[Sample], rng: np.random.Generator
) -> Iterator[Mapping[str, Floats]]:
    """Of each sample the value (A,) of every signal at every token; NaN where it is not known."""
    usual = _PlaceMeans(found)
    for sample in found:
        weight = np.array(sample.credited.weight)
        entropy = np.array(sample.credited.entropy, dtype=np.float64)
        yield {
            OURS: weight,
            "uniform": np.ones(len(weight)),
            "shuffled": rng.permutation(weight),
            "entropy": entropy if len(entropy) else np.full(len(weight), np.nan),
            "later": np.arange(1.0, len(weight) + 1),
            "place": usual.without(sample),
        }


def auroc(score: ArrayLike, truth: ArrayLike) -> float:
    """P(score of a true one > of a false one) + half P(equal). (A,), (A,) bool.

    NaN where all are true or none is, and where a score is not a number.
    """
    score, truth = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=bool)
    right, wrong = score[truth][:, None], score[~truth]
    if not right.size or not wrong.size or np.isnan(score).any():
        return float("nan")
    return float((right > wrong).mean() + 0.5 * (right == wrong).mean())


def mass(score: ArrayLike, truth: ArrayLike) -> float:
    """Share of the sum of `score` >= 0 that the true ones have. (A,), (A,) bool.

    NaN where `auroc` is, and for a sum of 0.
    """
    score, truth = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=bool)
    total = score.sum()
    if truth.all() or not truth.any() or not total > 0:
        return float("nan")
    return float(score[truth].sum() / total)


class _PlaceMeans:
    """Mean weight of each place in a turn, over tokens of other tasks; NaN where none has it."""

    def __init__(self, found: Sequence[Sample]) -> None:
        self._size = 1 + max(int(sample.deciding.places.max()) for sample in found)
        self._by_task: dict[str, Floats] = {}
        for sample in found:
            mine = self._by_task.setdefault(sample.task, np.zeros((2, self._size)))
            mine += self._sums(sample)
        self._whole = np.sum(list(self._by_task.values()), axis=0)

    def without(self, sample: Sample) -> Floats:
        """(A,) the means at the sample's tokens, of all tasks but its own."""
        totals, counts = self._whole - self._by_task[sample.task]
        means = np.full(self._size, np.nan)
        np.divide(totals, counts, out=means, where=counts > 0)
        return means[sample.deciding.places]

    def _sums(self, sample: Sample) -> Floats:
        """(2, P) sum of the weights at each place, and how many there are."""
        places, weight = sample.deciding.places, np.array(sample.credited.weight)
        sums = np.zeros((2, self._size))
        np.add.at(sums[0], places, weight)
        np.add.at(sums[1], places, 1.0)
        return sums


def _found(
    label: str,
    name: str,
    found: Sequence[Sample],
    values: Sequence[Mapping[str, Floats]],
) -> Found:
    asked = [sample.asked(label) for sample in found]
    estimates: list[tuple[Estimate, Estimate | None]] = []
    for number in (auroc, mass):
        mine, ours = (
            [
                number(v[n][among], truth[among])
                for v, (truth, among) in zip(values, asked, strict=True)
            ]
            for n in (name, OURS)
        )
        gaps = [a - b for a, b in zip(ours, mine, strict=True)]
        gap = None if name == OURS else _by_task(found, gaps, least=-1.0)
        estimates.append((_by_task(found, mine), gap))
    (of, gap), (share, share_gap) = estimates
    return Found(found[0].level, label, name, of, share, gap, share_gap)


def _by_task(
    found: Sequence[Sample], numbers: Sequence[float], least: float = 0.0
) -> Estimate:
    """Means over a task's episodes, then over tasks; NaN is left out."""
    by_task: dict[str, list[float]] = {}
    families: dict[str, str] = {}
    for sample, number in zip(found, numbers, strict=True):
        if not np.isnan(number):
            by_task.setdefault(sample.task, []).append(number)
            families[sample.task] = sample.credited.episode.task.family
    means = [float(np.mean(mine)) for mine in by_task.values()]
    episodes = sum(map(len, by_task.values()))
    return mean_estimate(
        means, [families[task] for task in by_task], episodes, least=least
    )
