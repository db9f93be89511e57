"""`python -m envs.attack`: what can a policy steal from an environment that runs code?"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import gymnasium
from rich.console import Console

from envs.attack.book import BOOK, chosen
from envs.attack.engine import OWN, Finding, sandbox_kinds, takes_sandboxes
from envs.attack.model import KINDS
from envs.attack.session import Plan, Said, played_alone
from sandboxes import SandboxError

__all__ = ["main"]

PROG = "python -m envs.attack"
EXAMPLES = f"""\
examples:
  {PROG} code_fn                           the whole book, on both backends
  {PROG} my_module:me/my_env               yours: my_module is imported and registers it
  {PROG} my_env --only lease KeyboardInterrupt   a kind, and attacks whose name holds a word
  {PROG} my_env --quick                    at one place of one task
  {PROG} my_env --fuzz 200                 also 200 composed submissions, and the oracle's
                                                     solution in 200 harmless wrappings
  {PROG} my_env --learn 50                 also a policy, trained on 50 groups of 8 episodes
                                                     with nothing but the book's fragments
  {PROG} --list                            the book
  {PROG} my_env --json > thefts.json       for another program

Where a theft is printed, its turns reproduce it: pass them to `python -m envs.play NAME`, or take
them from --json. Exit code 0: nothing was stolen; 1: something was; 2: bad arguments.

kinds:
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        for one in BOOK:
            print(f"{one.kind:9} {one.name}: {one.steals}")
        return
    lines = _Lines(quiet=arguments.json)
    try:
        for plan in _plans(arguments):
            lines.play(plan)
    except (ValueError, ImportError, SandboxError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        lines.stop()
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
    finally:
        lines.stop()
    lines.finish()
    sys.exit(bool(lines.findings))


def _plans(arguments: argparse.Namespace) -> Iterator[Plan]:
    """A plan for each environment and backend. Raises ValueError for what cannot be played."""
    if not arguments.names:
        raise ValueError("got no environment; name one, as in `code_fn`")
    if min(arguments.fuzz, arguments.learn) < 0:
        raise ValueError(
            f"got --fuzz {arguments.fuzz} --learn {arguments.learn}, wanted 0 or more"
        )
    attacks = tuple(one.name for one in chosen(arguments.only))
    for name in dict.fromkeys(arguments.names):
        for backend in _backends(arguments.backend, takes_sandboxes(name)):
            yield Plan(
                name, backend, attacks, arguments.quick, arguments.fuzz, arguments.learn
            )


def _backends(wanted: str, takes: bool) -> list[str]:
    kinds = sandbox_kinds()
    if not takes:
        if wanted in kinds:
            raise ValueError(
                f"got --backend {wanted} for an environment whose constructor has no argument "
                "`sandboxes`; leave --backend out, or let it take a pool"
            )
        return [OWN]
    if wanted in kinds:
        if kinds[wanted]:
            raise ValueError(
                f"got --backend {wanted}, which cannot run here: {kinds[wanted]}"
            )
        return [wanted]
    able = [kind for kind, reason in kinds.items() if not reason]
    if not able:
        raise ValueError("no sandbox on this machine: " + "; ".join(kinds.values()))
    for kind, reason in kinds.items():
        if reason:
            print(f"{kind} is left out: {reason}", file=sys.stderr)
    return able


class _Lines:
    """What is seen: a status with the time left, a block for each finding, the sums."""

    def __init__(self, *, quiet: bool) -> None:
        self.findings: list[Finding] = []
        self._quiet = quiet
        self._played = 0
        self._skipped: list[str] = []
        self._learned: list[str] = []
        self._started = time.monotonic()
        console = Console(stderr=True, highlight=False)
        self._status = console.status("starting") if console.is_terminal else None
        if self._status is not None:
            self._status.start()

    def play(self, plan: Plan) -> None:
        """Plays a plan and shows what comes."""
        started = time.monotonic()
        place = f"{plan.env} on {plan.backend}" if plan.backend != OWN else plan.env
        last = None
        for last in played_alone(plan):
            self._told(plan, place, last, time.monotonic() - started)
        if last is not None and not last.skipped:
            self._played += last.of
            if not self._quiet:
                took_s = time.monotonic() - started
                print(f"{place}: {last.of} played in {took_s:.0f} s", flush=True)

    def _told(self, plan: Plan, place: str, said: Said, took_s: float) -> None:
        for finding in said.findings:
            self.findings.append(finding)
            if not self._quiet:
                print(_block(finding), flush=True)
        if said.skipped:
            self._skipped.append(f"{place} skipped: {said.skipped}")
        if said.learned:
            self._learned.append(f"{place}: {said.learned}")
        if self._status is not None and said.of:
            left_s = took_s / max(said.at, 1) * (said.of - said.at)
            left = f", about {left_s:.0f} s left" if said.at else ""
            self._status.update(f"{place} {said.at}/{said.of}{left}: {said.doing}")

    def stop(self) -> None:
        """Gives the terminal back."""
        if self._status is not None:
            self._status.stop()

    def finish(self) -> None:
        """The sums, or everything as JSON."""
        if self._quiet:
            data = {
                "played": self._played,
                "findings": [asdict(one) for one in self.findings],
                "skipped": self._skipped,
                "learned": self._learned,
            }
            print(json.dumps(data, indent=2))
            return
        for line in (*self._learned, *self._skipped):
            print(line)
        counts = {what: 0 for what in dict.fromkeys(one.what for one in self.findings)}
        for one in self.findings:
            counts[one.what] += 1
        told = (
            ", ".join(f"{number} {what}" for what, number in counts.items())
            or "nothing stolen"
        )
        took_s = time.monotonic() - self._started
        print(f"{self._played} played: {told}; {took_s:.0f} s")


def _block(finding: Finding) -> str:
    backend = f" on {finding.backend}" if finding.backend != OWN else ""
    head = f"{finding.what.upper()} {finding.env}{backend}: {finding.attack} ({finding.kind})"
    detail = finding.detail.replace("\n", "\n  ")
    by = ", by the turns" if finding.turns else ""
    turns = [f"    {_cut(turn)}" for turn in finding.turns]
    return "\n".join([head, f"  {detail}", f"  at {finding.target}{by}", *turns])


def _cut(turn: str, most: int = 2000) -> str:
    return (
        turn
        if len(turn) <= most
        else f"{turn[:most]}... ({len(turn)} characters; see --json)"
    )


def _parser() -> argparse.ArgumentParser:
    kinds = "\n".join(
        f"  {kind:10}{sum(one.kind == kind for one in BOOK):3} attacks: {about}"
        for kind, about in KINDS.items()
    )
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Plays a book of attacks on the grader of a code environment. A wrong solution "
        "that is paid is a theft; so is a later episode that is spoilt or helped.",
        epilog=EXAMPLES + kinds,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("names", nargs="*", metavar="NAME", help="an environment, as `env=` takes it")
    backends = ("docker", "local", "both")
    add(
        "--backend",
        choices=backends,
        default="both",
        help="of the sandboxes; both where both run",
    )
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="kinds, names, or words of names",
    )
    add("--quick", action="store_true", help="at one place alone")
    add(
        "--fuzz",
        type=int,
        default=0,
        metavar="N",
        help="composed submissions at each place",
    )
    add(
        "--learn",
        type=int,
        default=0,
        metavar="N",
        help="groups of 8 episodes of a policy",
    )
    add("--json", action="store_true", help="the findings as JSON on standard output")
    add(
        "--list",
        action="store_true",
        help="the book: kind, name, and what each attack steals",
    )
    return made


if __name__ == "__main__":
    main()
