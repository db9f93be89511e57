"""`python -m evals.credit RUN`: does credit fall on the tokens that decide?

In environments with critical labels it is known what decides a solved episode. For the weight that
training gave, and for signals that should do worse, this measures on each such episode

    AUROC   chance that a deciding token has more of it than another one of the episode, ties half
    mass    share of the episode's sum that deciding tokens have

and averages by task.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import gymnasium
from transformers import PreTrainedTokenizerBase

from envs.base import TextEnv
from evals.credit_test.critical import deciding
from evals.credit_test.record import Credited, read_step, run_tokenizer, steps
from evals.credit_test.signals import LABELS, Found, Sample, measure
from evals.evaluation.models import RUNS
from evals.evaluation.suites import open_envs
from evals.report.tables import Sheet, interval, show, write
from evals.statistics import MIN_FAMILIES
from scgrpo.config import TrainConfig
from scgrpo.runs.disk import DiskError
from scgrpo.runs.folders import CONFIG, find_run
from scgrpo.settings import parse as settings

__all__ = ["main", "measured", "samples"]

PROG = "python -m evals.credit"
HEADER = ("level", "signal", "AUROC", "weight less it", "mass", "weight less it")
LEGEND = (
    "What decides. turn: every token of the turns that hold a critical span. span: the tokens "
    "that write it; of a named argument its value. choice: these against the tokens at the same "
    "places of the other turns alone, which says whether the right choice is told from the wrong "
    "ones and not from the words around it.",
    "AUROC: chance that a deciding token has more than another token of its episode, ties half; "
    "0.5 is blind. mass: the deciding tokens' share of the sum; uniform's is their share of the "
    "tokens.",
    "weight: what training multiplied the gradient with. shuffled: it, permuted within the "
    "episode. entropy: the policy's. later: the token's place in the episode. place: the mean "
    "weight at this place of other tasks' turns, so it knows how a turn is written but not which "
    "is right.",
    "weight less it: paired by episode; where the interval is above 0, the weight finds more.",
    "Means over episodes, then tasks; 95 % intervals take tasks of one family as one observation.",
)


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 where the disk is at fault, 2 for what it cannot measure."""
    arguments = _parser().parse_args(argv)
    try:
        folder = Path(arguments.run)
        run = (
            folder if (folder / "episodes").is_dir() else find_run(RUNS, arguments.run)
        )
        sheet = measured(run, seed=arguments.seed)
        show(sheet)
        paths = write(sheet, arguments.out or run / "evals" / "credit", "credit")
        print(f"report: {' and '.join(map(str, paths))}", file=sys.stderr)
    except (ValueError, OSError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except DiskError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(1)


def measured(run: Path, *, seed: int = 0) -> Sheet:
    """The report of a run. Raises ValueError where there is nothing to measure."""
    config = settings.load(TrainConfig, run / CONFIG)
    (env,) = open_envs([config.env]).values()
    tokenizer = run_tokenizer(run)
    if tokenizer is None:
        raise ValueError(f"{run} has no tokenizer: wait for its first checkpoint")
    left_out: Counter[str] = Counter()
    found = list(samples(run, env, tokenizer, left_out))
    if not found:
        said = (
            ", ".join(f"{count} {why}" for why, count in left_out.items())
            or "no episodes"
        )
        raise ValueError(
            f"{run} has no solved episode with a weight on its tokens: {said}. Wanted a run of "
            "algo=sc_grpo in which some groups both succeed and fail"
        )
    rows = measure(found, seed)
    about = {
        "run": str(run),
        "env": config.env,
        "algo": config.algo,
        "credit": asdict(config.credit),
        "seed": seed,
        "steps": len(steps(run)),
        "measured": len(found),
        "left_out": dict(left_out),
        "found": [asdict(row) for row in rows],
    }
    control = (
        "" if config.credit.control == "none" else f", control {config.credit.control}"
    )
    title = f"Credit on what decides: {config.env}, {config.algo}{control}, {len(found)} episodes"
    return Sheet(
        title, HEADER, [_line(row) for row in rows], _legend(rows, left_out), about
    )


def samples(
    run: Path, env: TextEnv, tokenizer: PreTrainedTokenizerBase, left_out: Counter[str]
) -> Iterator[Sample]:
    """The run's solved and weighted episodes that hold a critical span.

    The others are counted in `left_out` by reason. Raises ValueError for an environment without
    critical labels.
    """
    for step in steps(run):
        for credited in read_step(run, step):
            if why := _unfit(credited):
                left_out[why] += 1
                continue
            try:
                spans = env.critical(credited.episode.task)
            except NotImplementedError as error:
                raise ValueError(
                    f"{env.name} has no critical labels ({error})"
                ) from error
            found = deciding(credited.episode, spans, tokenizer)
            if found.span.any():
                yield Sample(credited, found)
            else:
                left_out["solved, critical span not found as it is written"] += 1


def _unfit(credited: Credited) -> str:
    """Why an episode cannot be measured; empty where it can."""
    if credited.episode.verdict is None:
        return "void"
    if not credited.episode.verified:
        return "failed"
    if not credited.weight:
        return "solved, without a record of credit"
    if credited.reference is None:
        return "solved, not weighted"
    return (
        "solved, credit not finite"
        if None in credited.weight + credited.entropy
        else ""
    )


def _line(row: Found) -> list[str]:
    return [
        f"{row.level} {row.label}",
        row.signal,
        interval(row.auroc),
        interval(row.auroc_gap, sign="+"),
        interval(row.mass),
        interval(row.mass_gap, sign="+"),
    ]


def _legend(rows: Sequence[Found], left_out: Counter[str]) -> list[str]:
    lines = [*LEGEND]
    if any(row.auroc.clustered_by == "task" for row in rows):
        lines.append(
            f"* under {MIN_FAMILIES} families, so the interval is over tasks, and speaks of these."
        )
    if any(row.signal == "entropy" and not row.auroc.episodes for row in rows):
        lines.append("The run kept no entropy beside its credit.")
    counts = {
        label: sum(r.auroc.episodes for r in rows if _asks(r, label))
        for label in LABELS
    }
    lines.append(
        "Episodes measured: "
        + ", ".join(f"{count} for {label}" for label, count in counts.items())
        + "; one in which every token looked at decides says nothing."
    )
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
    lines.append(
        "Failed episodes are not measured: no label says which of their tokens went wrong. "
        f"Left out: {reasons or 'none'}."
    )
    return lines


def _asks(row: Found, label: str) -> bool:
    return row.label == label and row.signal == "weight"


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Measures on a run's episodes whether credit falls on the tokens that decide.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add(
        "run",
        nargs="?",
        default="latest",
        help="a folder, or a name in runs/; default: newest",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="of the shuffled control; default 0",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="for JSON and Markdown; default: evals/credit there",
    )
    return made


if __name__ == "__main__":
    main()
