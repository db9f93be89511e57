"""Runs a list of deeds against an environment in a process of its own, and tells what came.

Code of an unsound environment may end, hang or litter the process that plays it. So the attacks
run in a worker with an empty working directory; where it ends early, that is a finding against the
attack that ran, and another worker goes on behind it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import IO, Any

from envs.attack.book import BOOK
from envs.attack.engine import Finding, Pooled, attempt, control
from envs.attack.model import Attack
from envs.attack.targets import Target, targets
from envs.checks.env_under_test import NotDefined
from envs.checks.run import fresh_environment

__all__ = ["Plan", "Said", "deeds", "played_alone", "work"]

ENDED = "ended"
WORDS = "import sys; from envs.attack.session import main; main()"


@dataclass(frozen=True)
class Plan:
    """What is played on one environment with one backend.

    | field | meaning |
    |---|---|
    | env, backend | see `Pooled` |
    | attacks | names of the book's attacks |
    | quick | at one target |
    | fuzz | composed submissions for each target |
    | learn | groups of episodes for the policy |
    | first | how many of the deeds to leave out |
    """

    env: str
    backend: str
    attacks: tuple[str, ...]
    quick: bool = False
    fuzz: int = 0
    learn: int = 0
    first: int = 0


@dataclass(frozen=True)
class Said:
    """A message of the worker.

    | field | meaning |
    |---|---|
    | at, of | number of the deed that ends or begins, and how many there are |
    | doing | what begins; empty at the end |
    | findings | what the deed before found |
    | skipped | why the environment cannot be attacked |
    | learned | what the policy gained, for the reader |
    """

    at: int
    of: int
    doing: str
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    learned: str = ""


@dataclass(frozen=True)
class Deed:
    """One thing to do at a target: a control, an attack, fuzzing, or learning at all of them."""

    what: str
    target: Target
    attack: Attack | None = None


def deeds(plan: Plan, places: Sequence[Target], *, sandboxed: bool) -> list[Deed]:
    """The deeds of a plan, in order; strong attacks only where `sandboxed`."""
    book = {one.name: one for one in BOOK}
    attacks = [book[name] for name in plan.attacks]
    attacks = [one for one in attacks if sandboxed or not one.strong]
    made: list[Deed] = []
    for place in places:
        made.append(Deed("control", place))
        made += [Deed("attack", place, one) for one in attacks]
        if plan.fuzz:
            made += [Deed("fuzz", place), Deed("harmless", place)]
    if plan.learn:
        made.append(Deed("learn", places[0]))
    return made


def work(plan: Plan) -> Iterator[Said]:
    """Plays a plan in this process. Raises what `Pooled` raises."""
    with Pooled(plan.env, plan.backend, quick=plan.quick) as subject:
        try:
            places = targets(subject, all_of_them=not plan.quick)
        except NotDefined as missing:
            yield Said(0, 0, "", skipped=str(missing))
            return
        todo = deeds(plan, places, sandboxed=subject.pool is not None)
        last: tuple[Finding, ...] = ()
        learned = ""
        for number, deed in enumerate(todo):
            if number < plan.first:
                continue
            name = deed.attack.name if deed.attack else deed.what
            yield Said(
                number, len(todo), f"{name} at {deed.target.name}", last, "", learned
            )
            last, learned = _done(subject, plan, deed, places)
        yield Said(len(todo), len(todo), "", last, "", learned)


def _done(
    subject: Pooled, plan: Plan, deed: Deed, places: Sequence[Target]
) -> tuple[tuple[Finding, ...], str]:
    if deed.attack is not None:
        try:
            return tuple(attempt(subject, deed.target, deed.attack)), ""
        except ValueError:  # it does not fit
            return (), ""
    if deed.what == "control":
        return tuple(control(subject, deed.target)), ""
    if deed.what == "learn":
        return _learned(subject, plan, places)
    from envs.attack.fuzz import fuzz, wrapped_oracle

    play = fuzz if deed.what == "fuzz" else wrapped_oracle
    return tuple(play(subject, deed.target, plan.fuzz)), ""


def _learned(
    subject: Pooled, plan: Plan, places: Sequence[Target]
) -> tuple[tuple[Finding, ...], str]:
    from envs.attack.learn import learn

    names = set(plan.attacks)
    fragments = [one for one in BOOK if one.name in names and not one.slow]
    fragments = [one for one in fragments if subject.pool is not None or not one.strong]
    got = learn(subject, places, fragments, plan.learn)
    said = (
        f"a policy over {len(fragments)} fragments: {got.before} before, {got.during} in "
        f"training, {got.after} after; {got.errors} episodes without a verdict"
    )
    if got.before.paid + got.during.paid + got.after.paid == 0:
        return (), said
    found = Finding(
        plan.env,
        plan.backend,
        ", ".join(got.best),
        "learned",
        places[0].name,
        "theft",
        "a policy was paid for nothing but attacks: " + said,
    )
    return (found,), said


def played_alone(plan: Plan, *, limit_s: float = 300.0) -> Iterator[Said]:
    """Plays a plan in workers; one that ends early is a finding, and the next goes on behind it.

    `limit_s`: for one deed; composed submissions and episodes of the policy get a second more
    each. Raises ValueError with the worker's last words where it cannot start.
    """
    first = plan.first
    limit_s += plan.fuzz + 8 * plan.learn
    while True:
        last: Said | None = None
        with closing(
            _worker(Plan(**{**asdict(plan), "first": first}), limit_s)
        ) as messages:
            for message in messages:
                if isinstance(message, str):
                    if last is None:
                        raise ValueError(message)
                    break
                last = message
                yield message
                if not message.doing:
                    return
        assert last is not None
        said = "the process that played it ended, or hung, as if the code ran in it"
        name, _, place = last.doing.partition(" at ")
        found = Finding(plan.env, plan.backend, name, ENDED, place, ENDED, said)
        first = last.at + 1
        yield Said(first, last.of, "" if first >= last.of else "the next", (found,))
        if first >= last.of:
            return


def _worker(plan: Plan, limit_s: float) -> Generator[Said | str, None, None]:
    """The messages of one worker, at the end its last words where it did not finish."""
    with tempfile.TemporaryDirectory(
        prefix="scgrpo-attack-", ignore_cleanup_errors=True
    ) as folder:
        os.mkdir(f"{folder}/work")
        with open(f"{folder}/stderr", "w+b") as stderr:
            reading, writing = os.pipe()
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    WORDS,
                    json.dumps(asdict(plan)),
                    str(writing),
                ],
                cwd=f"{folder}/work",
                env=fresh_environment(HOME=f"{folder}/work", TMPDIR=f"{folder}/work"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[writing],
                start_new_session=True,
            )
            os.close(writing)
            try:
                with os.fdopen(reading, "rb", 0) as stream:
                    yield from _messages(stream, limit_s)
            finally:
                _ended(process)
            stderr.seek(0)
            lines = stderr.read().decode("utf-8", "replace").strip().split("\n")
            yield (
                lines[-1][:300]
                or f"the worker ended with exit code {process.returncode}"
            )


def _messages(stream: IO[bytes], limit_s: float) -> Iterator[Said]:
    import select

    while select.select([stream], [], [], limit_s)[0]:
        line = stream.readline()
        if not line:
            return
        try:
            message: dict[str, Any] = json.loads(line)
        except ValueError:  # code in the worker's process wrote it
            return
        found = tuple(Finding(**one) for one in message.pop("findings"))
        yield Said(**message, findings=found)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """The worker: plays the plan of the command line, and writes a line for each message."""
    plan = json.loads(sys.argv[1])
    plan["attacks"] = tuple(plan["attacks"])
    with os.fdopen(int(sys.argv[2]), "w") as out:
        try:
            for message in work(Plan(**plan)):
                out.write(json.dumps(asdict(message)) + "\n")
                out.flush()
        except Exception as error:  # noqa: BLE001 - told to whoever started this
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
