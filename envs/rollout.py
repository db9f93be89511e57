"""One episode, from a task to a verdict: the loop that training, evals and checks share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import gymnasium

from envs.base import TextEnv
from envs.identity import identity
from envs.types import Episode, Message, Segment, Stop, Task, Verdict

__all__ = ["Conversation", "Limits", "Policy", "play"]


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


class Conversation(Protocol):
    """One episode's side of a policy: its token history, append-only. A context manager."""

    @property
    def prompt(self) -> Segment:
        """The rendered opening messages."""
        ...

    def generate(self) -> Segment | None:
        """The policy's next turn; None when the episode's token budget is spent.

        Blocks; many conversations in many threads share one running batch.
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
        only where the batch around it is the same too."""
        ...

    def close(self) -> None:
        """Ends it: conversations that wait for a turn get an error. Safe to call twice."""
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

    KeyboardInterrupt and SystemExit pass through.
    """
    started = time.monotonic()
    record: dict[str, Any] = {
        "messages": (),
        "tools": (),
        "policy_version": policy.version,
    }
    record |= vars(identity(env))
    segments: list[Segment] = []
    try:
        stop, verdict = _turns(
            env, policy, task, limits or Limits(), seed, record, segments
        )
        error = "" if verdict is not None else "the verifier gave no verdict"
    except Exception as broken:  # noqa: BLE001 - the one place where a broken episode becomes data
        stop, verdict, error = Stop.ERROR, None, f"{type(broken).__name__}: {broken}"
    if verdict is None:
        stop = Stop.ERROR
    return Episode(
        task=task,
        segments=tuple(segments),
        stop=stop,
        verdict=verdict,
        seed=seed,
        error=error,
        wall_s=time.monotonic() - started,
        **record,
    )


def _turns(
    env: gymnasium.Env[str, str],
    policy: Policy,
    task: Task,
    limits: Limits,
    seed: int,
    record: dict[str, Any],
    segments: list[Segment],
) -> tuple[Stop, Verdict | None]:
    """Runs the turns, filling `record` and `segments` as they come."""
    options = {"split": task.split, "level": task.level, "task_id": task.id}
    _, info = env.reset(seed=seed, options=options)
    record["messages"], record["tools"] = tuple(info["messages"]), tuple(info["tools"])
    record["states"] = record["progress"] = ()
    with policy.begin(
        info["messages"], info["tools"], limits=limits, seed=seed
    ) as conversation:
        segments.append(conversation.prompt)
        while (turn := conversation.generate()) is not None:
            segments.append(turn)
            record["states"] += (_state(env),)
            reply, reward, terminated, truncated, info = env.step(turn.text)
            record["malformed"] = info.get("malformed", 0)
            record["progress"] += (_progress(info),)
            if terminated or truncated:
                stop = Stop.FINISHED if terminated else Stop.MAX_TURNS
                return stop, _verdict(float(reward), info)
            segments.append(conversation.append(reply))
    return Stop.MAX_TOKENS, Verdict(
        passed=False, score=0.0, detail=Stop.MAX_TOKENS.sentence
    )


def _verdict(reward: float, info: Mapping[str, Any]) -> Verdict | None:
    """The environment's last word; None where its verifier broke."""
    if info["verified"] is None:
        return None
    return Verdict(
        passed=bool(info["verified"]),
        # An environment that is no TextEnv may give no score beside its reward.
        score=float(info.get("score", reward)),
        detail=str(info.get("detail", "")),
        parts=dict(info.get("parts", {})),
    )


def _state(env: gymnasium.Env[str, str]) -> str:
    """What the next turn starts from, as a hash; "" where the environment is no TextEnv."""
    inner = env.unwrapped
    return inner.state_hash() if isinstance(inner, TextEnv) else ""


def _progress(info: Mapping[str, Any]) -> float | None:
    """The verdict as 1 or 0, before it the mean of the turn's sub-scores; None without either."""
    if info["verified"] is not None:
        return float(bool(info["verified"]))
    parts = info.get("parts", {}).values()
    return sum(map(float, parts)) / len(parts) if parts else None
