"""What the report of a test run proves: the only place that takes a test for passed.

A pass is evidence, never the absence of bad news: a test counts where the report says, once and in
order, that it began, that it ended, and that it passed, and where the whole run ended as a run
does. Each run also holds control tests of a random name, of which one must pass and all others
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

__all__ = ["Evidence", "Request", "judged"]

KINDS = ("pass", "equal", "true", "false", "in", "is", "raises", "fail")
"""Controls of `driver.py`; only the first must pass."""

STATUSES = ("passed", "failed", "skipped", "did not end")


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
    control: str = field(
        default_factory=lambda: (
            secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") + secrets.token_hex(6)
        )
    )
    kinds: tuple[str, ...] = field(
        default_factory=lambda: tuple(random.SystemRandom().sample(KINDS, len(KINDS)))
    )

    def line(self) -> bytes:
        """What `driver.py` reads from standard input."""
        return json.dumps(vars(self)).encode() + b"\n"

    def controls(self) -> dict[str, str]:
        """Control test -> the status that it must have."""
        return {
            f"{self.control}.test_{place}": "passed" if kind == KINDS[0] else "failed"
            for place, kind in enumerate(self.kinds)
        }

    def read(self, output: bytes) -> Evidence:
        """What the standard output of `driver.py` proves."""
        lines = output.decode(errors="replace").split("\n")
        reports = [line for line in lines if line.startswith(f"{self.nonce} ")]
        if len(reports) != 1:
            return Evidence({}, f"{len(reports)} reports, wanted 1")
        try:
            events = json.loads(reports[0][len(self.nonce) :])
        except (ValueError, RecursionError):
            return Evidence({}, "the report is no JSON")
        return judged(events, self.controls())


@dataclass(frozen=True)
class Evidence:
    """What a report proves.

    | field | meaning |
    |---|---|
    | reasons | test -> why it is no success, "" for a proven pass; without the controls |
    | fault | why the report as a whole proves nothing; empty where it is sound |
    """

    reasons: Mapping[str, str]
    fault: str = ""

    def failed(self, wanted: Collection[str]) -> list[str]:
        """The tests named in advance that are not proven to have passed."""
        return [test for test in wanted if self.fault or self.reasons.get(test) != ""]


def judged(events: Any, controls: Mapping[str, str]) -> Evidence:
    """What a list of events proves (see `driver.py`); any JSON value may stand in its place.

    `controls`: test -> the status that it must have.
    """
    statuses: dict[str, str] = {}
    reasons: dict[str, str] = {}
    running: str | None = None
    fault, over = "", False
    for event in events if isinstance(events, list) else [None]:
        if over:
            fault = fault or "an event came after the end"
        match event:
            case ["start", str(test)]:
                if running is not None:
                    fault = fault or f"{test} began before {running} had ended"
                if test in statuses:
                    fault = fault or f"{test} ran twice"
                running, statuses[test], reasons[test] = (
                    test,
                    "did not end",
                    "did not end",
                )
            case ["end", str(status), str(reason)] if status in STATUSES:
                if running is None:
                    fault = fault or "a test ended that had not begun"
                    continue
                statuses[running] = status
                reasons[running] = "" if status == "passed" else reason or status
                running = None
            case ["over", int(count)] if not isinstance(count, bool):
                over = True
                if running is not None or count != len(statuses):
                    fault = (
                        fault
                        or f"over after {count} tests, of which {len(statuses)} were told"
                    )
            case ["broke", str(reason)]:
                reasons["import" if not statuses else running or "the run"] = (
                    reason or "broke off"
                )
                fault = fault or f"the run broke off: {reason}"
            case _:
                fault = fault or "a line is no event"
    if not over:
        fault = fault or "the run broke off"
    for test, wanted in controls.items():
        if statuses.get(test) != wanted:
            got = statuses.get(test, "missing")
            fault = fault or f"a control test that must be {wanted} is {got}"
        reasons.pop(test, None)
    return Evidence(reasons, fault)
