"""The records that flow from a task to a gradient and to a report.

They hold plain values: scalars of NumPy and torch are numbers, and what no file could hold is
refused where it is made, with the name of its field, and not after a step was paid for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypedDict

from envs.plain import (
    UnstorableTypeError,
    UnstorableValueError,
    plain,
    plain_integer,
    plain_mapping,
    plain_number,
    plain_parts,
    plain_text,
)

__all__ = [
    "Branch",
    "Episode",
    "Message",
    "Segment",
    "Source",
    "Stop",
    "Task",
    "Verdict",
    "as_messages",
]

Source = Literal["prompt", "policy", "env"]

PROMPT_TOO_LONG = "PromptTooLongError"
"""How the error of an episode begins whose prompt left no room for a turn."""


class Message(TypedDict):
    """One chat message, in the form that chat templates take."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Stop(Enum):
    """Why an episode ended."""

    FINISHED = "finished"
    MAX_TURNS = "max_turns"
    MAX_TOKENS = "max_tokens"
    ERROR = "error"

    @property
    def sentence(self) -> str:
        """What the reason means, for a reader of a report."""
        return {
            Stop.FINISHED: "The policy solved or submitted the task.",
            Stop.MAX_TURNS: "The environment's turn budget was spent before a submission.",
            Stop.MAX_TOKENS: "The episode's token budget was spent before a submission.",
            Stop.ERROR: "Sandbox, verifier or policy broke; the episode has no verdict.",
        }[self]


