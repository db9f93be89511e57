"""The checks of a GPU run dry on a CPU: each ends with a verdict and its numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.scgrpo.policies.engines.small_vllm import importable

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
OTHERS = ("engines", "two_gpus")
"""Which want vLLM, or several GPUs."""


def run(
    *arguments: str, path: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), path]),
            **more,
        },
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


@pytest.mark.daily(0)  # minutes; each kind of run is tested on its own, too
@pytest.mark.parametrize("penalty", [1.0, 100.0])
def test_runs_with_engines_are_checked_and_one_that_penalises_fails(
    penalty: float, tmp_path: Path
):
    out = tmp_path / "result.json"
    done = run(
        *("engines", "--tiny", "--out", str(out)),
        path=importable(tmp_path / "packages", penalty=penalty),
        VLLM_PYTHON=sys.executable,
    )
    (check,) = json.loads(out.read_text())["checks"].values()
    runs = check["runs"]
    assert set(runs) == {"apart_by_disk", "apart_by_gloo", "colocated_asleep"}
    if penalty == 1.0:
        assert (done.returncode, check["verdict"]) == (0, "passed"), check
        for result in runs.values():
            assert result["gradient_norm"] > 0
            assert result["mismatch"] < 1e-3
            assert result["weight_sync_s"] > 0
    else:
        assert (done.returncode, check["verdict"]) == (1, "failed"), check
        assert all("another distribution" in r["error"] for r in runs.values()), runs


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_what_is_missing_is_said_and_is_no_failure(tmp_path: Path):
    done = run(*OTHERS, "--tiny", "--out", str(tmp_path / "result.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    checks = json.loads((tmp_path / "result.json").read_text())["checks"]
    assert [check["verdict"] for check in checks.values()] == ["skipped"] * 2
    assert "vLLM is not installed here" in done.stdout
    assert "GPUs" in done.stdout


def test_every_check_is_known_and_documented():
    page = (ROOT / "docs" / "gpu-check.md").read_text()
    names = (*CHECKS, *OTHERS)
    assert all(f"| `{name}` |" in page for name in names)
    done = run("no_such_check")
    assert done.returncode == 2
    assert f"there are {', '.join(names)}" in done.stderr
