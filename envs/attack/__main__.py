"""`scgrpo envs attack`: what can a policy steal from an environment that runs code?"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.text import Text

from envs.attack.book import BOOK, select_attacks
from envs.attack.engine import OWN, Finding, sandbox_kinds, takes_sandboxes
from envs.attack.model import KINDS
from envs.attack.session import Message, Plan, play_in_workers
from sandboxes import SandboxError
from sandboxes.commands import exit_codes
from sandboxes.terminal import terminal

__all__ = ["main"]

PROG = "scgrpo envs attack"
MAX_TURN = 2000
"""Characters of a turn that are printed."""
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

The turns of a theft reproduce it: pass them to `scgrpo envs play NAME`, or take
them from --json. Exit code 0: nothing was stolen; 1: something was; 2: bad arguments.

kinds:
"""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        for attack in BOOK:
            print(f"{attack.kind:9} {attack.name}: {attack.steals}")
        return

    with exit_codes(PROG, bad_input=(ImportError, SandboxError)):
        lines = _Lines(quiet=arguments.json)
        try:
            for plan in _plans(arguments):
                lines.play(plan)
        finally:
            lines.stop()
    lines.finish()
    sys.exit(int(bool(lines.findings)))


def _plans(arguments: argparse.Namespace) -> Iterator[Plan]:
    """A plan for each environment and backend. Raises ValueError for what cannot be played."""
    if not arguments.names:
        raise ValueError("got no environment; name one, as in `code_fn`")
    if min(arguments.fuzz, arguments.learn) < 0:
        raise ValueError(
            f"got --fuzz {arguments.fuzz} --learn {arguments.learn}, expected 0 or more"
        )
    attacks = tuple(attack.name for attack in select_attacks(arguments.only))
    for name in dict.fromkeys(arguments.names):
        for backend in _backends(arguments.backend, takes_sandboxes(name)):
            yield Plan(
                env=name,
                backend=backend,
                attacks=attacks,
                quick=arguments.quick,
                fuzz=arguments.fuzz,
                learn=arguments.learn,
            )


def _backends(choice: str, takes_pool: bool) -> list[str]:
    """The backends to play on: `choice`, or for `both` those that run here."""
    kinds = sandbox_kinds()
    if not takes_pool:
        if choice in kinds:
            raise ValueError(
                f"got --backend {choice} for an environment whose constructor has no argument "
                "`sandboxes`; leave --backend out, or let it take a pool"
            )
        return [OWN]
    if choice in kinds:
        if kinds[choice]:
            raise ValueError(
                f"got --backend {choice}, which cannot run here: {kinds[choice]}"
            )
        return [choice]

    # `both` takes what there is, but says what it leaves out.
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
        self._plays = 0
        self._skips: list[str] = []
        self._lessons: list[str] = []
        self._start_s = time.monotonic()
        console = terminal(stderr=True)
        self._status = console.status("starting") if console.is_terminal else None
        if self._status is not None:
            self._status.start()

    def play(self, plan: Plan) -> None:
        """Plays a plan and shows what comes."""
        started = time.monotonic()
        place = f"{plan.env} on {plan.backend}" if plan.backend != OWN else plan.env
        last = None
        for last in play_in_workers(plan):
            # A long run shows each theft as it comes.
            self._show(place, last)
            self._show_progress(place, last, time.monotonic() - started)

        if last is not None and not last.skipped:
            self._plays += last.of
            if not self._quiet:
                took_s = time.monotonic() - started
                print(f"{place}: {last.of} played in {took_s:.0f} s", flush=True)

    def _show(self, place: str, message: Message) -> None:
        for finding in message.findings:
            self.findings.append(finding)
            if not self._quiet:
                print(_block(finding), flush=True)
        if message.skipped:
            self._skips.append(f"{place} skipped: {message.skipped}")
        if message.learned:
            self._lessons.append(f"{place}: {message.learned}")

    def _show_progress(self, place: str, message: Message, took_s: float) -> None:
        if self._status is None or not message.of:
            return
        left = ""
        # Before the first action has ended, its time says nothing.
        if message.at:
            left_s = took_s / message.at * (message.of - message.at)
            left = f", about {left_s:.0f} s left"
        done = f"{message.at}/{message.of}"
        self._status.update(Text(f"{place} {done}{left}: {message.doing}"))

    def stop(self) -> None:
        """Gives the terminal back."""
        if self._status is not None:
            self._status.stop()

    def finish(self) -> None:
        """The sums, or everything as JSON."""
        if self._quiet:
            data = {
                "played": self._plays,
                "findings": [asdict(finding) for finding in self.findings],
                "skipped": self._skips,
                "learned": self._lessons,
            }
            print(json.dumps(data, indent=2))
            return

        # At the end, because a block of findings may have pushed them out of sight.
        for line in (*self._lessons, *self._skips):
            print(line)
        counts = Counter(finding.what for finding in self.findings)
        sums = ", ".join(f"{number} {what}" for what, number in counts.items())
        took_s = time.monotonic() - self._start_s
        print(f"{self._plays} played: {sums or 'nothing stolen'}; {took_s:.0f} s")


def _block(finding: Finding) -> str:
    """A finding, with the turns that reproduce it."""
    backend = f" on {finding.backend}" if finding.backend != OWN else ""
    head = f"{finding.what.upper()} {finding.env}{backend}: {finding.attack} ({finding.kind})"
    detail = finding.detail.replace("\n", "\n  ")
    by = ", by the turns" if finding.turns else ""
    turns = [f"    {_shorten(turn)}" for turn in finding.turns]
    return "\n".join([head, f"  {detail}", f"  at {finding.target}{by}", *turns])


def _shorten(turn: str) -> str:
    if len(turn) <= MAX_TURN:
        return turn
    return f"{turn[:MAX_TURN]}... ({len(turn)} characters; see --json)"


def _kinds_help() -> str:
    counts = Counter(attack.kind for attack in BOOK)
    lines = [
        f"  {kind:10}{counts[kind]:3} attacks: {about}" for kind, about in KINDS.items()
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Plays a book of attacks on the grader of a code environment. A wrong solution "
        "that is paid is a theft; so is a later episode that is spoilt or helped.",
        epilog=EXAMPLES + _kinds_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="an environment, as `env=` takes it")
    add(
        "--backend",
        choices=("docker", "local", "both"),
        default="both",
        help="of the sandboxes; both if both run",
    )
    add(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="kinds, names, or words of names",
    )
    add("--quick", action="store_true", help="at one place alone")
    number = {"type": int, "default": 0, "metavar": "N"}
    add("--fuzz", **number, help="composed submissions at each place")
    add("--learn", **number, help="groups of 8 episodes of a policy")
    add("--json", action="store_true", help="the findings as JSON on standard output")
    add(
        "--list",
        action="store_true",
        help="the book: kind, name, and what each attack steals",
    )
    return parser


if __name__ == "__main__":
    main()
