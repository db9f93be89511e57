"""`scgrpo replay`: re-executes and re-verifies saved episodes, without a model.

Each line is played again in its environment with the turns that it holds; every difference is
reported with its line.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import gymnasium

from envs import registry
from envs.base import TextEnv
from envs.identity import identity
from envs.rollout import play
from envs.store import from_json, intact
from envs.types import Episode, Segment, Task
from evals.evaluation.arguments import positive
from sandboxes import SandboxConfig, open_pool
from sandboxes.commands import exit_codes
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.runs.log import progress, to_terminal

__all__ = ["Finding", "main", "replay"]

PROG = "scgrpo replay"
MAX_SHOWN = 20
EXAMPLES = f"""\
examples:
  {PROG} runs/latest/evals/episodes/*.jsonl
  {PROG} runs/latest/episodes/step-000010.jsonl
  {PROG} --env my_package.my_env:me/my_env episodes.jsonl
"""
CHANGED = "the line was changed after it was written: its checksum differs"


@dataclass(frozen=True)
class Finding:
    """The result of one line.

    | field | meaning |
    |---|---|
    | place | file and line |
    | task | its id; empty for a line that is no episode |
    | problems | what differs, in words; empty for an episode that proved itself |
    | errored | the saved episode has no verdict to prove |
    """

    place: str
    task: str
    problems: tuple[str, ...] = ()
    errored: bool = False


@dataclass(frozen=True)
class _Line:
    """An episode to replay: its index among all lines, and what is wrong with the line."""

    index: int
    place: str
    episode: Episode
    problems: tuple[str, ...]


class Player:
    """Plays saved episodes of one environment in threads. A context manager."""

    def __init__(self, name: str, threads: int) -> None:
        self._stack = ExitStack()
        self._idle: SimpleQueue[gymnasium.Env[str, str]] = SimpleQueue()
        first = registry.make(name)
        env = first.unwrapped
        if not isinstance(env, TextEnv):
            raise ValueError(
                f"{name} is a {type(env).__name__}, expected an envs.base.TextEnv"
            )
        self.env = env

        # An environment that runs code shares one pool over its instances.
        arguments: dict[str, Any] = {}
        if "sandboxes" in inspect.signature(type(env)).parameters:
            pool = self._stack.enter_context(open_pool(SandboxConfig()))
            arguments["sandboxes"] = pool
        for _ in range(threads):
            instance = registry.make(name, **arguments)
            self._stack.callback(instance.close)
            self._idle.put(instance)

    def __call__(self, episode: Episode) -> Episode:
        """The episode as its turns play out now."""
        env = self._idle.get()
        try:
            turns = [turn.text for turn in episode.turns]
            return play(env, ScriptedPolicy(turns), episode.task, seed=episode.seed)
        finally:
            self._idle.put(env)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0 if every episode proved itself, 1 if not, 2 for bad input."""
    arguments = _parser().parse_args(argv)
    to_terminal()
    with exit_codes(PROG, bad_input=(OSError,)):
        findings = replay(arguments.files, env=arguments.env, threads=arguments.threads)
        wrong = [finding for finding in findings if finding.problems]
        _show(findings, wrong)
        sys.exit(1 if wrong else 0)


def replay(files: Sequence[Path], *, env: str = "", threads: int = 8) -> list[Finding]:
    """One finding for each line of the files, in order.

    `env` names the environment of episodes that do not name theirs. Raises ValueError for a file
    without an episode and for an unknown environment, SandboxError.
    """
    findings: dict[int, Finding] = {}
    by_env: dict[str, list[_Line]] = {}
    texts = [line for file in files for line in _lines(file)]
    for index, (place, text) in enumerate(texts):
        try:
            line = _read_line(index, place, text)
        except ValueError as error:
            findings[index] = Finding(place, "", (f"no episode: {error}",))
            continue
        name = env or line.episode.env
        if not name:
            raise ValueError(f"{place} does not say its environment: name it by --env")
        by_env.setdefault(name, []).append(line)

    # By environment, because opening one may start sandboxes.
    total = sum(map(len, by_env.values()))
    with progress(total, "replay") as bar:
        for name, lines in by_env.items():
            for index, finding in _replay_lines(name, lines, threads):
                findings[index] = finding
                bar.advance(1)
    return [findings[index] for index in range(len(texts))]


def _read_line(index: int, place: str, text: bytes) -> _Line:
    """Raises ValueError for a line that is no episode."""
    episode = from_json(text)
    # None for files of earlier releases, which have no checksum.
    changed = intact(text) is False
    return _Line(index, place, episode, (CHANGED,) if changed else ())


def _replay_lines(
    name: str, lines: Sequence[_Line], threads: int
) -> Iterator[tuple[int, Finding]]:
    with (
        Player(name, min(threads, len(lines))) as player,
        ThreadPoolExecutor(threads) as workers,
    ):
        checks = workers.map(lambda line: _check(player, line), lines)
        for line, problems in zip(lines, checks, strict=True):
            episode = line.episode
            errored = episode.verdict is None
            finding = Finding(line.place, episode.task.id, problems, errored)
            yield line.index, finding


def _show(findings: Sequence[Finding], wrong: Sequence[Finding]) -> None:
    for finding in wrong[:MAX_SHOWN]:
        print(f"{finding.place} {finding.task}")
        for problem in finding.problems:
            print(f"  {problem}")
    if len(wrong) > MAX_SHOWN:
        print(f"... and {len(wrong) - MAX_SHOWN} more")

    errored = sum(finding.errored for finding in findings)
    # An errored episode without a problem has proved nothing either.
    unproved = sum(f.errored and not f.problems for f in findings)
    proved = len(findings) - len(wrong) - unproved
    print(
        f"{proved} of {len(findings)} episodes prove themselves, {len(wrong)} do not, "
        f"{errored} errored"
    )


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Place and text of each line. Raises ValueError for a file without any."""
    lines = file.read_bytes().splitlines()
    if not lines:
        raise ValueError(f"{file} is empty, expected a file of episodes")
    for number, line in enumerate(lines, start=1):
        yield f"{file}, line {number}:", line


def _check(player: Player, line: _Line) -> tuple[str, ...]:
    """What is wrong with a saved episode; an errored one is not played again."""
    env, saved = player.env, line.episode
    problems = list(line.problems)
    problems += _identity_problems(env, saved)

    task = saved.task
    now = env.find(task.split, task.level, task.id)
    if now is None:
        problems.append(f"{env.name} has no task {task.id}")
        return tuple(problems)
    problems += _task_problems(task, now)
    if saved.agent:
        problems.append(
            f"the agent {saved.agent!r:.60} played it, whose commands are not in the file"
        )
    elif saved.verdict is not None:
        problems += _outcome_problems(saved, player(saved))
    return tuple(problems)


def _identity_problems(env: TextEnv, saved: Episode) -> Iterator[str]:
    """Whether the episode was played in this environment, by this code."""
    now = identity(env)
    if saved.env and saved.env != now.env:
        yield f"environment version: played in {saved.env}, replayed in {now.env}"
    if saved.source and saved.source != now.source:
        yield f"source hash: played by {saved.source[:12]}, replayed by {now.source[:12]}"


def _task_problems(saved: Task, now: Task) -> Iterator[str]:
    for name in ("prompt", "payload", "family"):
        old, new = getattr(saved, name), getattr(now, name)
        if _hash(old) != _hash(new):
            # The payload holds the answer, which a log should not spread.
            values = "" if name == "payload" else f": {_both(old, new)}"
            yield f"task: its {name} differs{values}"


def _outcome_problems(saved: Episode, now: Episode) -> Iterator[str]:
    """The first difference of the two conversations, and those of the verdicts."""
    if now.verdict is None:
        yield f"the replay broke: {now.error}"
        return
    if list(saved.messages) != list(now.messages):
        yield "the opening messages differ"
    if _hash(saved.tools) != _hash(now.tools):
        yield "the offered tools differ"
    yield from _reply_problems(saved.segments, now.segments)

    assert saved.verdict is not None
    for name in ("passed", "score", "detail", "parts"):
        old, new = getattr(saved.verdict, name), getattr(now.verdict, name)
        if old != new:
            yield f"verdict: {name} is {_both(old, new)}"
    for name in ("stop", "malformed"):
        old, new = getattr(saved, name), getattr(now, name)
        if old != new:
            yield f"{name}: {_both(old, new)}"


def _reply_problems(saved: Sequence[Segment], now: Sequence[Segment]) -> Iterator[str]:
    """The first reply that differs, or turns after the end of the replay."""
    # Prompts have been compared as opening messages.
    old = [segment for segment in saved if segment.source != "prompt"]
    new = [segment for segment in now if segment.source != "prompt"]
    turn = 0
    for before, after in zip(old, new, strict=False):
        turn += before.source == "policy"
        same = before.source == after.source and before.text == after.text
        if not same:
            yield f"turn {turn}: the reply is {_both(before.text, after.text)}"
            return
    if len(old) != len(new):
        yield f"turn {turn}: the episode goes on for {len(old)} segments, now for {len(new)}"


def _both(old: object, new: object) -> str:
    return f"{old!r:.120} in the file, {new!r:.120} now"


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Re-executes and re-verifies saved episodes without a model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="episodes as JSON lines")
    add(
        "--env",
        default="",
        metavar="NAME",
        help="for episodes that do not name theirs",
    )
    add(
        "--concurrency",
        "--threads",
        dest="threads",
        type=positive,
        default=8,
        metavar="N",
        help="episodes at once; default 8",
    )
    return parser


if __name__ == "__main__":
    main()
