"""The report of a run's credit: how well its weight finds the critical tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from envs.base import TextEnv
from envs.types import Episode
from evals.credit_test.critical import critical_tokens
from evals.credit_test.signals import LABELS, WEIGHT, Sample, SignalScore, score_signals
from evals.credit_test.tokens import run_tokenizer
from evals.evaluation.suites import open_envs
from evals.report.tables import FEW_FAMILIES, Table, TableReport, fraction
from scgrpo.config import TrainConfig
from scgrpo.credit.record import CreditRow, read_step, saved_steps
from scgrpo.runs.folders import CONFIG
from scgrpo.settings import parse as settings

__all__ = ["credit_report", "read_samples"]

HEADER = ("level", "signal", "AUROC", "weight less it", "mass", "weight less it")
LEGEND = (
    "Which tokens are critical. turn: every token of the turns that hold a critical span. span: "
    "the tokens that write it; of a named argument its value. choice: these against the tokens at "
    "the same places of the other turns alone, which shows whether the right choice stands out "
    "from the wrong ones and not from the words around it.",
    "AUROC: chance that a critical token has more than another token of its episode, ties half; "
    "0.5 is blind. mass: the critical tokens' share of the sum; uniform's is their share of the "
    "tokens.",
    "weight: what training multiplied the gradient with. shuffled: it, permuted within the "
    "episode. entropy: the policy's. later: the token's place in the episode. place: the mean "
    "weight at this place of other tasks' turns, so it knows how a turn is written but not which "
    "is right.",
    "weight less it: paired by episode; if the interval is above 0, the weight finds more.",
    "Means over episodes, then tasks; 95 % intervals take tasks of one family as one observation.",
)


def credit_report(run: Path, *, seed: int = 0) -> TableReport:
    """The report of a run. Raises ValueError if there is nothing to measure."""
    config = settings.load(TrainConfig, run / CONFIG)
    env, *others = open_envs([config.env]).values()
    if others:
        raise ValueError(
            f"{run} was trained on several environments, {config.env}: the credit of one is "
            "measured on a run of that alone"
        )
    tokenizer = run_tokenizer(run)
    if tokenizer is None:
        raise ValueError(f"{run} has no tokenizer: wait for its first checkpoint")

    left_out: Counter[str] = Counter()
    samples = list(read_samples(run, env, tokenizer, left_out))
    if not samples:
        reasons = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise ValueError(
            f"{run} has no solved episode with a weight on its tokens: {reasons or 'no episodes'}. "
            "Expected a run of algo=sc_grpo in which some groups both succeed and fail"
        )

    scores = score_signals(samples, seed)
    # Unrounded, so that two runs can be compared without measuring again.
    data = {
        "run": str(run),
        "env": config.env,
        "algo": config.algo,
        "credit": asdict(config.credit),
        "seed": seed,
        "steps": len(saved_steps(run)),
        "measured": len(samples),
        "left_out": dict(left_out),
        "signals": [asdict(score) for score in scores],
    }
    control = config.credit.control
    algorithm = (
        config.algo if control == "none" else f"{config.algo}, control {control}"
    )
    title = (
        f"Credit on critical tokens: {config.env}, {algorithm}, {len(samples)} episodes"
    )
    table = Table(HEADER, [_line(score) for score in scores])
    return TableReport(title, [table], _legend(scores, left_out), data)


def read_samples(
    run: Path, env: TextEnv, tokenizer: PreTrainedTokenizerBase, left_out: Counter[str]
) -> Iterator[Sample]:
    """The run's solved and weighted episodes that hold a critical span.

    `left_out` counts the others by reason. Raises ValueError for an environment without critical
    labels.
    """
    for step in saved_steps(run):
        for episode, credit in read_step(run, step):
            if why := _why_unfit(episode, credit):
                left_out[why] += 1
                continue

            try:
                spans = env.critical(episode.task)
            except NotImplementedError as error:
                raise ValueError(
                    f"{env.name} has no critical labels ({error})"
                ) from error
            critical = critical_tokens(episode, spans, tokenizer)
            # A turn may solve the task in other words than the label's.
            if critical.span.any():
                yield Sample(episode, credit, critical)
            else:
                left_out["solved, critical span not written as labelled"] += 1


def _why_unfit(episode: Episode, credit: CreditRow) -> str:
    """Why an episode cannot be measured; empty if it can."""
    if episode.verdict is None:
        return "errored"
    if not episode.verified:
        return "failed"
    if not credit.weight:
        return "solved, without a record of credit"
    if credit.reference is None:
        return "solved, not weighted"
    if None in credit.weight or None in credit.entropy:
        return "solved, credit not finite"
    return ""


def _line(score: SignalScore) -> list[str]:
    return [
        f"{score.level} {score.label}",
        score.signal,
        fraction(score.auroc),
        fraction(score.auroc_gap, sign="+"),
        fraction(score.mass),
        fraction(score.mass_gap, sign="+"),
    ]


def _legend(scores: Sequence[SignalScore], left_out: Counter[str]) -> list[str]:
    lines = [*LEGEND]
    if any(score.auroc.clustered_by == "task" for score in scores):
        lines.append(FEW_FAMILIES)
    if any(score.signal == "entropy" and not score.auroc.episodes for score in scores):
        lines.append("The run saved no entropy with its credit.")

    # Every level measures its own episodes, so they add up for the weight of one label.
    counts = []
    for label in LABELS:
        of_label = [s for s in scores if s.label == label and s.signal == WEIGHT]
        episodes = sum(score.auroc.episodes for score in of_label)
        counts.append(f"{episodes} for {label}")
    lines.append(
        f"Episodes measured: {', '.join(counts)}; an episode whose compared tokens are all "
        "critical counts for none."
    )

    reasons = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
    lines.append(
        "Failed episodes are not measured: no label says which of their tokens went wrong. "
        f"Left out: {reasons or 'none'}."
    )
    return lines
