"""One episode, from a task to a verdict: the loop that training, evals and checks share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import gymnasium

from envs.base import TextEnv
from envs.identity import identity
from envs.plain import (
    Unstorable,
    plain,
    plain_integer,
    plain_mapping,
    plain_number,
    plain_parts,
    plain_text,
)
from envs.types import Episode, Message, Segment, Stop, Task, Verdict

__all__ = ["Conversation", "Limits", "Policy", "PromptTooLongError", "play"]


@dataclass(frozen=True)
class Limits:
    """Token budgets of an episode; the turn budget is the environment's own.

    | field | meaning |
    |---|---|
    | turn_tokens | most new tokens in one turn |
    | episode_tokens | most tokens in the whole episode, prompt and replies included |
    """

    turn_tokens: int = 64
    episode_tokens: int = 1024

    def __post_init__(self) -> None:
        for name in ("turn_tokens", "episode_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"Limits.{name} must be at least 1, got {getattr(self, name)}"
                )


class PromptTooLongError(ValueError):
    """The prompt alone takes the episode's token budget, so that there is no room for a turn.

    Its name is that of `envs.types.PROMPT_TOO_LONG`.
    """

    def __init__(self, tokens: int, limits: Limits) -> None:
        super().__init__(
            f"the prompt has {tokens} tokens, which leaves no room for a turn in "
            f"limits.episode_tokens={limits.episode_tokens}"
        )


class Conversation(Protocol):
    """One episode's side of a policy: its token history, append-only. A context manager."""

    @property
    def prompt(self) -> Segment:
        """The rendered opening messages."""
        ...

    def generate(self) -> Segment | None:
        """The policy's next turn; None when the episode's token budget is spent.

        Blocks; many conversations in many threads share one running batch. Raises
        PromptTooLongError if it learns only now that the prompt takes the whole budget.
        """
        ...

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply to the history."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Policy(Protocol):
    """Whoever acts: a language model or a script. Thread-safe."""

    @property
    def version(self) -> int:
        """How many weight updates it has seen."""
        ...

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> Conversation:
        """Opens a conversation. The same seed and weights give the same tokens at temperature 1
        only if the batch around it is the same too."""
        ...

    def close(self) -> None:
        """Ends the policy: conversations that wait for a turn get an error. Safe to call twice."""
        ...


def play(
    env: gymnasium.Env[str, str],
    policy: Policy,
    task: Task,
    *,
    limits: Limits | None = None,
    seed: int = 0,
) -> Episode:
    """Plays one task to its end. Never raises for what breaks inside: that is Stop.ERROR.

    So does a value of the environment's that no file can hold (`envs.plain`): the error names
    environment and field. A prompt without room for a turn is no failure of the policy: see
    `Episode.prompt_too_long`.
    KeyboardInterrupt and SystemExit pass through.
    """
    started = time.monotonic()
    record = _Record(task, policy.version, seed)
    try:
        stop, verdict = _run(env, policy, limits or Limits(), record)
        error = "" if verdict is not None else "the verifier gave no verdict"
    except Exception as exception:  # noqa: BLE001 - the one place where a broken episode becomes data
        stop, verdict = Stop.ERROR, None
        error = _sentence(env, exception)
    problem = _payload_problem(task)
    if problem is not None:
        task = replace(task, payload={})
        verdict, error = None, _sentence(env, problem)

    return Episode(
        task=task,
        messages=record.messages,
        tools=record.tools,
        segments=tuple(record.segments),
        stop=Stop.ERROR if verdict is None else stop,
        verdict=verdict,
        policy_version=record.policy_version,
        seed=seed,
        error=error,
        wall_s=time.monotonic() - started,
        malformed=record.malformed,
        states=tuple(record.states),
        progress=tuple(record.progress),
        versions=tuple(record.versions),
        **vars(identity(env)),
    )


@dataclass
class _Record:
    """What is known of an episode while it runs, and remains if it breaks."""

    task: Task
    policy_version: int
    seed: int
    messages: tuple[Message, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    segments: list[Segment] = field(default_factory=list)
    malformed: int = 0
    states: list[str] = field(default_factory=list)
    progress: list[float | None] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)


