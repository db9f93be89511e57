"""An episode that is played in one process, by the policy of another: what they ask each other.

The worker runs `envs.rollout.play` itself. What that asks of its policy becomes a request, which
the process with the policy answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Self

from envs.rollout import Conversation, Limits, Policy
from envs.types import Episode, Message, Segment

__all__ = [
    "Answer",
    "Append",
    "Begin",
    "Generate",
    "PlayedEpisode",
    "Request",
    "answer_requests",
]


@dataclass(frozen=True)
class Begin:
    """`Policy.begin`; answered by the prompt's segment."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]]
    limits: Limits
    seed: int


@dataclass(frozen=True)
class Generate:
    """`Conversation.generate`; answered by a turn or None."""


@dataclass(frozen=True)
class Append:
    """`Conversation.append`; answered by the reply's segment."""

    reply: str


Request = Begin | Generate | Append


@dataclass(frozen=True)
class Answer:
    """What the policy said to a request.

    | field | meaning |
    |---|---|
    | version | `Policy.version` after it |
    | segment | of the conversation; None for no turn |
    | error | name and message of the exception instead; empty without one |
    """

    version: int
    segment: Segment | None = None
    error: tuple[str, str] | tuple[()] = ()


def answer_requests(
    policy: Policy, begin: Callable[[], Any], go_on: Callable[[Answer], Any]
) -> Episode:
    """The episode, once `policy` has answered all that its worker asks.

    `begin` starts it, `go_on` hands over an answer; both return the next Request, or the Episode.
    """
    with ExitStack() as stack:
        conversations: list[Conversation] = []
        outcome: Request | Episode = begin()
        while not isinstance(outcome, Episode):
            try:
                segment = _segment(policy, outcome, conversations, stack)
                answer = Answer(policy.version, segment)
            except Exception as error:  # noqa: BLE001 - the episode's, which `play` makes data
                answer = Answer(
                    policy.version, error=(type(error).__name__, str(error))
                )
            outcome = go_on(answer)
        return outcome


def _segment(
    policy: Policy,
    request: Request,
    conversations: list[Conversation],
    stack: ExitStack,
) -> Segment | None:
    """What the policy's conversation, of which there is one at most, says to a request."""
    if isinstance(request, Begin):
        conversation = policy.begin(
            request.messages, request.tools, limits=request.limits, seed=request.seed
        )
        conversations.append(stack.enter_context(conversation))
        return conversation.prompt
    if isinstance(request, Generate):
        return conversations[-1].generate()
    return conversations[-1].append(request.reply)


class PlayedEpisode:
    """An episode that is played in a thread of its own, and waits for answers.

    | argument | meaning |
    |---|---|
    | play | plays it by a policy, as `envs.rollout.play` does |
    | version | `Policy.version` at its start |
    """

    def __init__(self, play: Callable[[Policy], Episode], version: int) -> None:
        self._outcomes: SimpleQueue[Request | Episode | BaseException] = SimpleQueue()
        self._policy = _AskingPolicy(self._outcomes, version)
        self._play = play
        # A daemon: if the process with the policy is gone, it waits for ever.
        threading.Thread(target=self._run, name="episode", daemon=True).start()

    def next(self, answer: Answer | None = None) -> Request | Episode:
        """What it asks next, given the answer to what it asked before, or itself at its end.

        Raises what `play` raised.
        """
        if answer is not None:
            self._policy.answers.put(answer)
        outcome = self._outcomes.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _run(self) -> None:
        try:
            self._outcomes.put(self._play(self._policy))
        except BaseException as error:  # noqa: BLE001 - raised by `next`
            self._outcomes.put(error)


class _AskingPolicy:
    """A policy, of one conversation, whose calls are put into `outcomes` and wait for `answers`."""

    def __init__(self, outcomes: SimpleQueue[Any], version: int) -> None:
        self.version = version
        self.answers: SimpleQueue[Answer] = SimpleQueue()
        self._outcomes = outcomes

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _AskingConversation:
        """See `Policy.begin`."""
        prompt = self.ask(Begin(messages, tools, limits, seed))
        assert prompt is not None
        return _AskingConversation(self, prompt)

    def ask(self, request: Request) -> Segment | None:
        """The answer. Raises an exception of the name and the message of the policy's."""
        self._outcomes.put(request)
        answer = self.answers.get()
        self.version = answer.version
        if answer.error:
            name, message = answer.error
            # The class itself may not be known here; an errored episode reads its name alone.
            raise type(name, (RuntimeError,), {})(message)
        return answer.segment

    def close(self) -> None:
        """Nothing to end: the policy is the other process's."""


class _AskingConversation:
    """See `Conversation`."""

    def __init__(self, policy: _AskingPolicy, prompt: Segment) -> None:
        self.prompt = prompt
        self._policy = policy

    def generate(self) -> Segment | None:
        return self._policy.ask(Generate())

    def append(self, reply: str) -> Segment:
        segment = self._policy.ask(Append(reply))
        assert segment is not None
        return segment

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None