@dataclass(frozen=True)
class Task:
    """One problem of an environment.

    | field | meaning |
    |---|---|
    | id | unique within the environment: `<split>/<level>/<key>` |
    | split | `train`, `id` or `ood/<shift>` |
    | level | difficulty, 0 (closed choice) to 4 |
    | family | what must not be shared between splits (template, function, repository) |
    | prompt | the user message that states the problem |
    | payload | JSON-able; for the environment and its verifier only: never shown, never logged |

    Raises Unstorable for what no file could hold, with the field's name.
    """

    id: str
    split: str
    level: int
    family: str
    prompt: str
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        where = f"task {self.id!r}: Task"
        for name in ("id", "split", "family", "prompt"):
            _set(self, name, plain_text(getattr(self, name), f"{where}.{name}"))
        _set(self, "level", plain_integer(self.level, f"{where}.level"))
        _set(self, "payload", plain_mapping(self.payload, f"{where}.payload"))

    @property
    def content_hash(self) -> str:
        """Hex SHA-256 over prompt and payload: equal exactly for equal problems."""
        text = json.dumps(
            [self.prompt, self.payload],
            sort_keys=True,
            ensure_ascii=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """The verifier's decision at the end of an episode.

    | field | meaning |
    |---|---|
    | passed | the reward: all that training and evals count |
    | score | in [0, 1], for readers: partial credit, and 1 exactly if passed (`envs.check`) |
    | detail | why, in words |
    | parts | sub-scores for readers and process rewards; never verification |

    Raises ValueError for a score outside [0, 1], NaN included, and Unstorable for other
    values that no file could hold. Scalars of NumPy become Python's.
    """

    passed: bool
    score: float
    detail: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        passed = plain(self.passed, "Verdict.passed")
        if passed not in (True, False):
            raise UnstorableTypeError(
                f"Verdict.passed must be true or false, got {passed!r:.80}"
            )
        _set(self, "passed", bool(passed))
        score = plain_number(self.score, "Verdict.score, which must be in [0, 1],")
        if not 0.0 <= score <= 1.0:
            raise UnstorableValueError(
                f"Verdict.score must be in [0, 1], got {score!r}"
            )
        _set(self, "score", score)
        _set(self, "detail", plain_text(self.detail, "Verdict.detail"))
        _set(self, "parts", plain_parts(self.parts, "Verdict.parts"))


@dataclass(frozen=True)
class Segment:
    """A run of tokens with one author.

    | field | meaning |
    |---|---|
    | source | `prompt`, `policy` or `env` |
    | text | what the environment read or wrote; not the decoding of `token_ids`: of a turn, what |
    | | follows its thought, with calls as JSON |
    | token_ids | (n,) exactly as sampled or fed; empty for a policy that has no tokens |
    | logprobs | (n,) nats under the sampling distribution at temperature 1; only for `policy` |
    | cut | the turn ended at a token limit, not at the model's end-of-turn token |
    | tokens | how many a policy wrote whose ids are not known; else 0 |
    | thought | what a policy wrote before `text`, marks included; it stays in the history |
    """

    source: Source
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    cut: bool = False
    tokens: int = 0
    thought: str = ""

    def __post_init__(self) -> None:
        expected = len(self.token_ids) if self.source == "policy" else 0
        if len(self.logprobs) != expected:
            raise ValueError(
                f"a {self.source} segment of {len(self.token_ids)} tokens must have {expected} "
                f"logprobs, got {len(self.logprobs)}"
            )

    @property
    def length(self) -> int:
        """Tokens of it, as far as they are known."""
        return len(self.token_ids) or self.tokens


@dataclass(frozen=True)
class Branch:
    """A further conversation of an episode, under the same verdict.

    | field | meaning |
    |---|---|
    | messages | the chat before the first turn of its own |
    | tools | OpenAI function schemas that were offered in it |
    | segments | prompt, policy, env, policy, ...: turns that another conversation of the episode |
    | | has as `policy` are in the prompt, with their ids |
    """

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Episode:
    """One conversation between a policy and an environment, and its verdict.

    | field | meaning |
    |---|---|
    | task | the problem |
    | messages | the chat that the episode started from: system and user |
    | tools | OpenAI function schemas that were offered |
    | segments | prompt, policy, env, policy, ... in order |
    | stop | why it ended |
    | verdict | None exactly when `stop is Stop.ERROR` |
    | policy_version | how many weight updates the policy had seen |
    | seed | sampling seed of the policy |
    | error | what broke, for Stop.ERROR |
    | wall_s | seconds from reset to the end |
    | malformed | policy turns that held no valid tool call |
    | env | Gymnasium id of the environment, with its version; empty if unknown |
    | source | hex SHA-256 of the environment's code; empty if unknown |
    | states | for each turn, a hash of the state that it started from; "" if unknown |
    | progress | for each turn, the environment's score after it, in [0, 1]: the mean of `parts`, |
    | | and the verdict at the end; None where it gave none |
    | versions | for each turn, how many weight updates the policy had seen when it began |
    | branches | further conversations of the same play, such as an agent's forks |
    | agent | the command of the agent that played it; empty for the loop of `envs.rollout` |
    """

    task: Task
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    segments: tuple[Segment, ...]
    stop: Stop
    verdict: Verdict | None
    policy_version: int = 0
    seed: int = 0
    error: str = ""
    wall_s: float = 0.0
    malformed: int = 0
    env: str = ""
    source: str = ""
    states: tuple[str, ...] = ()
    progress: tuple[float | None, ...] = ()
    versions: tuple[int, ...] = ()
    branches: tuple[Branch, ...] = ()
    agent: str = ""

    def __post_init__(self) -> None:
        if (self.verdict is None) != (self.stop is Stop.ERROR):
            raise ValueError(f"verdict is {self.verdict!r} but stop is {self.stop}")

    @property
    def verified(self) -> bool | None:
        """True or False as the verifier says; None if there is no verdict."""
        return None if self.verdict is None else self.verdict.passed

    @property
    def prompt_too_long(self) -> bool:
        """Whether it has no verdict because its prompt left no room for a turn."""
        return self.verdict is None and self.error.startswith(PROMPT_TOO_LONG)

    @property
    def errored(self) -> bool:
        """Whether it has no verdict because something broke."""
        return self.verdict is None and not self.prompt_too_long

    @property
    def turns(self) -> tuple[Segment, ...]:
        """The segments that the policy wrote."""
        return tuple(s for s in self.segments if s.source == "policy")

    @property
    def token_ids(self) -> list[int]:
        """(T,) all ids in order."""
        token_ids: list[int] = []
        for segment in self.segments:
            token_ids += segment.token_ids
        return token_ids

    @property
    def action_mask(self) -> list[bool]:
        """(T,) True at tokens that the policy sampled."""
        mask: list[bool] = []
        for segment in self.segments:
            mask += [segment.source == "policy"] * len(segment.token_ids)
        return mask

    @property
    def logprobs(self) -> list[float]:
        """(T,) as sampled; 0.0 at tokens that the policy did not write."""
        logprobs: list[float] = []
        for segment in self.segments:
            logprobs += segment.logprobs or (0.0,) * len(segment.token_ids)
        return logprobs


def _set(record: object, name: str, value: object) -> None:
    """Sets a field of a frozen record, while it is made."""
    object.__setattr__(record, name, value)


def as_messages(instructions: str, prompt: str) -> list[Message]:
    """A new chat for an episode to start from; no system message for no instructions."""
    user: Message = {"role": "user", "content": prompt}
    if not instructions:
        return [user]
    return [{"role": "system", "content": instructions}, user]
