"""A small environment of files, and an agent for it that needs nothing but Python."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import gymnasium

from envs import registry
from envs.base import TextEnv
from envs.types import Task, Verdict

__all__ = ["AGENT", "ENV", "Numbers", "register"]

ENV = "tests/agent_numbers"
AGENT = f"{shlex.quote(sys.executable)} {Path(__file__).with_name('plain_agent.py')}"


class Numbers(TextEnv):
    """Passes if answer.txt holds the number of note.txt."""

    name = "agent_numbers"

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        return [
            Task(f"{split}/{level}/{n}", split, level, str(n), f"Copy it: {n}.")
            for n in range(3)
        ]

    def reply(self, text: str) -> str | Verdict:
        return Verdict(passed=False, score=0.0)

    def agent_prompt(self) -> str:
        return self.task.prompt

    def files(self) -> Mapping[str, str]:
        return {"note.txt": self.task.family, "answer.txt": "?"}

    def editable(self) -> Sequence[str]:
        return ["answer.txt"]

    def grade_files(self, texts: Mapping[str, str]) -> Verdict:
        passed = texts["answer.txt"] == self.task.family
        return Verdict(passed=passed, score=float(passed), detail="graded")


def register() -> None:
    """Makes `ENV` known to Gymnasium, once."""
    if f"{ENV}-v0" not in gymnasium.registry:
        registry.register(Numbers, "tests")
