"""Judges the modules of a folder. Runs in the container of a Harbor task.

As in the environment that the task comes from: the process of a submission holds no expected
value, or its report counts only together with a run that holds none; each run has a deadline, and
runs as a user that can neither read this folder nor reach this process. This folder also has the
parts of `envs.code` that do so, expected.json, and right/ with the right modules, their full tests
and their witnesses.

Arguments: the folder with the modules, and the file that gets 1 or 0. `--same-user` as a third one
lets submissions run as the grader's own user, if no other user can start this Python.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENV = {
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}
USERS = range(61184, 65520)
BROKEN_OFF = "the calls broke off, or took too long"
END_ALL = "import os, signal; os.kill(-1, signal.SIGKILL)"


class Runner:
    """Runs Python as a user of its own, without a right to this process and its files.

    Exits if there can be no such user.
    """

    def __init__(self, timeout_s: float, same_user: bool) -> None:
        self.timeout_s = timeout_s
        self.user: int | None = None
        if not same_user:
            self.user = secrets.choice(USERS)
            if fault := self._start_fault():
                sys.exit(
                    f"got {fault}, expected to be root, and a Python that others may start"
                )

    def _start_fault(self) -> str:
        """Why the user cannot run Python; empty if it can."""
        try:
            process = self.start(["-c", "import json, unittest"], "/")
            process.communicate(timeout=60)
        except OSError as error:
            return str(error)
        return f"status {process.returncode}" if process.returncode else ""

    def start(self, arguments: list[str], folder: str) -> subprocess.Popen[bytes]:
        """A process of Python in a folder, as the user of submissions."""
        return subprocess.Popen(
            [sys.executable, "-s", *arguments],
            cwd=folder,
            env={**ENV, "PATH": os.environ.get("PATH", os.defpath), "HOME": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else (),
        )

    def run(
        self, program: str, files: Mapping[str, bytes], request: bytes
    ) -> bytes | None:
        """What a file of this folder prints, run among the files; None past the deadline."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [folder]
            for name, content in files.items():
                path = Path(folder, name)
                path.write_bytes(content)
                paths.append(str(path))
            if self.user is not None:
                for path in paths:
                    os.chown(path, self.user, self.user)

            # The program is this folder's, which the user cannot read: it goes by argument.
            process = self.start(["-c", (HERE / program).read_text("ascii")], folder)
            try:
                return process.communicate(request, timeout=self.timeout_s)[0]
            except subprocess.TimeoutExpired:
                return None
            finally:
                self.end(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kills whatever a run has left: its session, and all else of its user."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if self.user is not None:
            self.start(["-c", END_ALL], "/").communicate()

    def ask(self, files: Mapping[str, bytes], **request: Any) -> Any:
        """The answer of observe.py; None if there is none."""
        try:
            line = json.dumps(request).encode() + b"\n"
            output = self.run("observe.py", files, line)
            return json.loads(output or b"")
        except (ValueError, RecursionError):
            return None


def module_complaint(runner: Runner, name: str, text: bytes, tests: list[str]) -> str:
    """What is wrong with a module that has tests and a witness; empty for a right one."""
    # Files of this folder, which are below `envs.code` everywhere else.
    from evidence import Request  # pyright: ignore[reportMissingImports]
    from values import cases, differences  # pyright: ignore[reportMissingImports]
    from vet import new_reach  # pyright: ignore[reportMissingImports]

    right = _right(f"{name}.py")
    if reach := new_reach(right.decode(), text.decode(errors="surrogateescape")):
        return f"the change brings in {', '.join(reach)[:200]}"

    # Both run the witness, which holds no expected value.
    witness = f"witness_{name}"
    files = {f"{witness}.py": _right(f"{witness}.py")}
    answer = runner.ask({**files, f"{name}.py": right}, witness=witness)
    expected = cases(answer)
    if not expected:
        sys.exit(f"the right {name}.py gave nothing in {runner.timeout_s:g} s")
    answer = runner.ask({**files, f"{name}.py": text}, witness=witness)
    results = cases(answer)

    # The tests hold expected values, so their report alone proves nothing.
    request = Request(f"test_{name}")
    files = {f"{name}.py": text, f"test_{name}.py": _right(f"test_{name}.py")}
    output = runner.run("driver.py", files, request.line())
    if failures := request.read(output or b"").failures(tests):
        return f"{len(failures)} of {len(tests)} tests fail"
    different = sum(1 for _ in differences(expected, results))
    return f"{different} calls give what is not right" if different else ""


def calls_complaint(
    runner: Runner, text: bytes, entry: str, arguments: list[Any], values: list[Any]
) -> str:
    """What is wrong with a function whose calls have to give certain values."""
    from values import same  # pyright: ignore[reportMissingImports]

    calls = [[entry, argument] for argument in arguments]
    results = runner.ask({"solution.py": text}, module="solution", calls=calls)
    if not isinstance(results, list) or len(results) != len(values):
        return BROKEN_OFF
    pairs = zip(values, results, strict=True)
    failures = sum(not same(value, result) for value, result in pairs)
    return f"{failures} of {len(values)} calls fail" if failures else ""


def check_complaint(runner: Runner, text: bytes, entry: str, check: str) -> str:
    """What is wrong with a function that HumanEval's check is about."""
    right = {"solution.py": _right("solution.py")}
    record = runner.ask(right, module="solution", entry=entry, check=check)
    if not isinstance(record, dict) or not record["passed"]:
        sys.exit("the right solution.py does not pass the check here")

    # The submission sees the calls alone; the check runs on its results in another process.
    calls = [[entry, argument] for argument in record["arguments"]]
    results = runner.ask({"solution.py": text}, module="solution", calls=calls)
    if not isinstance(results, list) or len(results) != len(record["arguments"]):
        return BROKEN_OFF
    verdict = runner.ask({}, entry=entry, check=check, values=results)
    passed = isinstance(verdict, dict) and verdict.get("passed") is True
    return "" if passed else "the check fails"


def read_submission(folder: Path, name: str) -> bytes | None:
    """The text of a module; None if it is no regular file."""
    path = folder / f"{name}.py"
    return None if path.is_symlink() or not path.is_file() else path.read_bytes()


def main() -> None:
    """Grades the folder of the first argument into the file of the second."""
    folder, reward = map(Path, sys.argv[1:3])
    expected = json.loads((HERE / "expected.json").read_text("utf-8"))
    same_user = "--same-user" in sys.argv[3:]
    runner = Runner(expected["timeout_s"], same_user)
    # What is right must stay unread by the user that runs submissions.
    if not same_user:
        HERE.chmod(0o700)

    complaints = {}
    for name, judge in expected["modules"].items():
        text = read_submission(folder, name)
        if text is None:
            complaints[name] = f"there is no file {folder / name}.py"
        elif "tests" in judge:
            complaints[name] = module_complaint(runner, name, text, **judge)
        elif "check" in judge:
            complaints[name] = check_complaint(runner, text, **judge)
        else:
            complaints[name] = calls_complaint(runner, text, **judge)
    for name, complaint in complaints.items():
        print(f"{name}: {complaint or 'passed'}")

    reward.parent.mkdir(parents=True, exist_ok=True)
    # It may be a link by now; no submission runs any more.
    reward.unlink(missing_ok=True)
    reward.write_text(f"{int(not any(complaints.values()))}\n")


def _right(file: str) -> bytes:
    return (HERE / "right" / file).read_bytes()


if __name__ == "__main__":
    main()
