"""`scgrpo model check`: what the project can do with a model, and what to set for it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from sandboxes.commands import exit_codes
from scgrpo.config import TrainConfig
from scgrpo.models.sources.folders import local_model
from scgrpo.settings import parse as settings

if TYPE_CHECKING:
    from scgrpo.preflight.model_report import ModelReport

__all__ = ["main"]

PROG = "scgrpo model check"
DESCRIPTION = """\
Says what a model's chat template can do, whether the budgets of a run fit it, how it is run and
what memory it takes. Exits with 1 if a run with these settings could not work.
"""
EXAMPLES = f"""\
examples:
  {PROG} auto
  {PROG} Qwen/Qwen3-0.6B chat.enable_thinking=false
  {PROG} FOLDER --json limits.episode_tokens=4096 lora.rank=16
"""
FAULTY = 1


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 if something stops a run, 2 for bad arguments."""
    parser = _parser()
    # Settings may stand behind the options, too.
    arguments, rest = parser.parse_known_args(argv)
    if unknown := [word for word in rest if word.startswith("-")]:
        parser.error(f"unknown option {unknown[0]}")
    with exit_codes(PROG):
        config = settings.read(TrainConfig, [*arguments.settings, *rest])
        config = replace(config, model=arguments.model)
        local_model(config.model)

        # Imported only now: torch and transformers take seconds, and help and wrong arguments need
        # neither.
        from scgrpo.preflight.model_report import model_report

        report = model_report(config)
        if arguments.json:
            print(json.dumps(asdict(report), indent=2))
        else:
            print("\n".join(_lines(report)))
    if report.problems:
        sys.exit(FAULTY)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "model", metavar="NAME", help="`auto`, a folder, or a Hugging Face id"
    )
    parser.add_argument(
        "settings",
        nargs="*",
        metavar="SETTING=VALUE",
        help="settings of `scgrpo train` that the model is checked with",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    return parser


def _lines(report: ModelReport) -> Iterator[str]:
    """The report, a line for each thing that it says."""
    for name, text in _facts(report):
        yield f"{name:10}  {text}"
    for setting, why in report.settings.items():
        yield f"{'set':10}  {setting}: {why}"
    for problem in report.problems:
        yield f"{'problem':10}  {problem}"
    if not report.problems:
        yield f"{'verdict':10}  a run with these settings can start"


def _facts(report: ModelReport) -> Iterator[tuple[str, str]]:
    parameters = ""
    if report.parameters is not None:
        parameters = f", {report.parameters / 1e6:,.1f} million parameters"
    yield "model", f"{report.name} ({report.architecture}{parameters})"
    if report.template:
        tools = "by the template" if report.template == "native" else "told as text"
        system = "by the template" if report.system_role else "in the first message"
        yield "template", f"the model's own; tools {tools}, system text {system}"
        yield "calls", report.call_format
        yield "thinking", report.thinking
        yield "turn ends", " ".join(report.end_tokens)
    rows = "unknown" if report.rows is None else str(report.rows)
    yield "tokens", f"{report.tokens} in the tokenizer, {rows} rows in the model"
    yield "positions", _positions(report)
    if report.path:
        yield "path", f"{report.path}: {report.reason}"
    if report.training_mib is not None and report.sampling_mib is not None:
        yield "memory", _memory(report.sampling_mib, report.training_mib, report)


def _positions(report: ModelReport) -> str:
    limit = "no limit" if report.positions is None else str(report.positions)
    budgets = [f"{setting}={tokens}" for setting, tokens in report.budgets.items()]
    return f"{limit}; {', '.join(budgets)}"


def _memory(sampling_mib: float, training_mib: float, report: ModelReport) -> str:
    return (
        f"sampling about {sampling_mib / 1024:.1f} GiB, training {training_mib / 1024:.1f} GiB "
        f"at the peak; {report.available_mib / 1024:.1f} GiB are free"
    )


if __name__ == "__main__":
    main()
