"""`python -m evals.baselines`: where training starts, measured on every environment.

Success of the random policy and of the oracle, by level and split, and of the small model on the
`id` tasks of the lowest levels, as it is and after the warm start. Every cell is kept as it ends.
"""

from __future__ import annotations

import argparse
import inspect
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from envs import registry
from envs.types import Episode, Task
from evals.evaluation.suites import Cell, choose
from evals.statistics import success_rate
from scgrpo.config import TrainConfig
from scgrpo.devices import device_of, dtype_of
from scgrpo.models.load import cache_folder, is_model, load_model, resolve_model
from scgrpo.policies.hf import HFPolicy
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import DiskError, disk_errors_explained
from scgrpo.runs.log import to_terminal
from scgrpo.warm_start import cache_key, warm_start

__all__ = ["main", "markdown"]

PROG = "python -m evals.baselines"
RANDOM, ORACLE, BASE, WARM = "random", "oracle", "model", "warm-started"
BOXED_SHARE = 10  # an episode in a box costs so many that need none
EXAMPLES = f"""\
examples:
  {PROG} --out docs                        everything, an hour or more
  {PROG} --envs math_word --no-model       the scripts alone, in seconds

What stands in starting-points.json already is not measured again; remove a line to do so.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command; bad input ends it with code 2 and a sentence."""
    to_terminal()
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        path = args.out / "starting-points.json"
        rows = _read(path)
        for name in args.envs or registry.names():
            for row in _measured(name, args, rows):
                rows.append(row)
                with disk_errors_explained(path):
                    args.out.mkdir(parents=True, exist_ok=True)
                    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
                    (args.out / "starting-points.md").write_text(markdown(rows))
                print(_line(row), flush=True)
    except (ValueError, DiskError) as error:
        parser.error(str(error))


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table for each environment: policies by level and split."""
    lines = [
        "# Starting points",
        "",
        "Success in per cent with 95 % intervals; in brackets the episodes. `random` plays",
        "well-formed turns at random, `model` is SmolLM2-135M-Instruct, `warm-started` the same",
        "after the warm start on random episodes of that level. Seed 0. Where code runs in a",
        f"sandbox, scripts play 1/{BOXED_SHARE} of the episodes. Made by",
        "`python -m evals.baselines --out docs`.",
    ]
    for env in dict.fromkeys(row["env"] for row in rows):
        lines += [
            "",
            f"## {env}",
            "",
            "| level | split | random | oracle | model | warm-started |",
        ]
        lines.append("|--:|---|--:|--:|--:|--:|")
        mine = [row for row in rows if row["env"] == env]
        for level, split in dict.fromkeys((r["level"], r["split"]) for r in mine):
            cells = {
                r["policy"]: r
                for r in mine
                if (r["level"], r["split"]) == (level, split)
            }
            shown = [
                _cell(cells.get(policy)) for policy in (RANDOM, ORACLE, BASE, WARM)
            ]
            lines.append(f"| {level} | `{split}` | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _measured(
    name: str, args: argparse.Namespace, done: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The rows of an environment that are not there yet."""
    there = {(r["env"], r["level"], r["split"], r["policy"]) for r in done}
    config = TrainConfig(env=name)
    with Rollouts(name, config.limits, sandbox=config.sandbox) as play:
        env = play.env
        share = (
            BOXED_SHARE if "sandboxes" in inspect.signature(type(env)).parameters else 1
        )
        for level in env.levels:
            for split in env.splits:
                tasks = env.tasks(split, level)
                for policy, count in ((RANDOM, args.random), (ORACLE, args.oracle)):
                    if tasks and count and (name, level, split, policy) not in there:
                        yield _scripted(
                            play, Cell(name, level, split), policy, count // share
                        )
        for level in (
            () if args.no_model else [x for x in env.levels if x in args.levels]
        ):
            for policy in (BASE, WARM):
                if (name, level, "id", policy) not in there:
                    yield _model(play, Cell(name, level, "id"), policy, config, args)


