"""What must hold of a package's files and declarations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from envs.interop.grading import Evidence

__all__ = [
    "dependencies_are_pinned",
    "files_are_where_the_manifest_says",
    "images_are_named_by_version",
    "resources_are_plausible",
    "tasks_are_pinned",
    "timeouts_are_bounded",
]

PINNED = re.compile(r"^\s*([\w.\[\],-]+)\s*(===?|@)\s*\S")

Faults = Iterator[str]


def dependencies_are_pinned(evidence: Evidence) -> Faults:
    """Every requirement names one version, or a lock file does."""
    root: Path = evidence.subject.root
    if any((root / name).is_file() for name in ("uv.lock", "poetry.lock", "pdm.lock")):
        return
    files = sorted(root.glob("requirements*.txt")) + sorted(
        root.glob("server/requirements*.txt")
    )
    if not files:
        yield "there is neither a lock file nor a requirements.txt"
    for file in files:
        for line in file.read_text("utf-8").splitlines():
            requirement = line.partition("#")[0].strip()
            if (
                requirement
                and not requirement.startswith("-")
                and not PINNED.match(requirement)
            ):
                yield f"{file.name}: {requirement!r} names no version"


def tasks_are_pinned(evidence: Evidence) -> Faults:
    """The manifest says by which seed or version of data its tasks were made."""
    pin = evidence.manifest.task_distribution
    if pin is None or (pin.generator_seed is None and pin.dataset_version is None):
        yield "task_distribution has neither generator_seed nor dataset_version"


def resources_are_plausible(evidence: Evidence) -> Faults:
    """The declared memory and disk hold at least a Python process."""
    resources = evidence.manifest.resources
    evidence.measured |= {
        "memory_mb": resources.memory_mb,
        "disk_mb": resources.disk_mb,
    }
    if resources.memory_mb < 64:
        yield f"memory_mb is {resources.memory_mb}, expected 64 or more"
    if resources.disk_mb < 16:
        yield f"disk_mb is {resources.disk_mb}, expected 16 or more"


def timeouts_are_bounded(evidence: Evidence) -> Faults:
    """An episode may take an hour at most."""
    limit_s = evidence.manifest.resources.episode_timeout_s
    evidence.measured |= {"episode_timeout_s": limit_s}
    if limit_s > 3600:
        yield f"episode_timeout_s is {limit_s}, expected 3600 or less"


def files_are_where_the_manifest_says(evidence: Evidence) -> Faults:
    """The manifest's application, oracle and canaries are files of the package."""
    root: Path = evidence.subject.root
    raw = yaml.safe_load((root / "openenv.yaml").read_text("utf-8"))
    module = str(raw.get("app", "")).partition(":")[0]
    capabilities = evidence.manifest.capabilities
    named = [module.replace(".", "/") + ".py"] if module else []
    named += [capabilities.oracle.location] if capabilities.oracle else []
    named += [capabilities.canaries] if capabilities.canaries else []
    for name in named:
        if not (root / name).is_file():
            yield f"there is no {name}"


def images_are_named_by_version(evidence: Evidence) -> Faults:
    """Every image that the Dockerfile starts from has a tag other than latest, or a digest."""
    root: Path = evidence.subject.root
    files = [
        path
        for path in (root / "Dockerfile", root / "server/Dockerfile")
        if path.is_file()
    ]
    if not files:
        yield "there is no Dockerfile"
    for file in files:
        text = file.read_text("utf-8")
        defaults = dict(re.findall(r"^ARG\s+(\w+)=(\S+)", text, re.MULTILINE))
        stages = re.findall(
            r"^FROM\s+\S+\s+AS\s+(\S+)", text, re.MULTILINE | re.IGNORECASE
        )
        for image in re.findall(r"^FROM\s+(\S+)", text, re.MULTILINE):
            name = re.sub(
                r"\$\{?(\w+)\}?", lambda m, of=defaults: of.get(m[1], ""), image
            )
            tag = name.rpartition("/")[2].partition(":")[2]
            if name not in stages and "@sha256:" not in name and tag in ("", "latest"):
                yield f"{file.relative_to(root)} starts from {name or image}, of any version"
