"""Episodes with a fixed number of turns, each of which a model fills to its limit."""

from __future__ import annotations

from collections.abc import Sequence

from envs import Task, TextEnv, register

__all__ = ["STORY", "Story"]

STORY = "bench/story"
TOPICS = ("river", "stone", "cloud", "bread")


class Story(TextEnv):
    """A story in as many turns as the level says; nothing solves it."""

    name = "story"
    levels = (1, 2, 4)

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """One for each topic."""
        tasks = []
        for topic in TOPICS:
            prompt = f"Tell me a very long story about a {topic}, in every detail."
            tasks.append(Task(f"{split}/{level}/{topic}", split, level, topic, prompt))
        return tasks

    def turn_budget(self, task: Task) -> int:
        """The level."""
        return task.level

    def reply(self, text: str) -> str:
        """Asks for more."""
        return "Go on, do not come to an end yet."


register(Story, namespace="bench")
