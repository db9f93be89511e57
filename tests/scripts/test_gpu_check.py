"""The checks of a GPU run dry on a CPU: each ends with a verdict and its numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_check"
CHECKS = (
    "basics",
    "layouts",
    "trees",
    "head",
    "sampling",
    "kernels",
    "decoding",
    "wide",
    "memory",
    "fsdp",
    "offload",
    "out_of_memory",
    "lora",
    "learning",
    "resume",
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def dry_run(out: Path, *names: str) -> dict[str, Any]:
    done = run(*names, "--tiny", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


@pytest.mark.daily(1)
@pytest.mark.parametrize("name", CHECKS)
def test_a_check_runs_dry(name: str, tmp_path: Path):
    result = dry_run(tmp_path / "result.json", name)
    assert {"torch", "transformers", "device"} <= result["machine"].keys()
    (check,) = result["checks"].values()
    assert check["verdict"] in ("passed", "measured"), check
    assert len(check) > 2


def test_every_check_is_known_and_documented():
    page = (ROOT / "docs" / "gpu-check.md").read_text()
    assert all(f"| `{name}` |" in page for name in CHECKS)
    done = run("no_such_check")
    assert done.returncode == 2
    assert f"there are {', '.join(CHECKS)}" in done.stderr
