"""`python -m evals.replay FILE ...`: re-executes and re-verifies saved episodes, without a model.

Each line is played again in its environment with the turns that it holds; whatever comes out
otherwise is named with its line.
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
from sandboxes import SandboxConfig, SandboxError, open_pool
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.runs.log import progress, to_terminal

__all__ = ["Finding", "main", "replay"]

PROG = "python -m evals.replay"
MOST_SHOWN = 20
EXAMPLES = f"""\
examples:
  {PROG} runs/latest/evals/episodes/*.jsonl
  {PROG} runs/latest/episodes/step-000010.jsonl
  {PROG} --env my_package.my_env:mine/my_env mine.jsonl
"""


@dataclass(frozen=True)
class Finding:
    """What the replay of one line came to.

    | field | meaning |
    |---|---|
    | place | file and line |
    | task | its id; empty for a line that is no episode |
    | problems | what differs, in words; empty for an episode that proved itself |
    | void | the episode broke when it was played: it has no verdict to prove |
    """

    place: str
    task: str
    problems: tuple[str, ...] = ()
    void: bool = False


class Player:
    """Plays saved episodes of one environment in threads. A context manager."""

    def __init__(self, name: str, threads: int) -> None:
        self._stack = ExitStack()
        self._idle: SimpleQueue[gymnasium.Env[str, str]] = SimpleQueue()
        first = registry.make(name)
        inner = first.unwrapped
        if not isinstance(inner, TextEnv):
            raise ValueError(
                f"{name} is a {type(inner).__name__}; wanted an envs.base.TextEnv"
            )
        arguments: dict[str, Any] = {}
        if "sandboxes" in inspect.signature(type(inner)).parameters:
            arguments["sandboxes"] = self._stack.enter_context(
                open_pool(SandboxConfig())
            )
        for _ in range(threads):
            env = registry.make(name, **arguments)
            self._stack.callback(env.close)
            self._idle.put(env)
        self.env = inner

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
    """The command: exits with 0 where every episode proved itself, 1 where not, 2 for bad input."""
    arguments = _parser().parse_args(argv)
    to_terminal()
    try:
        findings = replay(arguments.files, env=arguments.env, threads=arguments.threads)
    except (ValueError, OSError, gymnasium.error.Error, SandboxError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    wrong = [finding for finding in findings if finding.problems]
    for finding in wrong[:MOST_SHOWN]:
        print(f"{finding.place} {finding.task}")
        for problem in finding.problems:
            print(f"  {problem}")
    if len(wrong) > MOST_SHOWN:
        print(f"... and {len(wrong) - MOST_SHOWN} more")
    void = sum(finding.void for finding in findings)
    proved = (
        len(findings) - len(wrong) - sum(f.void and not f.problems for f in findings)
    )
    print(
        f"{proved} of {len(findings)} episodes prove themselves, {len(wrong)} do not, {void} void"
    )
    sys.exit(1 if wrong else 0)


def replay(files: Sequence[Path], *, env: str = "", threads: int = 8) -> list[Finding]:
    """One finding for each line of the files, in order.

    `env` names the environment of episodes that do not say theirs. Raises ValueError for a file
    without an episode and for an unknown environment, SandboxError.
    """
    lines = [numbered for file in files for numbered in _lines(file)]
    findings: dict[int, Finding] = {}
    waiting: dict[str, list[tuple[int, Episode, tuple[str, ...]]]] = {}
    for index, (place, line) in enumerate(lines):
        try:
            episode, whole = from_json(line), intact(line)
        except ValueError as error:
            findings[index] = Finding(place, "", (f"no episode: {error}",))
            continue
        name = env or episode.env
        if not name:
            raise ValueError(f"{place} does not say its environment: name it by --env")
        broken = ("the line was changed after it was written: its checksum differs",)
        waiting.setdefault(name, []).append(
            (index, episode, broken if whole is False else ())
        )
    with progress(sum(map(len, waiting.values())), "replay") as bar:
        for name, items in waiting.items():
            with (
                Player(name, min(threads, len(items))) as player,
                ThreadPoolExecutor(threads) as workers,
            ):
                checked = workers.map(
                    lambda item: _check(player, item[1], item[2]), items
                )
                for (index, episode, _), problems in zip(items, checked, strict=True):
                    void = episode.verdict is None
                    findings[index] = Finding(
                        lines[index][0], episode.task.id, problems, void
                    )
                    bar.advance(1)
    return [findings[index] for index in range(len(lines))]


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Place and text of each line. Raises ValueError for a file without any."""
    lines = file.read_bytes().splitlines()
    if not lines:
        raise ValueError(f"{file} is empty; wanted a file of episodes")
    return (
        (f"{file}, line {number}:", line) for number, line in enumerate(lines, start=1)
    )


def _check(
    player: Player, saved: Episode, problems: tuple[str, ...]
) -> tuple[str, ...]:
    """What is wrong with a saved episode; a void one is not played again."""
    found = [*problems, *_identity(player.env, saved)]
    task = player.env.find(saved.task.split, saved.task.level, saved.task.id)
    if task is None:
        return (*found, f"{player.env.name} has no task {saved.task.id}")
    found += _task(saved.task, task)
    if saved.verdict is None:
        return tuple(found)
    return (*found, *_outcome(saved, player(saved)))


def _identity(env: TextEnv, saved: Episode) -> Iterator[str]:
    """Whether the episode was played in this environment, by this code."""
    now = identity(env)
    if saved.env and saved.env != now.env:
        yield f"environment version: played in {saved.env}, replayed in {now.env}"
    if saved.source and saved.source != now.source:
        yield f"source hash: played by {saved.source[:12]}, replayed by {now.source[:12]}"


def _task(saved: Task, now: Task) -> Iterator[str]:
    for name in ("prompt", "payload", "family"):
        old, new = getattr(saved, name), getattr(now, name)
        if json.dumps(old, sort_keys=True) != json.dumps(new, sort_keys=True):
            secret = name == "payload"
            yield f"task: its {name} differs" + (
                "" if secret else f": {_two(old, new)}"
            )


def _outcome(saved: Episode, now: Episode) -> Iterator[str]:
    """Where the two conversations part, and how the verdicts differ."""
    if now.verdict is None:
        yield f"the replay broke: {now.error}"
        return
    if list(saved.messages) != list(now.messages):
        yield "the opening messages differ"
    if _plain(saved.tools) != _plain(now.tools):
        yield "the offered tools differ"
    yield from _replies(saved.segments, now.segments)
    assert saved.verdict is not None
    for name in ("passed", "score", "detail", "parts"):
        old, new = getattr(saved.verdict, name), getattr(now.verdict, name)
        if old != new:
            yield f"verdict: {name} is {_two(old, new)}"
    for name in ("stop", "malformed"):
        if getattr(saved, name) != getattr(now, name):
            yield f"{name}: {_two(getattr(saved, name), getattr(now, name))}"


def _replies(saved: Sequence[Segment], now: Sequence[Segment]) -> Iterator[str]:
    """The first reply that differs, or turns that were played to nobody."""
    spoken = ("policy", "env")
    old = [segment for segment in saved if segment.source in spoken]
    new = [segment for segment in now if segment.source in spoken]
    turn = 0
    for before, after in zip(old, new, strict=False):
        turn += before.source == "policy"
        if (before.source, before.text) != (after.source, after.text):
            yield f"turn {turn}: the reply is {_two(before.text, after.text)}"
            return
    if len(old) != len(new):
        yield f"turn {turn}: the episode goes on for {len(old)} segments, now for {len(new)}"


def _two(old: object, new: object) -> str:
    return f"{old!r:.120} in the file, {new!r:.120} now"


def _plain(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Re-executes and re-verifies saved episodes without a model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="episodes as JSON lines")
    add("--env", default="", metavar="NAME", help="for episodes that do not say theirs")
    add(
        "--threads",
        type=int,
        default=8,
        metavar="N",
        help="episodes at once; default 8",
    )
    return made


if __name__ == "__main__":
    main()
