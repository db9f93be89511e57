"""What the report of a test run proves: the only place that decides whether a test passed.

A pass is evidence, never the absence of bad news: a test counts if the report says, once and in
order, that it began, that it ended, and that it passed, and if the whole run ended as a run
does. Each run also holds control tests of a random name: one of them must pass and all others
must fail, so a run in which everything passes by patching or forging proves nothing.

Standard library only: the graders of exported tasks run this file in their containers.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from envs.plain import json_in_utf8

__all__ = ["Evidence", "Request", "evidence_of"]

KINDS = ("pass", "equal", "true", "false", "in", "is", "raises", "fail")
"""Controls of `driver.py`; only the first must pass."""

STATUSES = ("passed", "failed", "skipped", "did not end")


def _random_class_name() -> str:
    letter = secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return letter + secrets.token_hex(6)


def _shuffle_kinds() -> tuple[str, ...]:
    generator = random.SystemRandom()
    kinds = generator.sample(KINDS, len(KINDS))
    return tuple(kinds)


@dataclass(frozen=True)
class Request:
    """What a run of a test module is asked for, and what only its report can know.

    | field | meaning |
    |---|---|
    | module | name of the test module |
    | nonce | begins the line of the report; the submission's process never has it |
    | control | random name of the class of control tests |
    | kinds | of its tests, in random order |
    """

    module: str
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    control: str = field(default_factory=_random_class_name)
    kinds: tuple[str, ...] = field(default_factory=_shuffle_kinds)

    def line(self) -> bytes:
        """What `driver.py` reads from standard input."""
        text = json.dumps(vars(self))
        return text.encode() + b"\n"

    def controls(self) -> dict[str, str]:
        """Control test -> the status that it must have."""
        statuses: dict[str, str] = {}
        for number, kind in enumerate(self.kinds):
            status = "passed" if kind == KINDS[0] else "failed"
            statuses[f"{self.control}.test_{number}"] = status
        return statuses

    def read(self, output: bytes) -> Evidence:
        """What the standard output of `driver.py` proves."""
        lines = output.decode(errors="replace").split("\n")
        reports = [line for line in lines if line.startswith(f"{self.nonce} ")]
        if len(reports) != 1:
            return Evidence({}, f"{len(reports)} reports, wanted 1")
        (report,) = reports
        try:
            # What a policy's code says must not make its episode an errored one.
            events = json_in_utf8(report.removeprefix(self.nonce))
        except (ValueError, RecursionError):
            return Evidence({}, "the report is no JSON")
        return evidence_of(events, self.controls())


@dataclass(frozen=True)
class Evidence:
    """What a report proves.

    | field | meaning |
    |---|---|
    | reasons | test -> why it is no success, "" for a proven pass; without the controls |
    | fault | why the report as a whole proves nothing; empty if it is sound |
    """

    reasons: Mapping[str, str]
    fault: str = ""

    def failures(self, tests: Collection[str]) -> list[str]:
        """Which of the tests, named in advance, are not proven to have passed."""
        if self.fault:
            return list(tests)
        return [test for test in tests if self.reasons.get(test) != ""]


class _Reading:
    """Follows the events of a report one by one; the first thing that is wrong is its fault."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.fault = ""
        self.over = False
        self._running: str | None = None

    def complain(self, fault: str) -> None:
        """Notes a fault, unless there was one before."""
        self.fault = self.fault or fault

    def read(self, event: Any) -> None:
        """Follows one event, which may be any JSON value."""
        if self.over:
            self.complain("an event came after the end")
        match event:
            case ["start", str(test)]:
                self._start(test)
            case ["end", str(status), str(reason)] if status in STATUSES:
                self._end(status, reason)
            # A bool is an int to `match`, but no driver counts in booleans.
            case ["over", int(count)] if not isinstance(count, bool):
                self._finish(count)
            case ["broke", str(reason)]:
                self._break_off(reason)
            case _:
                self.complain("a line is no event")

    def _start(self, test: str) -> None:
        if self._running is not None:
            self.complain(f"{test} began before {self._running} had ended")
        if test in self.statuses:
            self.complain(f"{test} ran twice")
        self._running = test
        self.statuses[test] = "did not end"
        self.reasons[test] = "did not end"

    def _end(self, status: str, reason: str) -> None:
        if self._running is None:
            self.complain("a test ended that had not begun")
            return
        # An empty reason is the proof of a pass, so any other end must have one.
        explanation = "" if status == "passed" else reason or status
        self.statuses[self._running] = status
        self.reasons[self._running] = explanation
        self._running = None

    def _finish(self, count: int) -> None:
        self.over = True
        reports = len(self.statuses)
        if self._running is not None or count != reports:
            self.complain(f"over after {count} tests, of which {reports} were told")

    def _break_off(self, reason: str) -> None:
        culprit = self._running or "the run"
        # Without any test it was the import that failed.
        if not self.statuses:
            culprit = "import"
        self.reasons[culprit] = reason or "broke off"
        self.complain(f"the run broke off: {reason}")


def evidence_of(events: Any, controls: Mapping[str, str]) -> Evidence:
    """What a list of events proves (see `driver.py`); any JSON value may stand in its place.

    `controls`: test -> the status that it must have.
    """
    if not isinstance(events, list):
        events = [None]
    reading = _Reading()
    for event in events:
        reading.read(event)
    if not reading.over:
        reading.complain("the run broke off")

    # Last, so that whatever patched the runner from its first test to its last is seen.
    for test, expected in controls.items():
        status = reading.statuses.get(test, "missing")
        if status != expected:
            reading.complain(f"a control test that must be {expected} is {status}")
        reading.reasons.pop(test, None)
    return Evidence(reading.reasons, reading.fault)
