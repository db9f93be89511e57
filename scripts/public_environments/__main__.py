"""Public environments by the named checks of OpenEnv's validator, as our graders run them.

    python scripts/public_environments                      # all of them, a table for each
    python scripts/public_environments --only gem           # those with that in their name
    python scripts/public_environments --out docs/public-environments.md --data public.json

Each is served by OpenEnv's own application and graded like a package by `scgrpo envs grade`. What
says something about our bridge and not about the environment, its files, is not graded.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import yaml  # noqa: E402
from games import (  # noqa: E402 # pyright: ignore[reportMissingImports]
    ENVIRONMENTS,
    Listed,
)

from envs.interop.grade import grade  # noqa: E402
from envs.interop.graders import GRADERS  # noqa: E402
from scgrpo.runs.disk import write_atomically  # noqa: E402
from scgrpo.runs.markdown import markdown_text  # noqa: E402

SEEDS = range(6)
CANARIES = ("", "done", '{"reward": 1.0}')
STATIC = "static."
STATUSES = ("pass", "fail", "skip")
MAX_FAULTS = 2
WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """A check on an environment: `pass`, `fail` or `skip`, and what was seen."""

    environment: str
    check: str
    status: str
    evidence: Sequence[str]


def write_package(folder: Path, listed: Listed) -> None:
    """The manifest, and the solutions of the first seeds by the environment's own record."""
    plays, canaries = [], []
    game = listed.make()
    for seed in SEEDS:
        game.reset(seed)
        turns = [{"text": turn} for turn in game.solution()]
        plays.append({"reset": {"seed": seed}, "actions": turns})
    for seed in SEEDS[:2]:
        canaries += [
            {"reset": {"seed": seed}, "actions": [{"text": text}]} for text in CANARIES
        ]
    resources = {"cpu": 1.0, "memory_mb": 1024, "disk_mb": 1024}
    capabilities = {
        "verifier": {"kind": "reward_channel"},
        "oracle": {"form": "script", "location": "validation/oracle.json"},
        "canaries": "validation/canaries.json",
    }
    manifest = {
        "spec_version": 1,
        "name": listed.name.replace(" ", "_"),
        "version": "1.0.0",
        "type": "space",
        "runtime": "fastapi",
        "app": "server.app:app",
        "port": 8000,
        "validation": {
            "reward": {
                "range": [0.0, listed.highest],
                "oracle_tolerance": 0.0,
                "floor_margin": listed.highest / 2,
            },
            "resources": {**resources, "episode_timeout_s": 60.0},
            "task_distribution": {"dataset_version": version(listed.package)},
            "execution": {"kind": "openenv_ws"},
            "capabilities": capabilities,
            "types": {"tags": ["text"]},
        },
    }
    (folder / "validation").mkdir()
    (folder / "openenv.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    (folder / "validation/oracle.json").write_text(json.dumps(plays))
    (folder / "validation/canaries.json").write_text(json.dumps(canaries))


def findings_of(listed: Listed) -> list[Finding]:
    """What the graders find, each in turn on the environment's running server."""
    # Here, because a wrong name is refused without a server's packages.
    from bridge import app_of, served  # pyright: ignore[reportMissingImports]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_package(folder, listed)
        with served(app_of(listed.make)) as url:
            results = grade(folder, url)
    return [
        Finding(listed.name, one.check_id, one.status.value, tuple(one.evidence))
        for one in results
        if not one.check_id.startswith(STATIC)
    ]


def table(findings: Sequence[Finding]) -> list[list[str]]:
    """For each check, in how many environments it held, failed, or found nothing to measure.

    The last cell has some of the faults, which name no environment.
    """
    lines: list[list[str]] = []
    for grader in GRADERS:
        own = [one for one in findings if one.check == grader.check_id]
        if own:
            counts = [sum(one.status == status for one in own) for status in STATUSES]
            holds = (grader.find.__doc__ or "").partition("\n")[0]
            failed = [one.evidence[0] for one in own if one.status == "fail"]
            # What is quoted may tell which environment it is.
            faults = sorted({re.sub(r"'[^']*'", "'...'", text) for text in failed})
            seen = "; ".join(faults[:MAX_FAULTS])
            lines.append([grader.check_id, holds, *map(str, counts), seen])
    return lines


def markdown(findings: Sequence[Finding], command: str) -> str:
    """The page: which environments, and what the checks found in how many of them."""
    names = sorted({one.environment for one in findings})
    by_package: dict[str, list[str]] = {}
    for name in names:
        listed = ENVIRONMENTS[name]
        pin = f"{listed.package} {version(listed.package)}"
        by_package.setdefault(pin, []).append(name.partition(" ")[2] or name)
    lines = [
        "# Public environments by OpenEnv's named checks",
        "",
        textwrap.fill(
            INTRODUCTION.format(command=command, count=len(names)),
            width=WIDTH,
            break_long_words=False,
            break_on_hyphens=False,
        ),
        "",
        "| package | environments |",
        "|---|---|",
        *(f"| {pin} | {', '.join(own)} |" for pin, own in by_package.items()),
        "",
        "| check | what must hold | holds | fails | nothing to measure | for example |",
        "|---|---|--:|--:|--:|---|",
    ]
    for line in table(findings):
        lines.append(f"| {' | '.join(map(markdown_text, line))} |")
    return "\n".join([*lines, ""])


INTRODUCTION = """\
`{command}` plays {count} environments that others wrote, served by OpenEnv's own
application, several sessions in one process, and runs the graders of
[`scgrpo envs grade`](elsewhere.md#openenv) on each. Solutions are those that an environment itself
records; turns that solve nothing are empty, `done`, and a made-up reward. Names stand in the first
table alone: the second says how often a check fails, and not where. The libraries come with the
extras `openenv` and `public`, but for GEM, whose pins exclude theirs: `pip install --no-deps
gem-llm==0.1.0`."""


def main() -> int:
    """Grades the environments and writes what was found; 0 unless one could not be graded."""
    arguments = _parser().parse_args()
    # A library that is graded may have asked for the messages of all.
    logging.disable(logging.INFO)
    chosen = [name for name in ENVIRONMENTS if arguments.only in name]
    if not chosen:
        print(f"none has {arguments.only!r} in its name: {', '.join(ENVIRONMENTS)}")
        return 2
    findings: list[Finding] = []
    broken: dict[str, str] = {}
    for name in chosen:
        started = time.monotonic()
        try:
            own = findings_of(ENVIRONMENTS[name])
        except Exception as error:  # noqa: BLE001 - the others are graded all the same
            broken[name] = f"{type(error).__name__}: {error}"
            print(f"{name}: not graded: {broken[name]}", flush=True)
            continue
        findings += own
        print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)
        for one in own:
            if one.status != "pass":
                print(f"  {one.status} {one.check}: {'; '.join(one.evidence)[:300]}")
    if arguments.data:
        rows = {"findings": [asdict(one) for one in findings], "broken": broken}
        write_atomically(arguments.data, json.dumps(rows, indent=1) + "\n")
    if arguments.out and findings:
        command = "python scripts/public_environments"
        write_atomically(arguments.out, markdown(findings, command))
    return int(bool(broken))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python scripts/public_environments")
    parser.add_argument("--only", default="", metavar="TEXT", help="in their name")
    parser.add_argument("--out", type=Path, metavar="FILE", help="a page in Markdown")
    parser.add_argument("--data", type=Path, metavar="FILE", help="all as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
