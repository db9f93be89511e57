"""Where a report's numbers come from: models, settings, versions, machine and commit."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import scgrpo
from envs.base import TextEnv
from envs.identity import code_digest
from evals.evaluation.models import EvaluatedModels

__all__ = ["commit", "provenance", "rollout_digest"]

PACKAGES = ("scgrpo", "torch", "transformers", "gymnasium", "numpy")
GIT_TIMEOUT_S = 10.0


def provenance(
    evaluated: EvaluatedModels,
    digests: Mapping[str, str],
    prog: str,
    argv: Sequence[str],
) -> dict[str, Any]:
    """What distinguishes one report from another and makes it repeatable. JSON-able.

    `prog` and `argv` are the command as it was typed.
    """
    # Here, because commands that play nothing read `rollout_digest` without torch.
    from scgrpo.devices import dtype_of
    from scgrpo.models.load import default_device

    config = evaluated.config
    about = {
        model.label: {
            "name": model.name,
            "folder": str(model.folder),
            "sha256": digests[model.label],
        }
        for model in evaluated.models
    }
    # The run's own device may be one that this machine does not have.
    dtype = dtype_of(replace(config, device="auto"))
    versions = {package: version(package) for package in PACKAGES}
    return {
        "command": shlex.join([*prog.split(), *argv]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "models": about,
        "run": str(evaluated.run) if evaluated.run else None,
        "limits": asdict(config.limits),
        "chat": asdict(config.chat),
        "sandbox": asdict(config.sandbox),
        "agent": asdict(config.agent),
        "device": str(default_device()),
        "dtype": str(dtype).removeprefix("torch."),
        "host": {"cores": os.cpu_count(), "platform": platform.platform()},
        "versions": {"python": platform.python_version(), **versions},
        "commit": commit(),
    }


def rollout_digest(env: TextEnv) -> str:
    """Hex SHA-256 over what plays an episode: the environment's code, and the policies'."""
    digest = hashlib.sha256(code_digest(env).encode())
    folder = Path(scgrpo.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        name = file.relative_to(folder).as_posix().encode()
        digest.update(name + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def commit() -> str | None:
    """The commit of the code that runs, with -dirty if tracked files differ; None outside git."""
    here = ["git", "-C", str(Path(__file__).resolve().parent)]
    try:
        described = subprocess.run(
            [*here, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            check=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()
