"""One task that an agent works on: its calls, its sandbox and, at the end, its episode."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium

from envs.code.file_tasks import MAX_FILE_CHARS, FileTasks
from envs.code.testing import file_contents
from envs.identity import identity
from envs.rollout import Limits
from envs.types import Branch, Episode, Stop, Task, Verdict
from sandboxes import SandboxPool
from scgrpo.agents.config import AgentConfig
from scgrpo.agents.recorder import Recorder
from scgrpo.agents.requests import read_request
from scgrpo.policies.tokens import TokenConversation, TokenPolicy

__all__ = ["CommandResult", "Session"]

LEASE_S = 600.0


@dataclass(frozen=True)
class CommandResult:
    """What a command in the sandbox did.

    | field | meaning |
    |---|---|
    | output | stdout and stderr, as they came |
    | returncode | status; negative is minus the signal; -1 if it was killed for time |
    | timed_out | killed at its deadline |
    """

    output: str
    returncode: int
    timed_out: bool


class Session:
    """An agent's work on one task, from the files in a fresh sandbox to the verdict on them.

    Many threads may call `complete` and `run`; `finish` or `close` ends it.

    | argument | meaning |
    |---|---|
    | env | an environment with `FileTasks`, for this session alone until it ends |
    | policy | who writes the turns; `temperature` of its own is 1 unless it says otherwise |
    | sandboxes | of a kind that has a shell |
    | seed | of the policy's sampling |
    """

    def __init__(
        self,
        env: gymnasium.Env[str, str],
        policy: TokenPolicy[TokenConversation],
        task: Task,
        sandboxes: SandboxPool,
        config: AgentConfig,
        *,
        limits: Limits,
        seed: int = 0,
    ) -> None:
        self._started = time.monotonic()
        self._env, self._task, self._seed = env, task, seed
        self._config = config
        self._version = policy.version
        self._temperature = float(getattr(policy, "temperature", 1.0))
        options = {"split": task.split, "level": task.level, "task_id": task.id}
        env.reset(seed=seed, options=options)
        self._tasks = _file_tasks(env)
        self.prompt = self._tasks.agent_prompt()
        self.recorder = Recorder(policy, limits, seed)
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        self._sandbox = sandboxes.lease(LEASE_S)
        try:
            self._sandbox.write(file_contents(self._tasks.files()))
        except BaseException:
            self._sandbox.close()
            raise

    @property
    def over(self) -> bool:
        """Whether the agent gets nothing more: its budget is spent, or something broke."""
        return self.recorder.spent or self.failure is not None

    @property
    def failure(self) -> Exception | None:
        """What broke that is no fault of the agent; None if nothing did."""
        return self.recorder.failure or self._failure

    def complete(self, body: object) -> dict[str, Any]:
        """The body of the response to a chat completion's. Raises RequestError."""
        request = read_request(
            body,
            temperature=self._temperature,
            own_sampling=self._config.own_sampling,
        )
        return self.recorder.complete(request)

    def run(self, command: str, timeout_s: float | None = None) -> CommandResult:
        """What a shell command in the sandbox did; its files stay, its processes do not.

        Raises SandboxError, which ends the session without a verdict.
        """
        longest = self._config.command_s
        timeout_s = longest if timeout_s is None else min(timeout_s, longest)
        with self._lock:
            try:
                result = self._sandbox.run(
                    ["bash", "-c", f"exec 2>&1\n{command}"], timeout_s=timeout_s
                )
            except Exception as error:
                self._failure = error
                raise
        code = -1 if result.exit_code is None else result.exit_code
        output = result.stdout.decode(errors="replace")
        return CommandResult(output, code, result.timed_out)

    def close(self) -> None:
        """Ends the session without an episode. Safe to call twice, and after `finish`.

        Waits for a call and a command that run.
        """
        self.recorder.close()
        with self._lock:
            self._sandbox.close()

    def finish(self, error: str = "") -> Episode:
        """Ends the session; grades the final files unless something broke.

        `error` is what went wrong with the agent itself: a crash, or no end in time.
        """
        try:
            self.recorder.close()
            stop, verdict = self._outcome(error)
        except Exception as failure:  # noqa: BLE001 - a broken grader makes an errored episode
            self._failure = failure
            stop, verdict = Stop.ERROR, None
        finally:
            self.close()
        if verdict is None:
            error = _sentence(self.failure) if self.failure else error or NO_CALL
        return self._episode(stop, verdict, "" if verdict else error)

    def _outcome(self, error: str) -> tuple[Stop, Verdict | None]:
        if self.failure is not None:
            return Stop.ERROR, None
        if self.recorder.spent:
            detail = Stop.MAX_TOKENS.sentence
            return Stop.MAX_TOKENS, Verdict(passed=False, score=0.0, detail=detail)
        if error or not self.recorder.history.turns:
            return Stop.ERROR, None

        with self._lock:
            texts, problem = self._final_texts()
            # Before grading, which needs a sandbox too.
            self._sandbox.close()
        if problem:
            return Stop.FINISHED, Verdict(passed=False, score=0.0, detail=problem)
        return Stop.FINISHED, self._tasks.grade_files(texts)

    def _final_texts(self) -> tuple[Mapping[str, str], str]:
        """What the agent left in the files that it may change, and what is wrong with them."""
        texts: dict[str, str] = {}
        for path in self._tasks.editable():
            try:
                content = self._sandbox.read(path)
            except FileNotFoundError:
                return {}, f"{path} is no file any more"
            if len(content) > MAX_FILE_CHARS:
                return {}, f"{path} has more than {MAX_FILE_CHARS} bytes"
            texts[path] = content.decode(errors="replace")
        return texts, ""

    def _episode(self, stop: Stop, verdict: Verdict | None, error: str) -> Episode:
        conversations = self.recorder.history.conversations()
        first = conversations[0] if conversations else None
        return Episode(
            task=self._task,
            messages=first.messages if first else (),
            tools=first.tools if first else (),
            segments=first.segments if first else (),
            stop=stop,
            verdict=verdict,
            policy_version=self._version,
            seed=self._seed,
            error=error,
            wall_s=time.monotonic() - self._started,
            versions=first.versions if first else (),
            branches=tuple(
                Branch(other.messages, other.tools, other.segments)
                for other in conversations[1:]
            ),
            agent=self._config.command or "external",
            **vars(identity(self._env)),
        )


NO_CALL = "AgentError: the agent ended without a call of the endpoint"


def _file_tasks(env: gymnasium.Env[str, str]) -> FileTasks:
    inner = env.unwrapped
    assert isinstance(inner, FileTasks)
    return inner


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