def _scripted(play: Rollouts, cell: Cell, policy: str, count: int) -> dict[str, Any]:
    env = play.env
    tasks = _spread(cell, env.tasks(cell.split, cell.level), count)
    group = -(-count // len(tasks))
    started = time.monotonic()
    if policy == RANDOM:
        episodes = play(None, tasks, group=group, seed=0)
    else:
        episodes = [
            e
            for t in tasks
            for e in play(ScriptedPolicy(env.oracle(t)), [t], group=1, seed=0)
        ]
    return _row(cell, policy, episodes, started)


def _model(
    play: Rollouts,
    cell: Cell,
    policy: str,
    config: TrainConfig,
    args: argparse.Namespace,
) -> dict[str, Any]:
    started = time.monotonic()
    folder = resolve_model(args.model)
    if policy == WARM:
        folder = _warm(play, cell.level, folder, config)
    model, tokenizer = load_model(folder, dtype=dtype_of(config))
    tasks = choose(cell, play.env.tasks(cell.split, cell.level), args.tasks, 0)
    with HFPolicy(
        model.to(device_of(config)),
        tokenizer,
        cache_tokens=config.limits.episode_tokens,
    ) as acting:
        episodes = play(
            acting, tasks, group=args.rollouts, seed=0, description=f"{cell} {policy}"
        )
    return _row(cell, policy, episodes, started)


def _warm(play: Rollouts, level: int, base: Path, config: TrainConfig) -> Path:
    """The warm-started weights of an environment's level, from the cache where they are there."""
    options = config.warm_start
    key = cache_key(base, play.env, level, options, str(dtype_of(config)), config.seed)
    cached = cache_folder() / "warm_start" / key
    if not is_model(cached):
        model, tokenizer = load_model(base, dtype=dtype_of(config))
        model.to(device_of(config))
        warm_start(cached, model, tokenizer, play, level, options, seed=config.seed)
    return cached


def _spread(cell: Cell, tasks: Sequence[Task], count: int) -> list[Task]:
    return choose(cell, tasks, max(1, min(count, len(tasks))), 0)


def _row(
    cell: Cell, policy: str, episodes: Sequence[Episode], started: float
) -> dict[str, Any]:
    by_task: dict[str, list[float]] = {}
    families: dict[str, str] = {}
    for e in episodes:
        verdict = float("nan") if e.verdict is None else float(e.verdict.passed)
        by_task.setdefault(e.task.id, []).append(verdict)
        families[e.task.id] = e.task.family
    longest = max(map(len, by_task.values()))
    table = np.full((len(by_task), longest), np.nan)
    for place, outcomes in enumerate(by_task.values()):
        table[place, : len(outcomes)] = outcomes
    found = asdict(success_rate(table, list(families.values())))
    numbers = {
        k: None if isinstance(v, float) and np.isnan(v) else v for k, v in found.items()
    }
    return {
        "env": cell.env,
        "level": cell.level,
        "split": cell.split,
        "policy": policy,
        **numbers,
        "void": sum(e.verdict is None for e in episodes),
        "malformed": sum(e.malformed for e in episodes)
        / max(1, sum(len(e.turns) for e in episodes)),
        "seconds": round(time.monotonic() - started, 1),
    }


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "-"
    value, episodes = f"{100 * row['value']:.1f}", f"({row['episodes']:,})"
    if row["low"] is None or row["policy"] == ORACLE:
        return f"{value} {episodes}"
    return f"{value}, {100 * row['low']:.0f}-{100 * row['high']:.0f} {episodes}"


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['env']} level {row['level']} {row['split']}, {row['policy']}: {_cell(row)}, "
        f"{row['seconds']:.0f} s"
    )


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ValueError(
            f"{path} is not what this command wrote: {error}; remove it"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Measures where training starts: random turns, the oracle, the small model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--envs", nargs="+", metavar="NAME", help="default: all of ours"
    )
    parser.add_argument(
        "--levels",
        nargs="+",
        type=int,
        default=[0, 1, 2],
        metavar="L",
        help="of the model; default 0 1 2",
    )
    parser.add_argument(
        "--random",
        type=int,
        default=2000,
        metavar="N",
        help=f"random episodes of each cell; default 2000, a {BOXED_SHARE}th of it in boxes",
    )
    parser.add_argument(
        "--oracle",
        type=int,
        default=200,
        metavar="N",
        help="of the oracle; default 200, the same",
    )
    parser.add_argument(
        "--tasks",
        type=int,
        default=16,
        metavar="N",
        help="tasks of the model; default 16",
    )
    parser.add_argument(
        "--rollouts",
        type=int,
        default=8,
        metavar="K",
        help="episodes of each; default 8",
    )
    parser.add_argument("--model", default="auto", help="default: auto")
    parser.add_argument("--no-model", action="store_true", help="scripts alone")
    parser.add_argument(
        "--out", type=Path, default=Path("docs"), metavar="DIR", help="default: docs"
    )
    return parser


if __name__ == "__main__":
    main()
