"""Plays tasks by an agent's command: what `envs.rollout.play` is for this project's own loop."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import Self

import gymnasium

from envs.identity import identity
from envs.rollout import Limits, Policy
from envs.types import Episode, Stop, Task
from sandboxes import SandboxConfig, SandboxError, SandboxPool, open_pool
from scgrpo.agents.config import AgentConfig
from scgrpo.agents.endpoint import Endpoint
from scgrpo.agents.process import client_path, run_agent
from scgrpo.agents.recorder import MODEL
from scgrpo.agents.session import Session
from scgrpo.policies.tokens import TokenConversation, TokenPolicy

__all__ = ["AgentPlayer", "agent_variables", "open_shell_pool"]

logger = logging.getLogger(__name__)


class AgentPlayer:
    """Starts the agent for each task, in threads of its callers. A context manager.

    Opens the endpoint and `config.parallel` sandboxes. Raises SandboxError if none here has a
    shell, ImportError without the extra `agent`.
    """

    def __init__(self, config: AgentConfig, sandbox: SandboxConfig) -> None:
        self._config = config
        with ExitStack() as stack:
            self._endpoint = stack.enter_context(Endpoint())
            self._pool = stack.enter_context(open_shell_pool(sandbox, config.parallel))
            self._stack = stack.pop_all()
        logger.info("agents: %s; sandbox: %s", config.command, self._pool.description)

    def __call__(
        self,
        env: gymnasium.Env[str, str],
        policy: Policy,
        task: Task,
        *,
        limits: Limits | None = None,
        seed: int = 0,
    ) -> Episode:
        """The episode of an agent that works on the task. Never raises for what breaks inside.

        An agent that crashes or does not end in time has no verdict (Stop.ERROR).
        """
        try:
            session = Session(
                env,
                _token_policy(policy),
                task,
                self._pool,
                self._config,
                limits=limits or Limits(),
                seed=seed,
            )
        except Exception as error:  # noqa: BLE001 - a session that cannot begin is an errored episode
            return Episode(
                task=task,
                messages=(),
                tools=(),
                segments=(),
                stop=Stop.ERROR,
                verdict=None,
                policy_version=policy.version,
                seed=seed,
                error=f"{type(error).__name__}: {error}",
                agent=self._config.command,
                **vars(identity(env)),
            )
        with self._endpoint.serve(session) as key:
            variables = agent_variables(self._endpoint, key, session.prompt)
            result = run_agent(
                self._config.command,
                variables,
                timeout_s=self._config.timeout_s,
                over=lambda: session.over,
            )
        return session.finish(result.error)

    def close(self) -> None:
        """Ends the endpoint and the sandboxes. Safe to call twice."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def agent_variables(endpoint: Endpoint, key: str, prompt: str) -> dict[str, str]:
    """The environment variables by which an agent finds its task and its model."""
    base_url = endpoint.base_url(key)
    path = os.environ.get("PYTHONPATH", "")
    return {
        "OPENAI_BASE_URL": base_url,
        # An older name, which some clients still read.
        "OPENAI_API_BASE": base_url,
        "OPENAI_API_KEY": key,
        "SCGRPO_MODEL": MODEL,
        "SCGRPO_PROMPT": prompt,
        "SCGRPO_SANDBOX_URL": endpoint.sandbox_url(key),
        "PYTHONPATH": os.pathsep.join(filter(None, [client_path(), path])),
    }


def open_shell_pool(config: SandboxConfig, size: int) -> SandboxPool:
    """Sandboxes with a shell: the configured ones if they have one, for `auto` else `shell`.

    Raises SandboxError.
    """
    pool = open_pool(replace(config, size=size))
    try:
        if _has_shell(pool):
            return pool
        problem = f"the sandboxes of sandbox.backend={config.backend} have no bash"
        if config.backend != "auto" or config.hosts:
            raise SandboxError(
                f"{problem}, which agents need; use sandbox.backend=shell, or a base image with "
                "a shell (SCGRPO_BASE_IMAGE, docs/sandbox.md)"
            )
    except BaseException:
        pool.close()
        raise
    pool.close()
    try:
        return open_pool(replace(config, size=size, backend="shell"))
    except SandboxError as error:
        raise SandboxError(f"{problem}; {error}") from error


def _has_shell(pool: SandboxPool) -> bool:
    with pool.lease() as sandbox:
        return sandbox.run(["bash", "-c", "true"], timeout_s=10.0).exit_code == 0


def _token_policy(policy: Policy) -> TokenPolicy[TokenConversation]:
    """The policy, which must go on from ids. Raises TypeError."""
    if not isinstance(policy, TokenPolicy):
        raise TypeError(
            f"an agent needs a policy of ids, such as HFPolicy, got {type(policy).__name__}"
        )
    return policy