def _run(
    env: gymnasium.Env[str, str], policy: Policy, limits: Limits, record: _Record
) -> tuple[Stop, Verdict | None]:
    """Runs the turns of `record.task`, filling the record as they come."""
    task, seed = record.task, record.seed
    options = {"split": task.split, "level": task.level, "task_id": task.id}
    _, info = env.reset(seed=seed, options=options)
    messages = _messages(info)
    tools = plain(list(info["tools"]), "tools")
    record.messages, record.tools = tuple(messages), tuple(tools)

    with policy.begin(messages, tools, limits=limits, seed=seed) as conversation:
        prompt = conversation.prompt
        record.segments.append(prompt)
        if len(prompt.token_ids) >= limits.episode_tokens:
            raise PromptTooLongError(len(prompt.token_ids), limits)
        # Read before the turn, so that it says the oldest weights of those that sampled it.
        version = policy.version
        while (turn := conversation.generate()) is not None:
            record.segments.append(turn)
            record.versions.append(version)
            # Before the step, which changes the state.
            record.states.append(_state(env))
            reply, reward, terminated, truncated, info = env.step(turn.text)
            record.malformed = plain_integer(info.get("malformed", 0), "malformed")
            if terminated or truncated:
                verdict = _verdict(reward, info)
                record.progress.append(_progress(info))
                return Stop.FINISHED if terminated else Stop.MAX_TURNS, verdict
            record.progress.append(_progress(info))
            reply = plain_text(reply, "the reply")
            record.segments.append(conversation.append(reply))
            version = policy.version

    # A number at the end of each episode, so that the column has a type in every file.
    if record.progress and record.progress[-1] is None:
        record.progress[-1] = 0.0
    detail = Stop.MAX_TOKENS.sentence
    return Stop.MAX_TOKENS, Verdict(passed=False, score=0.0, detail=detail)


def _messages(info: Mapping[str, Any]) -> list[Message]:
    """The chat to start from. Raises Unstorable for messages that are no text."""
    messages: list[Any] = []
    for i, message in enumerate(info["messages"]):
        where = f"messages[{i}]"
        message = plain_mapping(message, where)
        for name in ("role", "content"):
            plain_text(message.get(name), f"{where}[{name!r}]")
        messages.append(message)
    return messages


def _verdict(reward: object, info: Mapping[str, Any]) -> Verdict | None:
    """The environment's verdict; None if its verifier broke."""
    reward = plain_number(reward, "the reward")
    if info["verified"] is None:
        return None
    return Verdict(
        passed=info["verified"],
        # An environment that is no TextEnv may give no score, only a reward.
        score=info.get("score", reward),
        detail=info.get("detail", ""),
        parts=info.get("parts", {}),
    )


def _state(env: gymnasium.Env[str, str]) -> str:
    """What the next turn starts from, as a hash; "" if the environment is no TextEnv."""
    inner = env.unwrapped
    if not isinstance(inner, TextEnv):
        return ""
    return plain_text(inner.state_hash(), "state_hash()")


def _progress(info: Mapping[str, Any]) -> float | None:
    """The verdict as 1 or 0, before it the mean of the turn's sub-scores; None without either."""
    if info["verified"] is not None:
        return float(bool(info["verified"]))
    parts = plain_parts(info.get("parts", {}), "parts").values()
    return plain_number(sum(parts) / len(parts), "the mean of parts") if parts else None


def _payload_problem(task: Task) -> Exception | None:
    """Why the payload, which the environment may have changed, cannot be stored any longer."""
    try:
        plain_mapping(task.payload, f"task {task.id!r}: Task.payload")
    except (Unstorable, RuntimeError) as error:
        return error
    return None


def _sentence(env: gymnasium.Env[str, str], error: Exception) -> str:
    """What broke an episode, as text that a file can hold; of a value, whose it is."""
    name = ""
    if isinstance(error, Unstorable):
        name = f"{identity(env).env or type(env.unwrapped).__name__}: "
    try:
        reason = str(error)
    except Exception:  # noqa: BLE001 - an author's exception may not print itself
        reason = "it cannot be printed"
    sentence = f"{type(error).__name__}: {name}{reason}"
    return sentence.encode("utf-8", "backslashreplace").decode()
