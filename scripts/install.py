#!/usr/bin/env python3
"""Makes .venv, installs the project with the pinned versions, and a sandbox where one is missing.

Run by the Makefile. It reads on any Python 3, to say clearly when that Python is too old.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "constraints.txt"
# Most of what is installed is never imported, and compiling it would take half of the time.
INSTALL = ("install", "--no-compile", "--constraint", str(CONSTRAINTS))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ANSWER_TIMEOUT_S = 5
MIN_PYTHON = (3, 11)


def main():
    """All steps; each may be repeated."""
    started = time.monotonic()
    use_new_enough_python()
    if not (VENV / "bin" / "pip").exists():
        say(f"making {VENV} with Python {sys.version.split()[0]}")
        make_venv()
    gpu = has_gpu()
    install_torch(gpu)
    say("installing the project and its pinned dependencies")
    pip(*INSTALL, "--editable", f"{ROOT}[dev]")
    fetch_releases()
    install_sandbox()
    build_image()
    say(f"ready after {time.monotonic() - started:.0f} s")


def use_new_enough_python():
    """Goes on under a newer interpreter if this one is too old, or exits and says what to do."""
    if sys.version_info >= MIN_PYTHON:
        return
    for name in ("python3.13", "python3.12", "python3.11"):
        path = shutil.which(name)
        if path and has_venv(path):
            os.execv(path, [path, *sys.argv])

    fail(
        f"Python {sys.version.split()[0]} is too old: "
        f"{MIN_PYTHON[0]}.{MIN_PYTHON[1]} or newer is needed. "
        "Install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), "
        "or name it: make PYTHON=/path/to/python3.11 ..."
    )


def has_venv(python):
    """Whether an interpreter can make virtual environments: Debian packages that apart."""
    command = [python, "-c", "import venv"]
    return subprocess.call(command, stderr=subprocess.DEVNULL) == 0


def make_venv():
    """Makes .venv; exits and says what to install if this Python cannot."""
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]) != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        fail(
            "this Python cannot make a virtual environment (Debian: apt-get install python3-venv)"
        )


def install_torch(gpu):
    """Installs the build for the GPU if there is one, else that for the CPU if it can be had."""
    lines = CONSTRAINTS.read_text().splitlines()
    pinned = next(line for line in lines if line.startswith("torch=="))
    command = [*INSTALL, pinned]
    if gpu:
        say(f"installing {pinned} for the GPU")
    elif answers(f"{CPU_INDEX}/torch/"):
        say(f"installing {pinned} for the CPU from {CPU_INDEX}")
        command += ["--extra-index-url", CPU_INDEX]
    else:
        say(
            f"installing {pinned}; {CPU_INDEX} does not answer, so pip's own source decides"
        )
    pip(*command)

    python = VENV / "bin" / "python"
    if python.exists():
        note = torch_note(gpu, *torch_facts(python))
        if note:
            say(f"note: {note}")


def torch_facts(python):
    """The CUDA version that the installed torch was built for, empty for none; and if it works."""
    code = "import torch; print(torch.version.cuda or '', torch.cuda.is_available(), sep=',')"
    result = subprocess.run(
        [str(python), "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    built_for, _, works = result.stdout.strip().partition(",")
    return built_for, works == "True"


def torch_note(gpu, built_for, works):
    """What a user should know of the installed torch; empty if nothing."""
    if built_for and not gpu:
        # Another index may have served the build for the GPU.
        return (
            f"this torch was built for CUDA {built_for}; it works, but takes gigabytes"
        )
    if gpu and not works:
        kind = f"CUDA {built_for}" if built_for else "the CPU alone"
        return (
            f"there is an NVIDIA GPU, but this torch, built for {kind}, cannot use it, so that "
            "device=auto means the CPU. A newer CUDA needs a newer driver: nvidia-smi says at most "
            "which one the driver knows; for 12.8: .venv/bin/pip install --force-reinstall torch "
            "--index-url https://download.pytorch.org/whl/cu128"
        )
    return ""


def fetch_releases():
    """Fetches outside data now, so that later steps need no network; some splits depend on it."""
    command = [str(VENV / "bin" / "python"), "-m", "envs.releases", "--quiet"]
    if subprocess.call(command, cwd=ROOT) != 0:
        say(
            "data: not all could be fetched, see above; later: .venv/bin/python -m envs.releases"
        )


def install_sandbox():
    """Installs bubblewrap and Docker if neither is there and this user may, or says what to do."""
    # A client alone is no engine: images of machines often carry one.
    engine = engine_answers() or shutil.which("dockerd")
    present = []
    if engine:
        present.append("docker")
    if shutil.which("bwrap"):
        present.append("bwrap")
    if present:
        say(f"sandbox: found {' and '.join(present)}")
        return

    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(
            "sandbox: no Docker engine and no bwrap is here. Install one of them "
            "(Debian, Ubuntu: sudo apt-get install bubblewrap docker.io)"
        )
        return
    say("sandbox: no Docker engine and no bwrap is here; installing both with apt-get")
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.call([*apt, "update"], env=quiet)
    install = [*apt, "install", "-y", "--no-install-recommends"]
    failed = subprocess.call([*install, "bubblewrap", "docker.io"], env=quiet) != 0
    if shutil.which("dockerd") and not shutil.which("docker"):
        # Debian 13 has the client in a package of its own.
        failed = subprocess.call([*install, "docker-cli"], env=quiet) != 0 or failed
    report_missing(failed)


def report_missing(failed):
    """Says what apt-get did not bring; exits if that leaves no sandbox at all."""
    programs = ("bwrap", "docker", "dockerd")
    missing = [name for name in programs if not shutil.which(name)]
    if not missing:
        return
    what = "failed" if failed else "went through"
    listed = " and ".join(missing)
    report = f"sandbox: apt-get {what}, but {listed} cannot be found on the PATH. "
    if "bwrap" in missing and "dockerd" in missing:
        fail(
            f"{report}Install bubblewrap or docker.io by hand (its messages are above), and retry"
        )
    say(
        f"error: {report}What is there serves as a sandbox; python -m sandboxes.doctor says more"
    )


def build_image():
    """Builds the sandbox's image if an engine answers; `docker compose up` expects it."""
    if not engine_answers():
        say(
            "sandbox: no Docker engine answers now; later: "
            ".venv/bin/python -m sandboxes.image.build"
        )
        return
    command = [str(VENV / "bin" / "python"), "-m", "sandboxes.image.build"]
    if subprocess.call(command, cwd=ROOT) != 0:
        say(
            "sandbox: the image could not be built, see above; bubblewrap serves without one"
        )


def engine_answers():
    """Whether a Docker engine runs and this user may use it."""
    if not shutil.which("docker"):
        return False
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.call(["docker", "info"], **quiet) == 0


def has_gpu():
    """Whether this machine has an NVIDIA GPU with a driver."""
    return (
        Path("/proc/driver/nvidia/version").exists()
        or shutil.which("nvidia-smi") is not None
    )


def answers(address):
    """Whether the address answers soon; asked in a thread, since name lookups have no time-out."""
    outcome = []

    def ask():
        try:
            urlopen(address, timeout=ANSWER_TIMEOUT_S).close()
            outcome.append(True)
        except (OSError, ValueError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_TIMEOUT_S)
    return bool(outcome)


def pip(*arguments):
    """Runs .venv's pip; exits if it fails."""
    command = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "-qq",
        "--disable-pip-version-check",
    ]
    if subprocess.call([*command, *arguments]) != 0:
        fail(
            "pip failed; its message above says why. Nothing outside .venv was changed."
        )


def say(message):
    """Prints a line of progress."""
    print(f"[setup] {message}", flush=True)


def fail(message):
    """Prints why the setup cannot go on, and exits."""
    print(f"[setup] {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
