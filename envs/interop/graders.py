"""The named checks of OpenEnv's validator that it leaves to others, as graders by entry point.

`GRADERS` has one for each id; `pyproject.toml` registers them in the group
`openenv.validation.graders`. Runtime and semantic graders measure a running server; the oracle and
the canaries are the package's own, JSON files of resets and actions. A check without anything to
measure is skipped with a reason, and a skipped check proves nothing.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from envs.interop import graded_files as files
from envs.interop import graded_sessions as sessions
from envs.interop.grading import CannotMeasure, Evidence

__all__ = ["GRADERS", "Grader"]

SHOWN = 5


@dataclass(frozen=True)
class Grader:
    """A check of OpenEnv's validator.

    | field | meaning |
    |---|---|
    | check_id | as the severity policy names it |
    | find | yields a sentence for each fault; its docstring says what must hold |
    | remediation | what an author changes to go green |
    | depends_on | checks that must have passed |
    """

    check_id: str
    find: Callable[[Evidence], Iterator[str]]
    remediation: str
    depends_on: tuple[str, ...] = ()
    requires_capabilities: frozenset[str] = frozenset()
    requires_provider: frozenset[Any] = frozenset()

    @property
    def level(self) -> Any:
        """The validator's level: the first word of the id."""
        levels = importlib.import_module("openenv.validation.types").Level
        return levels[self.check_id.partition(".")[0].upper()]

    def applies_to(self, manifest: Any) -> bool:
        """True: the result names what a package lacks."""
        return True

    def run(self, subject: Any) -> Any:
        """The validator's `CheckResult`."""
        report = importlib.import_module("openenv.validation.report")
        statuses = importlib.import_module("openenv.validation.types").CheckStatus
        started = time.monotonic()
        evidence = Evidence(subject)
        faults: list[str] = []
        status = statuses.PASS
        try:
            faults += self.find(evidence)
            lines = faults[:SHOWN] or [(self.find.__doc__ or "").partition("\n")[0]]
            if len(faults) > SHOWN:
                lines.append(f"and {len(faults) - SHOWN} more")
            if faults:
                status = statuses.FAIL
        except CannotMeasure as reason:
            status, lines = statuses.SKIP, [str(reason)]
        except Exception as error:  # noqa: BLE001 - what a server does is a finding
            status, lines = statuses.FAIL, [f"{type(error).__name__}: {error}"[:500]]
        return report.CheckResult(
            check_id=self.check_id,
            status=status,
            measured=evidence.measured,
            evidence=lines,
            remediation=self.remediation if status is statuses.FAIL else None,
            duration_s=time.monotonic() - started,
        )


_SERVER = (
    "Make the environment a function of its reset and of the turns in its own session."
)
_ORACLE = "Declare an oracle: a JSON list of resets and actions that get the maximum."
_FLOOR = (
    "Give nothing for turns that solve nothing, or declare the floor that there is."
)

GRADERS = (
    Grader(
        "static.dependency_pinning",
        files.dependencies_are_pinned,
        "Pin every requirement.",
    ),
    Grader(
        "static.task_distribution_pinning",
        files.tasks_are_pinned,
        "Add task_distribution.",
    ),
    Grader(
        "static.resource_declaration",
        files.resources_are_plausible,
        "Declare what it needs.",
    ),
    Grader(
        "static.timeout_ceiling", files.timeouts_are_bounded, "Shorten the episodes."
    ),
    Grader(
        "static.layout", files.files_are_where_the_manifest_says, "Add the named files."
    ),
    Grader(
        "static.reproducible_build",
        files.images_are_named_by_version,
        "Name a tag or digest.",
    ),
    Grader(
        "runtime.task_declaration_accuracy",
        sessions.declared_tasks_are_there,
        "Count again.",
    ),
    Grader(
        "runtime.tool_declaration_accuracy",
        sessions.declared_tools_are_there,
        "List the tools.",
    ),
    Grader(
        "runtime.seed_control",
        sessions.seeds_decide,
        "Draw with the seed of the reset alone.",
    ),
    Grader("runtime.episode_determinism", sessions.episodes_repeat, _SERVER),
    Grader("runtime.episode_isolation", sessions.sessions_do_not_mix, _SERVER),
    Grader(
        "runtime.oracle_containment",
        sessions.the_oracle_is_not_served,
        "Keep solutions inside.",
    ),
    Grader(
        "runtime.trajectory_record",
        sessions.episodes_are_recorded_whole,
        "Answer each step whole.",
    ),
    Grader("semantic.oracle_max", sessions.oracle_reaches_the_maximum, _ORACLE),
    Grader("semantic.floor_gap", sessions.floor_is_far_from_the_maximum, _FLOOR),
    Grader("semantic.canary_floor", sessions.canaries_get_nothing, _FLOOR),
    Grader(
        "semantic.no_solution_leakage",
        sessions.solutions_are_not_shown,
        "Show no solution.",
    ),
    Grader("semantic.verifier_determinism", sessions.verdicts_repeat, _SERVER),
    Grader(
        "semantic.verifier_portability",
        sessions.verdicts_do_not_depend_on_the_session,
        _SERVER,
    ),
    Grader(
        "semantic.resource_envelope",
        sessions.episodes_keep_to_their_time,
        "Declare more time.",
    ),
    Grader("semantic.replayability", sessions.trajectories_replay, _SERVER),
)
"""A grader for each check id that it implements."""


def __getattr__(name: str) -> Grader:
    """A grader by its id as an entry point names it, such as `semantic_oracle_max`."""
    for grader in GRADERS:
        if grader.check_id.replace(".", "_") == name:
            return grader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
