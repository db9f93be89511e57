"""The table of the policies that training starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evals.evaluation.suites import Suite
from evals.report.tables import load_estimate, rate
from scgrpo.runs.markdown import markdown_text

__all__ = [
    "BASE",
    "ORACLE",
    "RANDOM",
    "SANDBOX_SHARE",
    "WARM",
    "baselines_page",
    "row_line",
]

RANDOM, ORACLE, BASE, WARM = "random", "oracle", "model", "warm-started"
POLICIES = (RANDOM, ORACLE, BASE, WARM)
# An episode in a sandbox costs as much as this number of episodes without one.
SANDBOX_SHARE = 10
INTRODUCTION = f"""\
# Starting points

Success with 95 % intervals; in square brackets the episodes. `random` plays well-formed turns at
random, `model` is SmolLM2-135M-Instruct, `warm-started` the same after the warm start on random
episodes of that level. Seed 0. If code runs in a sandbox, scripts play 1/{SANDBOX_SHARE} of the
episodes. Made by `scgrpo baselines --out docs`."""


def baselines_page(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table for each environment: policies by level and split."""
    # Environment -> level and split -> policy -> its row.
    by_env: dict[str, dict[tuple[int, str], dict[str, Mapping[str, Any]]]] = {}
    for row in rows:
        by_suite = by_env.setdefault(row["env"], {})
        suite = (row["level"], row["split"])
        by_policy = by_suite.setdefault(suite, {})
        by_policy[row["policy"]] = row

    lines = [INTRODUCTION]
    header = " | ".join(POLICIES)
    for env, by_suite in by_env.items():
        lines += ["", f"## {markdown_text(env)}", ""]
        lines.append(f"| level | split | {header} |")
        lines.append("|--:|---|--:|--:|--:|--:|")
        for (level, split), by_policy in by_suite.items():
            cells = [_cell(by_policy.get(policy)) for policy in POLICIES]
            line = " | ".join(cells)
            lines.append(f"| {level} | `{split}` | {line} |")
    return "\n".join(lines) + "\n"


def row_line(row: Mapping[str, Any]) -> str:
    """A row in one line of the terminal."""
    suite = Suite(row["env"], row["level"], row["split"])
    policy, seconds = row["policy"], row["seconds"]
    return f"{suite}, {policy}: {_cell(row)}, {seconds:.0f} s"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    # Rows of earlier releases did not count them.
    too_long = row.get("prompts_too_long", 0)
    note = f", {too_long} prompts too long" if too_long else ""
    return _success(row) + note


def _success(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "-"
    estimate = load_estimate(row)
    shown = rate(estimate)
    episodes = f"[{estimate.episodes:,}]"
    # The oracle plays to show that tasks can be solved, not to be estimated.
    if row["low"] is None or row["policy"] == ORACLE:
        return f"{shown.value} {episodes}"
    return f"{shown} {episodes}"
