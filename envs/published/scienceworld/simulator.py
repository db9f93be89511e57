"""ScienceWorld's simulator, a Java program behind its Python package."""

from __future__ import annotations

import atexit
import importlib
import shutil
import threading
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from envs.releases import MissingDataError

__all__ = ["Simulator", "check_package", "description", "gold_actions"]

VERSION = "1.2.3"
"""Of the package `scienceworld`. Tasks and scores depend on it, so the digest of the code must."""
SIMPLIFICATIONS = "easy"
FULL_SCORE = 100
CLOSE_S = 30.0


def check_package() -> None:
    """Raises MissingDataError without the package, with another version, or without Java."""
    try:
        installed = version("scienceworld")
    except PackageNotFoundError:
        installed = "none"
    if installed != VERSION:
        raise MissingDataError(
            f"scienceworld is played by the package scienceworld {VERSION}, got {installed}; "
            "run: pip install 'scgrpo[scienceworld]'"
        )
    if shutil.which("java") is None:
        raise MissingDataError(
            "scienceworld is a Java program, and there is no `java`: install a Java runtime, such "
            "as Debian's default-jre-headless"
        )


class Simulator:
    """One Java process, which plays one episode at a time.

    Raises MissingDataError if it cannot be started here.
    """

    def __init__(self) -> None:
        check_package()
        package = importlib.import_module("scienceworld")
        # Its own limit of steps is ours to count.
        self._env: Any = package.ScienceWorldEnv("", envStepLimit=1_000_000)

    def load(self, task: str, variation: int, *, gold: bool = False) -> str:
        """Starts a variation of a task; what is seen at its start.

        With `gold` the actions that solve it are worked out, which takes longer.
        """
        self._env.load(task, variation, SIMPLIFICATIONS, generateGoldPath=gold)
        observation, _ = self._env.reset()
        return observation

    def description(self) -> str:
        """What is to be done in the loaded variation."""
        return self._env.get_task_description()

    def gold_actions(self) -> Sequence[str]:
        """Actions that solve the variation, which was loaded with `gold`."""
        return list(self._env.get_gold_action_sequence())

    def act(self, action: str) -> tuple[str, int, bool]:
        """What an action shows, the score so far, at most 100, and whether the episode is over."""
        observation, _, is_over, info = self._env.step(action)
        return observation, int(info["score"]), bool(is_over)

    def close(self) -> None:
        """Ends the process."""
        self._env.close()
        # What the package leaves to the collector.
        process = self._env._gateway.java_process
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait(CLOSE_S)
        self._env._obj_tree_tempdir.cleanup()


_LOCK = threading.Lock()


@cache
def _task_simulator() -> Simulator:
    """The simulator that tells of tasks; it plays none, and ends with the process."""
    simulator = Simulator()
    atexit.register(simulator.close)
    return simulator


@cache
def description(task: str, variation: int) -> str:
    """What is to be done in a variation of a task. Raises MissingDataError."""
    with _LOCK:
        simulator = _task_simulator()
        simulator.load(task, variation)
        return simulator.description()


@cache
def gold_actions(task: str, variation: int) -> Sequence[str]:
    """Actions that solve a variation of a task. Raises MissingDataError."""
    with _LOCK:
        simulator = _task_simulator()
        simulator.load(task, variation, gold=True)
        return simulator.gold_actions()
