"""Judges the modules of a folder. Runs in the container of a Harbor task.

As in the environment that the task comes from: what a submission runs in holds no expected value,
or its report is believed only together with a run that does not; each run has a deadline, and runs
as a user that can neither read this folder nor reach this process. Beside this file lie the parts
of `envs.code` that do so, wanted.json, and right/ with the right modules, their full tests and
their witnesses.

Arguments: the folder with the modules, and the file that gets 1 or 0. `--same-user` as a third one
lets submissions run as the grader's own user, where no other user can start this Python.
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
END_ALL = "import os, signal; os.kill(-1, signal.SIGKILL)"


class Runner:
    """Runs Python as a user of its own, without a right to this process and its files.

    Exits where there can be no such user.
    """

    def __init__(self, timeout_s: float, same_user: bool) -> None:
        self.timeout_s = timeout_s
        self.user: int | None = None
        if not same_user:
            self.user = secrets.choice(USERS)
            try:
                process = self.start(["-c", "import json, unittest"], "/")
                process.communicate(timeout=60)
                fault = f"status {process.returncode}" if process.returncode else ""
            except OSError as error:
                fault = str(error)
            if fault:
                sys.exit(
                    f"got {fault}, wanted to be root, and a Python that others may start"
                )

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
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            if self.user is not None:
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    os.chown(path, self.user, self.user)
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
            said = self.run("observe.py", files, json.dumps(request).encode() + b"\n")
            return json.loads(said or b"")
        except (ValueError, RecursionError):
            return None


def module_complaint(runner: Runner, name: str, text: bytes, tests: list[str]) -> str:
    """What is wrong with a module that has tests and a witness; empty where nothing is."""
    # Files of this folder, which are below `envs.code` everywhere else.
    from evidence import Request  # pyright: ignore[reportMissingImports]
    from values import cases, differences  # pyright: ignore[reportMissingImports]
    from vet import new_reach  # pyright: ignore[reportMissingImports]

    right = (HERE / "right" / f"{name}.py").read_bytes()
    if reach := new_reach(right.decode(), text.decode(errors="surrogateescape")):
        return f"the change brings in {', '.join(reach)[:200]}"
    witness = f"witness_{name}"
    cases_of = {f"{witness}.py": (HERE / "right" / f"{witness}.py").read_bytes()}
    wanted = cases(runner.ask({f"{name}.py": right, **cases_of}, witness=witness))
    if not wanted:
        sys.exit(f"the right {name}.py gave nothing in {runner.timeout_s:g} s")
    given = cases(runner.ask({f"{name}.py": text, **cases_of}, witness=witness))
    request = Request(f"test_{name}")
    files = {
        f"{name}.py": text,
        f"test_{name}.py": (HERE / "right" / f"test_{name}.py").read_bytes(),
    }
    said = runner.run("driver.py", files, request.line())
    if failed := request.read(said or b"").failures(tests):
        return f"{len(failed)} of {len(tests)} tests fail"
    different = sum(1 for _ in differences(wanted, given))
    return f"{different} calls give what is not right" if different else ""


def calls_complaint(
    runner: Runner, text: bytes, entry: str, arguments: list[Any], values: list[Any]
) -> str:
    """What is wrong with a function whose calls have to give certain values."""
    from values import same  # pyright: ignore[reportMissingImports]

    calls = [[entry, one] for one in arguments]
    given = runner.ask({"solution.py": text}, module="solution", calls=calls)
    if not isinstance(given, list) or len(given) != len(values):
        return "the calls broke off, or took too long"
    failed = sum(not same(one, other) for one, other in zip(values, given, strict=True))
    return f"{failed} of {len(values)} calls fail" if failed else ""


def check_complaint(runner: Runner, text: bytes, entry: str, check: str) -> str:
    """What is wrong with a function that HumanEval's check is about."""
    right = (HERE / "right" / "solution.py").read_bytes()
    known = runner.ask(
        {"solution.py": right}, module="solution", entry=entry, check=check
    )
    if not isinstance(known, dict) or not known["passed"]:
        sys.exit("the right solution.py does not pass the check here")
    calls = [[entry, one] for one in known["arguments"]]
    given = runner.ask({"solution.py": text}, module="solution", calls=calls)
    if not isinstance(given, list) or len(given) != len(known["arguments"]):
        return "the calls broke off, or took too long"
    verdict = runner.ask({}, entry=entry, check=check, values=given)
    held = isinstance(verdict, dict) and verdict.get("passed") is True
    return "" if held else "the check fails"


def submitted(folder: Path, name: str) -> bytes | None:
    """The text of a module; None where it is no regular file."""
    path = folder / f"{name}.py"
    return None if path.is_symlink() or not path.is_file() else path.read_bytes()


def main() -> None:
    folder, reward = map(Path, sys.argv[1:3])
    wanted = json.loads((HERE / "wanted.json").read_text("utf-8"))
    same_user = "--same-user" in sys.argv[3:]
    runner = Runner(wanted["timeout_s"], same_user)
    if not same_user:
        HERE.chmod(0o700)
    complaints = {}
    for name, judge in wanted["modules"].items():
        text = submitted(folder, name)
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


if __name__ == "__main__":
    main()
