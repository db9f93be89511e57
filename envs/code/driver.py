"""Runs a unittest module and reports each test. Its text is executed inside a sandbox.

The parent holds the nonce and writes the report; a forked child imports the submission and sends
events over a pipe, one JSON line each. The child is forked before the nonce is read and closes
stdin, so no frame, global or descriptor of the submission's process leads to it; and the parent
closes its memory and descriptors to other processes of its user. What the events mean is decided
elsewhere (see `evidence.py`).

Standard input: one JSON object {"nonce": str, "module": str, "control": str, "kinds": [str]}.
Standard output: one line, the nonce, a space, and a JSON list of events, null for a spoilt one.

| event | meaning |
|---|---|
| ["start", test] | a test began |
| ["end", status, reason] | it ended: passed, failed, skipped, or did not end |
| ["over", count] | the suite is over, after `count` tests |
| ["broke", reason] | something else ended it, or the module cannot be imported |
"""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, BinaryIO, NoReturn

PR_SET_DUMPABLE = 4
# Both together keep the report of the largest suite below the sandboxes' output cap of 64 KiB.
REPORT_BYTES = 56_000
REASON_CHARS = 100


def description(kind: type[BaseException] | None, error: object) -> str:
    """The exception's class and the first line of its text, which may be beyond printing."""
    name = getattr(kind, "__name__", kind)
    try:
        text = str(error).strip().partition("\n")[0]
    except BaseException:  # noqa: BLE001 - a submission's exception may do anything
        text = "its text cannot be had"
    return f"{name}: {text}"[:REASON_CHARS]


def add_control(module: ModuleType, name: str, kinds: list[str]) -> None:
    """Adds a test class with a random name to a module.

    One of its tests must pass, and all others must fail. `kinds`: what each test does, in order.
    """
    import unittest

    calls: dict[str, tuple[str, tuple[object, ...]]] = {
        "pass": ("assertEqual", ([1], [1])),
        "equal": ("assertEqual", ([1], [2])),
        "true": ("assertTrue", (0,)),
        "false": ("assertFalse", ("x",)),
        "in": ("assertIn", (1, (2, 3))),
        "is": ("assertIs", (None, 0)),
        "raises": ("assertRaises", (ValueError, int, "1")),
        "fail": ("fail", ()),
    }

    # A function of its own, so that each test closes over its own method and arguments.
    def test(
        method: str, arguments: tuple[object, ...]
    ) -> Callable[[unittest.TestCase], None]:
        """A test that makes one call of an assertion."""
        return lambda case: getattr(case, method)(*arguments)

    tests: dict[str, object] = {"__module__": module.__name__}
    for number, kind in enumerate(kinds):
        method, arguments = calls[kind]
        tests[f"test_{number}"] = test(method, arguments)
    setattr(module, name, type(name, (unittest.TestCase,), tests))


def run_suite(request: Mapping[str, Any], pipe: int) -> None:
    """Runs every test of a module of the working directory; one JSON line an event into the pipe.

    `request` is what standard input holds, less the nonce.
    """
    import unittest

    def send(*event: object) -> None:
        """Writes one event, in one call: a submission's threads may write as well."""
        os.write(pipe, json.dumps(event).encode() + b"\n")

    class Report(unittest.TestResult):
        def startTest(self, test: unittest.TestCase) -> None:
            """Sends that a test began."""
            # Only unittest's own word for a success makes it one.
            self.status = "did not end"
            self.reason = ""
            send("start", test.id().partition(".")[2])
            self.testsRun += 1

        def stopTest(self, test: unittest.TestCase) -> None:
            """Sends how the test ended."""
            send("end", self.status, self.reason)

        def note(self, kind: type[BaseException] | None, error: object) -> None:
            """The test failed by an exception, whatever it reports later."""
            self.status = "failed"
            self.reason = description(kind, error)

        def addError(self, test: object, err: tuple) -> None:
            """An exception that is no assertion's is a failure."""
            self.note(*err[:2])

        def addFailure(self, test: object, err: tuple) -> None:
            """An assertion failed."""
            self.note(*err[:2])

        def addSubTest(self, test: object, subtest: object, err: tuple | None) -> None:
            """A part of a test that fails makes the test fail."""
            if err is not None:
                self.note(*err[:2])

        def addSkip(self, test: object, reason: str) -> None:
            """A skipped test is no pass."""
            self.status = "skipped"
            self.reason = f"skipped: {reason}"[:REASON_CHARS]

        def addUnexpectedSuccess(self, test: object) -> None:
            """A test that is marked as failing must fail."""
            self.status = "failed"
            self.reason = "passed, where a failure was expected"

        def addExpectedFailure(self, test: object, err: tuple) -> None:
            """So it passes if it does."""
            self.status = "passed"

        def addSuccess(self, test: object) -> None:
            """Unittest's own word for a pass."""
            # A failed subtest came before: unittest reports a success all the same.
            if self.status == "did not end":
                self.status = "passed"

    sys.dont_write_bytecode = True
    sys.path.insert(0, os.getcwd())
    module = __import__(request["module"])
    add_control(module, request["control"], request["kinds"])
    report = Report()
    unittest.defaultTestLoader.loadTestsFromModule(module).run(report)
    send("over", report.testsRun)


def child(go: int, pipe: int) -> NoReturn:
    """The submission's process: no standard streams, and nothing of the request but its module."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)

    request = json.loads(os.read(go, 2000))
    try:
        run_suite(request, pipe)
    except BaseException as error:  # noqa: BLE001 - what ended the run is its report
        line = json.dumps(["broke", description(type(error), error)])
        os.write(pipe, line.encode() + b"\n")
    finally:
        os._exit(0)


def events(report: BinaryIO) -> list[Any]:
    """The events that a child sent.

    None stands for a line that is not JSON, and at the end for a report that is truncated.
    """
    data = report.read(REPORT_BYTES)
    *lines, rest = data.split(b"\n")
    # Without an end of its last line the report broke off there; what it holds may still be JSON.
    if rest:
        lines.append(rest)

    received: list[Any] = []
    for line in lines:
        try:
            received.append(json.loads(line))
        except (ValueError, RecursionError):
            received.append(None)
    if report.read(1):
        received.append(None)
    return received


def main() -> None:
    """Forks the submission's process, then reads the nonce and writes the report."""
    report, pipe = os.pipe()
    go, start = os.pipe()
    if os.fork() == 0:
        os.close(report)
        os.close(start)
        child(go, pipe)
    os.close(pipe)
    os.close(go)

    # Before the nonce is read, so that no process of this user can look for it here.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    request = json.loads(sys.stdin.readline())
    nonce = request.pop("nonce")
    os.write(start, json.dumps(request).encode())

    with os.fdopen(report, "rb") as lines:
        received = events(lines)
    sys.stdout.write(f"{nonce} {json.dumps(received)}\n")


if __name__ == "__main__":
    main()
