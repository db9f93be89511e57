"""The report of a run's credit: how well its weight finds the critical tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from envs.base import TextEnv
from envs.identity import base_id
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

__all__ = ["EnvCredit", "credit_report", "read_samples"]

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


@dataclass(frozen=True)
class EnvCredit:
    """The credit on the critical tokens of one environment.

    | field | meaning |
    |---|---|
    | name | as `env=` takes it |
    | measured | episodes |
    | left_out | reason -> episodes that are not measured |
    | scores | empty if nothing could be measured |
    | note | why nothing could be, if it is not the episodes' fault |
    """

    name: str
    measured: int
    left_out: Counter[str]
    scores: Sequence[SignalScore]
    note: str = ""

    @property
    def gaps(self) -> str:
        """What is not measured, in words; empty if all is."""
        counts = [f"{count} {why}" for why, count in self.left_out.items()]
        return self.note or ", ".join(counts)


def credit_report(run: Path, *, seed: int = 0) -> TableReport:
    """The report of a run, of each environment that it was trained on.

    Raises ValueError if there is nothing to measure.
    """
    config = settings.load(TrainConfig, run / CONFIG)
    envs = open_envs([config.env])
    tokenizer = run_tokenizer(run)
    if tokenizer is None:
        raise ValueError(f"{run} has no tokenizer: wait for its first checkpoint")

    several = len(envs) > 1
    parts = [
        _measure(run, name, env, tokenizer, seed, several=several)
        for name, env in envs.items()
    ]
    measured = sum(part.measured for part in parts)
    if not measured:
        raise ValueError(
            f"{run} has no solved episode with a weight on its tokens: "
            f"{_gaps(parts) or 'no episodes'}. Expected a run of algo=sc_grpo in which some groups "
            "both succeed and fail"
        )

    control = config.credit.control
    algorithm = (
        config.algo if control == "none" else f"{config.algo}, control {control}"
    )
    title = f"Credit on critical tokens: {config.env}, {algorithm}, {measured} episodes"
    lines = [
        _line(score, part.name if several else "")
        for part in parts
        for score in part.scores
    ]
    data = _data(run, config, seed, parts)
    files = [
        folder / f"step-{step:06d}.jsonl"
        for step in saved_steps(run)
        for folder in (run / "episodes", run / "credit")
    ]
    sources = [run / CONFIG, *filter(Path.is_file, files)]
    return TableReport(title, [Table(HEADER, lines)], _legend(parts), data, sources)


def _measure(
    run: Path,
    name: str,
    env: TextEnv,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
    *,
    several: bool,
) -> EnvCredit:
    """What is measured of one environment; of one of several, whatever it lacks is a note."""
    left_out: Counter[str] = Counter()
    env_id = env.spec.id if several and env.spec is not None else ""
    try:
        samples = list(read_samples(run, env, tokenizer, left_out, env_id=env_id))
    except ValueError as error:
        if not several:
            raise
        return EnvCredit(name, 0, left_out, (), note=str(error))
    scores = score_signals(samples, seed) if samples else ()
    return EnvCredit(name, len(samples), left_out, scores)


def _data(
    run: Path, config: TrainConfig, seed: int, parts: Sequence[EnvCredit]
) -> dict[str, Any]:
    """Unrounded, so that two runs can be compared without measuring again."""
    signals = [
        {"env": part.name, **asdict(score)} for part in parts for score in part.scores
    ]
    about: dict[str, Any] = {
        "run": str(run),
        "env": config.env,
        "algo": config.algo,
        "credit": asdict(config.credit),
        "seed": seed,
        "steps": len(saved_steps(run)),
        "measured": sum(part.measured for part in parts),
        "left_out": dict(sum((part.left_out for part in parts), Counter())),
    }
    if len(parts) > 1:
        about["environments"] = {
            part.name: {
                "measured": part.measured,
                "left_out": dict(part.left_out),
                "note": part.note,
            }
            for part in parts
        }
    return about | {"signals": signals}


def read_samples(
    run: Path,
    env: TextEnv,
    tokenizer: PreTrainedTokenizerBase,
    left_out: Counter[str],
    *,
    env_id: str = "",
) -> Iterator[Sample]:
    """The run's solved and weighted episodes that hold a critical span.

    `left_out` counts the others by reason. With `env_id`, Gymnasium's id, only episodes that this
    environment played, in any version. Raises ValueError for an environment without critical
    labels.
    """
    for step in saved_steps(run):
        for episode, credit in read_step(run, step):
            if env_id and base_id(episode.env) != base_id(env_id):
                continue
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


def _line(score: SignalScore, env: str) -> list[str]:
    """A line of the table; `env` stands before the level if there are several."""
    return [
        f"{env} {score.level} {score.label}".strip(),
        score.signal,
        fraction(score.auroc),
        fraction(score.auroc_gap, sign="+"),
        fraction(score.mass),
        fraction(score.mass_gap, sign="+"),
    ]


def _legend(parts: Sequence[EnvCredit]) -> list[str]:
    lines = [*LEGEND]
    scores = [score for part in parts for score in part.scores]
    if any(score.auroc.clustered_by == "task" for score in scores):
        lines.append(FEW_FAMILIES)
    if any(score.signal == "entropy" and not score.auroc.episodes for score in scores):
        lines.append("The run saved no entropy with its credit.")

    # Every level measures its own episodes, so they add up for the weight of one label; so does
    # every environment.
    counts = []
    for label in LABELS:
        of_label = [s for s in scores if s.label == label and s.signal == WEIGHT]
        episodes = sum(score.auroc.episodes for score in of_label)
        counts.append(f"{episodes} for {label}")
    lines.append(
        f"Episodes measured: {', '.join(counts)}; an episode whose compared tokens are all "
        "critical counts for none."
    )

    lines.append(
        "Failed episodes are not measured: no label says which of their tokens went wrong. "
        f"Left out: {_gaps(parts) or 'none'}."
    )
    return lines


def _gaps(parts: Sequence[EnvCredit]) -> str:
    """What is not measured, of each environment if there are several."""
    if len(parts) == 1:
        return parts[0].gaps
    return "; ".join(f"of {part.name} {part.gaps or 'nothing'}" for part in parts)
