"""Judges the modules of a folder by all of their tests. Runs in the container of a Harbor task.

As in the environment that the task comes from: each module stands alone with pristine tests, a
change that brings in a way out of its module is refused, and a test run has a deadline. Beside this
file lie driver.py, vet.py, wanted.json and right/, where each right module has its full tests.
Arguments: the folder with the modules, and the file that gets 1 or 0.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENV = {"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def complaint(folder: Path, name: str, tests: list[str], timeout_s: float) -> str:
    """What is wrong with a module; empty where all of its tests pass."""
    # Its file lies beside this one in the container alone.
    from vet import new_reach  # pyright: ignore[reportMissingImports]

    path = folder / f"{name}.py"
    if path.is_symlink() or not path.is_file():
        return f"there is no file {path}"
    text = path.read_bytes().decode(errors="surrogateescape")
    right = (HERE / "right" / f"{name}.py").read_text("utf-8")
    if reach := new_reach(right, text):
        return f"the change brings in {', '.join(reach)[:200]}"
    reasons = run(name, text, timeout_s)
    failed = [test for test in tests if reasons.get(test) != ""]
    return f"{len(failed)} of {len(tests)} tests fail" if failed else ""


def run(name: str, text: str, timeout_s: float) -> dict[str, str]:
    """Test -> why it failed, "" for a pass; nothing where the deadline comes first."""
    tests = f"test_{name}"
    nonce = secrets.token_hex(16)
    request = json.dumps({"nonce": nonce, "module": tests}).encode() + b"\n"
    command = [sys.executable, "-s", "-c", (HERE / "driver.py").read_text("ascii")]
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, f"{name}.py").write_bytes(text.encode(errors="surrogateescape"))
        Path(scratch, f"{tests}.py").write_bytes((HERE / "right" / f"{tests}.py").read_bytes())
        env = {**ENV, "PATH": os.environ.get("PATH", os.defpath), "HOME": scratch}
        with subprocess.Popen(
            command,
            cwd=scratch,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(request, timeout=timeout_s)
            except subprocess.TimeoutExpired:
                return {}
            finally:
                # The driver's child, which runs the module, outlives the driver.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    lines = said.decode(errors="replace").splitlines()
    return next((dict(json.loads(x[len(nonce) :])) for x in lines if x.startswith(nonce)), {})


def main() -> None:
    folder, reward = map(Path, sys.argv[1:3])
    wanted = json.loads((HERE / "wanted.json").read_text("utf-8"))
    complaints = {
        name: complaint(folder, name, tests, wanted["timeout_s"])
        for name, tests in wanted["modules"].items()
    }
    for name, text in complaints.items():
        print(f"{name}: {text or 'all tests pass'}")
    reward.parent.mkdir(parents=True, exist_ok=True)
    reward.write_text(f"{int(not any(complaints.values()))}\n")


if __name__ == "__main__":
    main()
