"""`scgrpo eval`: how well a model does on held-out tasks, and how much training gained.

The story of an evaluation: find the models, choose the tasks, play the episodes that are not on
disk yet, count, and write the report.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.evaluation.arguments import (
    INTERRUPTED,
    evaluation_parser,
    parse_evaluation,
)
from sandboxes.commands import exit_codes

if TYPE_CHECKING:
    from evals.evaluation.budget import Budget
    from evals.evaluation.plan import Evaluation
    from evals.report.report import Report
    from evals.report.scores import Row

__all__ = ["main", "run"]

PROG = "scgrpo eval"
DESCRIPTION = (
    "Evaluates a model on tasks that training never saw, and prints one table."
)
EXAMPLES = f"""\
examples:
  {PROG} --quick                     the newest run on `id`, in minutes
  {PROG} --ood                       also on every ood/<shift> split
  {PROG} baseline --ood              the run runs/baseline
  {PROG} --model runs/baseline/checkpoints/step-000020
  {PROG} --model FOLDER --base auto --envs toy_guess --levels 0 1
  {PROG} --envs all --tasks 100 --rollouts 4
  {PROG} --base-url http://127.0.0.1:8080/v1 --envs toy_guess --max-minutes 10
  {PROG} --base-url https://HOST/v1 --model-name NAME --api-key-env KEY
  {PROG} --agent 'python my_agent.py' --turn-tokens 256 --episode-tokens 4096

A run's base model, its warm-started one (if it has one) and its newest checkpoint stand side by
side, on the same tasks. The base model is left out if the run has measured that it solves nothing;
--base MODEL evaluates it. Interrupted? The same command goes on where it stopped.
"""

# As a command this module is called __main__, which has no handler.
logger = logging.getLogger("evals.run")


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 for what broke, 2 for bad arguments, 3 for a spent budget.

    Finished episodes are kept in all cases, Ctrl-C (130) included.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = evaluation_parser(PROG, DESCRIPTION, EXAMPLES, agents=True)
    arguments = parse_evaluation(parser, words)
    with exit_codes(PROG, interrupted=INTERRUPTED):
        run(arguments, words)


def run(arguments: argparse.Namespace, argv: Sequence[str]) -> Report:
    """Plays, prints and writes one evaluation.

    Raises after the report: BudgetSpent, and EvaluationError if a server went away or a model
    has no verdict at all on a suite.
    """
    # After parsing, so that --help is quick; and torch after the plan, so that bad arguments are
    # refused at once.
    from evals.evaluation.starting import plan_without_unsolved_base
    from scgrpo.runs.log import to_terminal

    to_terminal()
    evaluation, envs, unsolved = plan_without_unsolved_base(arguments)

    from evals.evaluation.play import play_missing
    from evals.evaluation.policies import check_budgets, warn_of_long_prompts
    from evals.evaluation.provenance import provenance
    from evals.report.report import Report, show, write

    check_budgets(evaluation.evaluated)
    warn_of_long_prompts(evaluation, envs)
    # Before playing: the report names the models that played, whatever happens to their files.
    origin = provenance(evaluation.evaluated, evaluation.digests, PROG, argv)
    stopped, budget = play_missing(evaluation, arguments)

    rows = _rows(evaluation)
    about = {
        "sampling": evaluation.sampling,
        "stopped": stopped,
        "missing": _missing(rows),
        "seed": evaluation.seed,
        "concurrency": arguments.concurrency,
        "code": evaluation.code,
        "sources": _sources(evaluation),
    }
    if unsolved is not None:
        about |= unsolved.provenance()
    report = Report(rows, about | origin)
    show(report)
    paths = write(report, evaluation.folder, evaluation.name)
    logger.info("report: %s", " and ".join(map(str, paths)))
    _check_complete(report, budget)
    return report


def _rows(evaluation: Evaluation) -> list[Row]:
    from evals.report.scores import compare

    rows = []
    for suite, tasks in evaluation.tasks.items():
        episodes, first_tries = {}, {}
        for model in evaluation.models:
            episodes[model.label] = evaluation.episodes(suite, model)
            first_tries[model.label] = evaluation.episodes(suite, model, first_try=True)
        rows.append(compare(suite, tasks, episodes, evaluation.rollouts, first_tries))
    return rows


def _sources(evaluation: Evaluation) -> dict[str, str]:
    """File of episodes -> its SHA-256 as the report is written; a wider evaluation adds to it."""
    from evals.report.tables import source_hashes

    paths = [
        evaluation.path(suite, model)
        for model in evaluation.models
        for suite in evaluation.tasks
    ]
    return source_hashes(path for path in paths if path.is_file())


def _missing(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Model's label -> suite -> episodes that have yet to be played, if there are any."""
    missing: dict[str, dict[str, int]] = {}
    for row in rows:
        for label, score in row.scores.items():
            count = row.tasks * row.rollouts - score.episodes
            # A prompt that is too long stays so: it is not missing.
            count -= int(score.prompts_too_long)
            if count:
                missing.setdefault(label, {})[str(row.suite)] = count
    return missing


def _check_complete(report: Report, budget: Budget) -> None:
    """Raises BudgetSpent or EvaluationError if numbers are missing, with what to do."""
    from evals.evaluation.play import EvaluationError, check_complete

    missing = report.provenance["missing"].values()
    count = sum(sum(suites.values()) for suites in missing)
    rest = f"{count} episodes are missing and the others are kept"
    check_complete(report.provenance["stopped"], budget, rest)

    for row in report.rows:
        for label, score in row.scores.items():
            if not score.episodes and not score.errors:
                raise EvaluationError(
                    f"no episode of {label} on {row.suite} can be played: {score.long_prompt}. "
                    "Evaluate other levels, or raise --episode-tokens"
                )
            if not score.episodes:
                raise EvaluationError(
                    f"no episode of {label} on {row.suite} has a verdict; the first broke with: "
                    f"{score.error}. Repair that; the same command plays them again"
                )


if __name__ == "__main__":
    main()
