"""Where and when benchmarks ran."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["provenance"]

LIBRARIES = ("torch", "transformers", "trl", "gymnasium", "docker")
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MALLOC_ARENA_MAX")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""What decides how fast a processor multiplies."""


def provenance(folder: Path) -> dict[str, Any]:
    """Date, commit of the tree at `folder`, machine and libraries, JSON-able."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(folder),
        "machine": _machine(),
        "python": platform.python_version(),
        "libraries": _versions(),
        "environment": {
            name: os.environ[name] for name in VARIABLES if name in os.environ
        },
    }


def _machine() -> dict[str, Any]:
    # torch alone knows how many threads it takes; whoever asks here loads it anyway.
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    names = re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = set(" ".join(re.findall(r"^flags\s*: (.*)$", text, re.MULTILINE)).split())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": names[0] if names else platform.processor(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(pages / 2**30, 1),
        "gpu": gpu,
        # Of the last minute: what else kept the cores busy as the run began.
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _commit(folder: Path) -> str:
    """The commit, marked if the tree differs from it; empty outside a checkout."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return result.stdout.strip()
