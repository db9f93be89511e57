"""How well signals on the tokens of an episode find its critical tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from envs.types import Episode
from evals.credit_test.critical import CriticalTokens
from evals.statistics import Estimate, mean_estimate
from scgrpo.credit.record import CreditRow

__all__ = [
    "LABELS",
    "SIGNALS",
    "WEIGHT",
    "Sample",
    "SignalScore",
    "auroc",
    "mass",
    "score_signals",
    "signals",
]

WEIGHT = "weight"
SIGNALS = (WEIGHT, "uniform", "shuffled", "entropy", "later", "place")
LABELS = ("turn", "span", "choice")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A solved episode whose tokens have a weight, and its critical tokens."""

    episode: Episode
    credit: CreditRow
    critical: CriticalTokens

    @property
    def task(self) -> str:
        """Id of its task."""
        return self.episode.task.id

    @property
    def level(self) -> int:
        """Level of its task."""
        return self.episode.task.level

    def tokens(self, label: str) -> tuple[Bools, Bools]:
        """The critical tokens by one of `LABELS`, and the tokens that are compared. (A,) each."""
        critical = self.critical
        everything = np.ones_like(critical.turn)
        if label == "turn":
            return critical.turn, everything
        return critical.span, critical.rivals if label == "choice" else everything


@dataclass(frozen=True)
class SignalScore:
    """How well a signal finds critical tokens, at a level of the environment.

    | field | meaning |
    |---|---|
    | label | which tokens are critical: one of `LABELS` |
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


def score_signals(samples: Sequence[Sample], seed: int = 0) -> list[SignalScore]:
    """Every signal at every level for every label. `seed` is of the shuffling."""
    scores = []
    levels = {sample.level for sample in samples}
    for level in sorted(levels):
        of_level = [sample for sample in samples if sample.level == level]
        values = list(signals(of_level, np.random.default_rng(seed)))
        for label in LABELS:
            scores += [_score(label, name, of_level, values) for name in SIGNALS]
    return scores


def signals(
    samples: Sequence[Sample], rng: np.random.Generator
) -> Iterator[Mapping[str, Floats]]:
    """For each sample the value (A,) of every signal at every token; NaN if it is not known."""
    means = _PlaceMeans(samples)
    for sample in samples:
        weight = np.array(sample.credit.weight)
        size = len(weight)
        entropy = np.array(sample.credit.entropy, dtype=np.float64)
        # A run that needed no entropy saved none.
        if not len(entropy):
            entropy = np.full(size, np.nan)
        yield {
            WEIGHT: weight,
            "uniform": np.ones(size),
            "shuffled": rng.permutation(weight),
            "entropy": entropy,
            "later": np.arange(1.0, size + 1),
            "place": means.without(sample),
        }


def auroc(score: ArrayLike, truth: ArrayLike) -> float:
    """P(score of a true one > of a false one) + half P(equal). (A,), (A,) bool.

    NaN if all are true or none is, and if a score is not a number.
    """
    score = np.asarray(score, dtype=np.float64)
    truth = np.asarray(truth, dtype=bool)
    right, wrong = score[truth], score[~truth]
    if not right.size or not wrong.size:
        return float("nan")
    if np.isnan(score).any():
        return float("nan")

    # All pairs of a true and a false one: (R, 1) against (W,).
    right = right[:, None]
    larger = (right > wrong).mean()
    equal = (right == wrong).mean()
    return float(larger + 0.5 * equal)


def mass(score: ArrayLike, truth: ArrayLike) -> float:
    """Share of the sum of `score` >= 0 that the true ones have. (A,), (A,) bool.

    NaN if `auroc` is, and for a sum of 0.
    """
    score = np.asarray(score, dtype=np.float64)
    truth = np.asarray(truth, dtype=bool)
    total = score.sum()
    if truth.all() or not truth.any() or not total > 0:
        return float("nan")
    return float(score[truth].sum() / total)


class _PlaceMeans:
    """Mean weight of each place in a turn, over tokens of other tasks; NaN if there are none."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        last = max(sample.critical.places.max() for sample in samples)
        self._size = 1 + int(last)
        self._by_task: dict[str, Floats] = {}
        self._total = np.zeros((2, self._size))
        for sample in samples:
            sums = self._sums(sample)
            self._total += sums
            before = self._by_task.get(sample.task, 0.0)
            self._by_task[sample.task] = before + sums

    def without(self, sample: Sample) -> Floats:
        """(A,) the means at the sample's tokens, of all tasks but its own."""
        totals, counts = self._total - self._by_task[sample.task]
        means = np.full(self._size, np.nan)
        np.divide(totals, counts, out=means, where=counts > 0)
        return means[sample.critical.places]

    def _sums(self, sample: Sample) -> Floats:
        """(2, P) sum of the weights at each place, and the number of its tokens."""
        places = sample.critical.places
        weight = np.array(sample.credit.weight)
        sums = np.zeros((2, self._size))
        np.add.at(sums[0], places, weight)
        np.add.at(sums[1], places, 1.0)
        return sums


def _score(
    label: str,
    name: str,
    samples: Sequence[Sample],
    values: Sequence[Mapping[str, Floats]],
) -> SignalScore:
    area, area_gap = _compare(auroc, label, name, samples, values)
    share, share_gap = _compare(mass, label, name, samples, values)
    return SignalScore(samples[0].level, label, name, area, share, area_gap, share_gap)


def _compare(
    measure: Callable[[ArrayLike, ArrayLike], float],
    label: str,
    name: str,
    samples: Sequence[Sample],
    values: Sequence[Mapping[str, Floats]],
) -> tuple[Estimate, Estimate | None]:
    """A signal's measure, and the weight's less it, paired by episode."""
    numbers, gaps = [], []
    for sample, by_name in zip(samples, values, strict=True):
        truth, among = sample.tokens(label)
        truth = truth[among]
        number = measure(by_name[name][among], truth)
        weight = measure(by_name[WEIGHT][among], truth)
        numbers.append(number)
        gaps.append(weight - number)

    estimate = _by_task(samples, numbers)
    # The weight less itself would be an estimate of nothing.
    if name == WEIGHT:
        return estimate, None
    return estimate, _by_task(samples, gaps, lowest=-1.0)


def _by_task(
    samples: Sequence[Sample], numbers: Sequence[float], lowest: float = 0.0
) -> Estimate:
    """Means over a task's episodes, then over tasks; NaN is left out."""
    by_task: dict[str, list[float]] = {}
    families: dict[str, str] = {}
    episodes = 0
    for sample, number in zip(samples, numbers, strict=True):
        if np.isnan(number):
            continue
        task = sample.episode.task
        by_task.setdefault(task.id, []).append(number)
        families[task.id] = task.family
        episodes += 1

    # Both have the order in which their tasks came first.
    means = [float(np.mean(of_task)) for of_task in by_task.values()]
    return mean_estimate(means, list(families.values()), episodes, lowest=lowest)
