"""An environment as a taskset of verifiers v1, for its own commands and prime-rl.

Needs the extra `verifiers`. The module `scgrpo_verifiers` exports these classes under the name that
`--env.taskset.id scgrpo-verifiers` looks for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]

from envs.interop.sessions import Opening, Session, TaskCatalogue

__all__ = ["TaskRow", "TasksConfig", "VerifiedEnv", "VerifiedTask", "VerifiedTaskset"]

REWARD = "verified"
HOW_TO_CALL = (
    "Call one tool a turn, as one line of JSON and nothing after it: "
    '{"name": "...", "arguments": {...}}'
)


class TasksConfig(vf.TasksetConfig):
    """Which tasks: under `--env.taskset.*`."""

    env: str = "tool_store"
    """An environment, as `env=` of `scgrpo train` takes it."""
    split: str = "train"
    levels: list[int] = []
    """By default the first level."""


class TaskRow(vf.TaskData):
    """A task by its name; the environment alone knows what solves it."""

    env: str
    task_id: str
    level: int
    split: str


class VerifiedTask(vf.Task[TaskRow, vf.State, vf.TaskConfig]):
    """A task with its oracle as the check that needs no model."""

    @property
    def key(self) -> str:
        """Environment and task id: the same in every taskset."""
        return f"{self.data.env} {self.data.task_id}"

    @vf.reward
    async def verified(self, trace: vf.Trace) -> float:
        """The score of the environment's verifier; 0.0 for a task without an episode."""
        return float(trace.info.get(REWARD, 0.0))

    async def validate(self, runtime: object) -> bool | None:
        """Whether the oracle's turns pass; None if the environment has no oracle."""
        return await asyncio.to_thread(_oracle_passes, self.data)


class VerifiedTaskset(vf.Taskset[VerifiedTask, TasksConfig]):
    """The tasks of a split, level by level."""

    def load(self) -> Iterator[VerifiedTask]:
        """Yields them as they are made."""
        config = self.config
        catalogue = _catalogue(config.env, tuple(config.levels))
        session = Session(catalogue)
        for index in range(catalogue.count(config.split)):
            task = catalogue.task(config.split, index)
            system, prompt = _texts(session.reset(task))
            session.close()
            row = TaskRow(
                id=task.id,
                name=task.id,
                prompt=prompt,
                system_prompt=system or None,
                env=config.env,
                task_id=task.id,
                level=task.level,
                split=task.split,
            )
            yield VerifiedTask(row, config.task)


class VerifiedEnvConfig(vf.EnvConfig):
    """One seat, which only writes text: no code of the model runs outside the environment."""

    player: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"})


class VerifiedEnv(vf.Env[VerifiedEnvConfig]):
    """Plays a task turn by turn; what breaks in the environment fails the episode."""

    async def run(self, task: VerifiedTask, agents: Any) -> None:
        """The model's turns and the environment's replies, until either ends the episode."""
        session, opening = await asyncio.to_thread(_open, task.data)
        try:
            async with agents.player.interaction(task) as interaction:
                segment = await interaction.turn()
                while not segment.terminated:
                    reply = await asyncio.to_thread(session.step, segment.last_reply)
                    if reply.done:
                        # The task's own scoring, which comes as the exchange ends, reads it.
                        interaction.trace.info[REWARD] = reply.reward
                        interaction.trace.info["verdict"] = reply.text
                        break
                    segment = await interaction.turn(reply.text)
        finally:
            await asyncio.to_thread(session.close)


def _catalogue(env: str, levels: tuple[int, ...]) -> TaskCatalogue:
    catalogue = TaskCatalogue(env, levels)
    return catalogue if levels else TaskCatalogue(env, catalogue.env.levels[:1])


def _open(row: TaskRow) -> tuple[Session, Opening]:
    session = Session(TaskCatalogue(row.env))
    return session, session.reset(session.catalogue.find(row.task_id))


def _oracle_passes(row: TaskRow) -> bool | None:
    session, opening = _open(row)
    try:
        turns = session.catalogue.env.oracle(opening.task)
    except NotImplementedError:
        return None
    try:
        reward = 0.0
        for turn in turns:
            reply = session.step(turn)
            reward = reply.reward
            if reply.done:
                break
        return reward == 1.0
    finally:
        session.close()


def _texts(opening: Opening) -> tuple[str, str]:
    """System message and prompt of an episode, for models that are given no schemas."""
    *before, last = opening.messages
    lines = [message["content"] for message in before]
    if opening.tools:
        lines += [_tool_line(tool["function"]) for tool in opening.tools]
        lines.append(HOW_TO_CALL)
    return "\n".join(lines), last["content"]


def _tool_line(function: Mapping[str, Any]) -> str:
    return json.dumps(
        {key: function[key] for key in ("name", "description", "parameters")},
        ensure_ascii=False,
    )
