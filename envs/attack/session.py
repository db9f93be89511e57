"""Runs a list of actions against an environment in a process of its own, and reports.

Code of an unsound environment may end, hang or litter the process that plays it. So the attacks
run in a worker with an empty working directory. If it ends early, that is a finding against the
attack that ran, and another worker goes on behind it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

from envs.attack.book import BOOK
from envs.attack.engine import ENDED, THEFT, Finding, Pooled, attempt, control
from envs.attack.model import Attack
from envs.attack.targets import Target, targets
from envs.checks.env_under_test import NotDefined
from envs.checks.fresh import fresh_environment

__all__ = ["Message", "Plan", "actions_of", "play_in_workers", "work"]

GROUP_EPISODES = 8
MAX_LINE = 300
PROGRAM = "import sys; from envs.attack.session import main; main()"


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
    | first | how many of the actions to leave out |
    """

    env: str
    backend: str
    attacks: tuple[str, ...]
    quick: bool = False
    fuzz: int = 0
    learn: int = 0
    first: int = 0


@dataclass(frozen=True)
class Message:
    """What the worker reports.

    | field | meaning |
    |---|---|
    | at, of | number of the action that ends or begins, and how many there are |
    | doing | what begins; empty at the end |
    | findings | of the action that ended |
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
class Action:
    """One thing to do at a target: a control, an attack, fuzzing, or learning at all of them."""

    what: str
    target: Target
    attack: Attack | None = None

    @property
    def name(self) -> str:
        """What it is called while it runs."""
        what = self.what if self.attack is None else self.attack.name
        return f"{what} at {self.target.name}"


@dataclass(frozen=True)
class Outcome:
    """What an action found, and what a policy learned in it."""

    findings: tuple[Finding, ...] = ()
    learned: str = ""


def actions_of(
    plan: Plan, places: Sequence[Target], *, sandboxed: bool
) -> list[Action]:
    """The actions of a plan, in order; strong attacks only if `sandboxed`."""
    attacks = _attacks(plan, sandboxed=sandboxed)
    actions: list[Action] = []
    for place in places:
        actions.append(Action("control", place))
        actions += [Action("attack", place, attack) for attack in attacks]
        if plan.fuzz:
            actions += [Action("fuzz", place), Action("harmless", place)]
    if plan.learn:
        actions.append(Action("learn", places[0]))
    return actions


def _attacks(plan: Plan, *, sandboxed: bool) -> list[Attack]:
    book = {attack.name: attack for attack in BOOK}
    attacks = [book[name] for name in plan.attacks]
    return [attack for attack in attacks if sandboxed or not attack.strong]


def work(plan: Plan) -> Iterator[Message]:
    """Plays a plan in this process. Raises what `Pooled` raises."""
    with Pooled(plan.env, plan.backend, quick=plan.quick) as subject:
        try:
            places = targets(subject, all_of_them=not plan.quick)
        except NotDefined as missing:
            yield Message(0, 0, "", skipped=str(missing))
            return

        actions = actions_of(plan, places, sandboxed=subject.pool is not None)
        count = len(actions)
        outcome = Outcome()
        for number in range(plan.first, count):
            # Before the action: if it ends this process, this says which one it was.
            yield _message(number, count, actions[number].name, outcome)
            outcome = _play(subject, plan, actions[number], places)
        yield _message(count, count, "", outcome)


def _message(at: int, of: int, doing: str, outcome: Outcome) -> Message:
    return Message(at, of, doing, outcome.findings, learned=outcome.learned)


def _play(
    subject: Pooled, plan: Plan, action: Action, places: Sequence[Target]
) -> Outcome:
    if action.attack is not None:
        try:
            return Outcome(tuple(attempt(subject, action.target, action.attack)))
        except ValueError:
            # It does not fit.
            return Outcome()
    if action.what == "control":
        return Outcome(tuple(control(subject, action.target)))
    if action.what == "learn":
        return _learn(subject, plan, places)

    # Without `--fuzz`, hypothesis is not needed.
    from envs.attack.fuzz import fuzz, oracle_in_harmless_code

    run = fuzz if action.what == "fuzz" else oracle_in_harmless_code
    return Outcome(tuple(run(subject, action.target, plan.fuzz)))


def _learn(subject: Pooled, plan: Plan, places: Sequence[Target]) -> Outcome:
    from envs.attack.learn import learn

    names = set(plan.attacks)
    fragments = [attack for attack in BOOK if attack.name in names and not attack.slow]
    if subject.pool is None:
        fragments = [attack for attack in fragments if not attack.strong]
    result = learn(subject, places, fragments, plan.learn)

    text = (
        f"a policy over {len(fragments)} fragments: {result.before} before, {result.during} in "
        f"training, {result.after} after; {result.errors} episodes without a verdict"
    )
    if result.before.paid + result.during.paid + result.after.paid == 0:
        return Outcome(learned=text)
    theft = Finding(
        env=plan.env,
        backend=plan.backend,
        attack=", ".join(result.best),
        kind="learned",
        target=places[0].name,
        what=THEFT,
        detail=f"a policy was paid for nothing but attacks: {text}",
    )
    return Outcome((theft,), text)


def play_in_workers(plan: Plan, *, limit_s: float = 300.0) -> Iterator[Message]:
    """Plays a plan in workers; one that ends early is a finding, and the next goes on behind it.

    `limit_s`: for one action; composed submissions and episodes of the policy get a second more
    each. Raises ValueError with the worker's last line if it cannot start.
    """
    limit_s += plan.fuzz + GROUP_EPISODES * plan.learn
    first = plan.first
    while True:
        last: Message | None = None
        with closing(_worker(replace(plan, first=first), limit_s)) as messages:
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
        first = last.at + 1
        over = first >= last.of
        doing = "" if over else "the next"
        yield Message(first, last.of, doing, (_early_end(plan, last),))
        if over:
            return


def _early_end(plan: Plan, last: Message) -> Finding:
    """The finding against the action during which a worker ended."""
    name, _, place = last.doing.partition(" at ")
    return Finding(
        env=plan.env,
        backend=plan.backend,
        attack=name,
        kind=ENDED,
        target=place,
        what=ENDED,
        detail="the process that played it ended, or hung, as if the code ran in it",
    )


def _worker(plan: Plan, limit_s: float) -> Generator[Message | str, None, None]:
    """The messages of one worker, at the end its last line if it did not finish."""
    with tempfile.TemporaryDirectory(
        prefix="scgrpo-attack-", ignore_cleanup_errors=True
    ) as folder:
        work = f"{folder}/work"
        os.mkdir(work)
        with open(f"{folder}/stderr", "w+b") as stderr:
            process, reading = _start(plan, work, stderr)
            try:
                with os.fdopen(reading, "rb", 0) as stream:
                    yield from _messages(stream, limit_s)
            finally:
                _end(process)
            stderr.seek(0)
            lines = stderr.read().decode("utf-8", "replace").strip().split("\n")
            ending = f"the worker ended with exit code {process.returncode}"
            yield lines[-1][:MAX_LINE] or ending


def _start(
    plan: Plan, work: str, stderr: IO[bytes]
) -> tuple[subprocess.Popen[bytes], int]:
    """The worker's process, and the end of a pipe from which its messages are read."""
    reading, writing = os.pipe()
    # -P: the working directory is not on the path, where code of an attack would be imported.
    argv = [sys.executable, "-P", "-c", PROGRAM, json.dumps(asdict(plan)), str(writing)]
    process = subprocess.Popen(
        argv,
        cwd=work,
        env=fresh_environment(HOME=work, TMPDIR=work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        pass_fds=[writing],
        start_new_session=True,
    )
    os.close(writing)
    return process, reading


def _messages(stream: IO[bytes], limit_s: float) -> Iterator[Message]:
    """Messages until the stream ends, is silent for `limit_s`, or holds anything else."""
    while select.select([stream], [], [], limit_s)[0]:
        line = stream.readline()
        if not line:
            return
        try:
            fields: dict[str, Any] = json.loads(line)
        except ValueError:
            # Code in the worker's process wrote it.
            return
        findings = tuple(Finding(**each) for each in fields.pop("findings"))
        yield Message(**fields, findings=findings)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        # The whole session: what the code has started ends, too.
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
        except Exception as error:  # noqa: BLE001 - reported to whoever started this
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(1)
