"""The settings of an agent of one's own, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from envs.base import TextEnv
from envs.code.file_tasks import FileTasks

__all__ = ["AgentConfig", "check_agent"]


@dataclass(frozen=True)
class AgentConfig:
    """An agent of your own that plays the episodes: see docs/agents.md.

    | field | meaning |
    |---|---|
    | command | a shell command that works on one task, such as `python my_agent.py`; it finds |
    | | OPENAI_BASE_URL, OPENAI_API_KEY, SCGRPO_PROMPT and SCGRPO_SANDBOX_URL in its environment; |
    | | empty: this project's own loop plays |
    | parallel | agents at once, each with a sandbox |
    | timeout_s | seconds until an agent is killed; its episode has no verdict then |
    | command_s | seconds until a command that it runs in its sandbox is killed |
    | own_sampling | sample at the policy's settings whatever temperature or top_p the agent asks |
    | | for; false refuses requests that ask for others |
    """

    command: str = ""
    parallel: int = 4
    timeout_s: float = 900.0
    command_s: float = 60.0
    own_sampling: bool = False

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise ValueError(f"agent.parallel must be at least 1, got {self.parallel}")
        for name in ("timeout_s", "command_s"):
            # Not `value <= 0`, which lets NaN pass.
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"agent.{name} must be positive, got {getattr(self, name)}"
                )


def check_agent(config: AgentConfig, env: TextEnv, name: str) -> None:
    """Raises ValueError if an agent is set and cannot work on the environment called `name`."""
    if config.command and not isinstance(env, FileTasks):
        raise ValueError(
            f"got {name} with agent.command, expected an environment whose tasks are files, such "
            "as swe_lite: one with the methods of envs.code.file_tasks.FileTasks"
        )
