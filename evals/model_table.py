"""`scgrpo model table`: every family of models, tried with tiny random ones, as a page."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandboxes.commands import exit_codes

if TYPE_CHECKING:
    from evals.evaluation.model_trials import Trial

__all__ = ["main", "page"]

PROG = "scgrpo model table"
DESCRIPTION = "Tries a tiny random model of each family, and prints docs/models.md."
HEADER = (
    *("family", "configuration", "chat template", "calls", "thinking", "system role"),
    *("path", "gap in nats", "two steps of sc_grpo", "evaluation"),
)
INTRODUCTION = """\
What transformers loads as a decoder trains and is evaluated here. Each row is a tiny random model,
built from transformers' configuration of its family, with the chat template that TRL ships for it.
It has gone through `scgrpo model check`, a warm start, two steps of `scgrpo train algo=sc_grpo` on
`tool_store`, and `scgrpo eval`."""
COMMAND = """\
```bash
scgrpo model table > docs/models.md
```"""
NOTES = """\
- **calls**: the format that the model's own template teaches, and that is read back. *as text*: the
  template has no tools, or none that can be read back; they are told in the system message.
- **system role**: *first message* where the template has none: system text, tools and the teacher's
  reference then stand at the head of the user's first message.
- **path**: *packed* lays episodes side by side without padding, and reads a prompt once for all of
  its group; *plain* is the model's own forward, where the packed one would not compute the same.
- **gap**: the largest difference of a token's log-probability from the model's own forward, in the
  trial pass at loading.

`scgrpo model check NAME` says the same of a model of yours, with its budgets and memory.
"""
FAULTY = 1
UNKNOWN = "-"


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if a family crashes, 2 for bad arguments."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG):
        # Imported only now: torch and transformers take seconds, and help needs neither.
        from evals.evaluation.model_trials import CRASH, try_family
        from scgrpo.models.families import FAMILIES

        names = arguments.families or list(FAMILIES)
        if unknown := sorted(set(names) - set(FAMILIES)):
            known = ", ".join(FAMILIES)
            raise ValueError(f"unknown family {unknown[0]!r}; expected one of {known}")

        trials: list[Trial] = []
        for number, name in enumerate(names, start=1):
            with tempfile.TemporaryDirectory(prefix="scgrpo-") as folder:
                trials.append(try_family(name, Path(folder)))
            outcomes = ", ".join(trials[-1].outcomes)
            print(f"{number}/{len(names)} {name}: {outcomes}", file=sys.stderr)
        print(page(trials), end="")
    if any(outcome.startswith(CRASH) for t in trials for outcome in t.outcomes):
        sys.exit(FAULTY)


def page(trials: Sequence[Trial]) -> str:
    """The trials as a Markdown page, with what they were made with."""
    from datetime import UTC, datetime

    import torch
    import transformers

    from evals.report.tables import Table, grid

    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    made = f"Made on {datetime.now(UTC).date()} with {versions}, by"
    table = Table(HEADER, [_line(trial) for trial in trials])
    parts = ("# Models", INTRODUCTION, made, COMMAND, grid(table), NOTES)
    return "\n\n".join(parts)


def _line(trial: Trial) -> list[str]:
    from scgrpo.models.families import FAMILIES

    family, about = FAMILIES[trial.family], trial.about
    gap = about.get("gap")
    system: dict[Any, str] = {True: "yes", False: "first message"}
    return [
        trial.family,
        family.config,
        family.template or "ChatML",
        about.get("call_format") or UNKNOWN,
        about.get("thinking") or UNKNOWN,
        system.get(about.get("system_role"), UNKNOWN),
        about.get("path") or trial.check,
        UNKNOWN if gap is None else f"{gap:.0e}",
        trial.training,
        trial.evaluation,
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description=DESCRIPTION,
        epilog=f"examples:\n  {PROG} > docs/models.md\n  {PROG} qwen3 gemma-3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "families", nargs="*", metavar="FAMILY", help="default: all of them"
    )
    return parser


if __name__ == "__main__":
    main()
