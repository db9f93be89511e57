"""Runs a unittest module and reports each test. Its text is executed inside a box.

The parent holds the nonce and writes the report; a forked child imports the submission and sends
`[test, reason]` lines over a pipe, reason "" for a pass. The child is forked before the nonce is
read and closes stdin, so no frame, global or descriptor of the submission's process leads to it;
and the parent closes its memory and descriptors to other processes of its user.

Standard input: one JSON object {"nonce": str, "module": str}.
Standard output: one line, the nonce, a space, and a JSON list of [test, reason].
"""

import ctypes
import json
import os
import sys

PR_SET_DUMPABLE = 4
# Both together keep the report of the largest suite below the boxes' output cap of 64 KiB.
REPORT_BYTES = 40_000
REASON_CHARS = 100


def run_suite(module: str, pipe: int) -> None:
    """Runs every test of a module of the working directory; one JSON line each into the pipe."""
    import unittest

    class Report(unittest.TestResult):
        def startTest(self, test: unittest.TestCase) -> None:
            self.reason = ""

        def stopTest(self, test: unittest.TestCase) -> None:
            name = test.id().partition(".")[2]
            os.write(pipe, json.dumps([name, self.reason]).encode() + b"\n")

        def note(self, kind: type[BaseException] | None, error: object) -> None:
            first = str(error).strip().partition("\n")[0]
            self.reason = f"{getattr(kind, '__name__', kind)}: {first}"[:REASON_CHARS]

        def addError(self, test: object, err: tuple) -> None:
            self.note(*err[:2])

        def addFailure(self, test: object, err: tuple) -> None:
            self.note(*err[:2])

        def addSubTest(self, test: object, subtest: object, err: tuple | None) -> None:
            if err is not None:
                self.note(*err[:2])

        def addSkip(self, test: object, reason: str) -> None:
            self.reason = f"skipped: {reason}"[:REASON_CHARS]

    sys.dont_write_bytecode = True
    sys.path.insert(0, os.getcwd())
    unittest.defaultTestLoader.loadTestsFromModule(__import__(module)).run(Report())


def child(go: int, pipe: int) -> None:
    """The submission's process: no standard streams, and nothing of the request but its module."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    module = os.read(go, 200).decode()
    try:
        run_suite(module, pipe)
    finally:
        error = sys.exc_info()[1]  # of the import: tests report their own
        if error is not None:
            line = ["import", f"{type(error).__name__}: {error}"[:REASON_CHARS]]
            os.write(pipe, json.dumps(line).encode() + b"\n")
        os._exit(0)


def main() -> None:
    report, pipe = os.pipe()
    go, start = os.pipe()
    if os.fork() == 0:
        os.close(report)
        os.close(start)
        child(go, pipe)
    os.close(pipe)
    os.close(go)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    request = json.loads(sys.stdin.readline())
    os.write(start, request["module"].encode())
    results = []
    with os.fdopen(report, "rb") as lines:
        for line in lines.read(REPORT_BYTES).splitlines():
            try:
                name, reason = json.loads(line)
            except ValueError:
                continue
            results.append([str(name), str(reason)])
    sys.stdout.write(f"{request['nonce']} {json.dumps(results)}\n")


if __name__ == "__main__":
    main()
