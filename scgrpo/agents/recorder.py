"""Answers an agent's calls by a policy, and keeps what was fed and sampled, token for token."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from envs.rollout import Limits, PromptTooLongError
from scgrpo.agents.errors import RequestError
from scgrpo.agents.history import History, Node
from scgrpo.agents.messages import ChatMessage, turn_message
from scgrpo.agents.requests import ChatRequest
from scgrpo.agents.responses import completion
from scgrpo.policies.tokens import TokenConversation, TokenPolicy

__all__ = ["MODEL", "Recorder"]

MODEL = "policy"
"""What the model is called in responses; requests may name any."""


class Recorder:
    """One agent's calls. Calls at the same time are answered one after another.

    A policy has a slot for each conversation that is open, and an agent keeps at most one of them:
    the one of its last call. So agents never wait for each other's slots.

    | attribute | meaning |
    |---|---|
    | history | what was fed and sampled |
    | spent | the token budget is spent: the agent gets no further turn |
    | failure | what broke a call, which is no fault of the agent; None if nothing did |
    """

    def __init__(
        self, policy: TokenPolicy[TokenConversation], limits: Limits, seed: int
    ) -> None:
        self.history = History(policy.chat)
        self.spent = False
        self.failure: Exception | None = None
        self._policy, self._limits, self._seed = policy, limits, seed
        self._lock = threading.Lock()
        self._open: TokenConversation | None = None
        self._end: Node | None = None
        self._count = 0
        self._closed = False

    def complete(self, request: ChatRequest) -> dict[str, Any]:
        """The body of the response to a request; blocks until the turn is sampled.

        Raises RequestError for a request that cannot be answered, above all if the token budget
        is spent. What breaks the policy passes through, and is kept as `failure`.
        """
        with self._lock:
            if self._closed:
                raise RequestError("the episode is over", status=410, code="gone")
            node = self.history.place(request)
            try:
                return self._answer(node, request)
            except RequestError:
                raise
            except Exception as error:
                self.failure = error
                raise

    def close(self) -> None:
        """Frees the policy's slot once a running call has its turn; later calls are refused.

        Safe to call twice.
        """
        with self._lock:
            self._closed = True
            self._close_conversation()

    def _answer(self, node: Node, request: ChatRequest) -> dict[str, Any]:
        prompt_tokens = len(node.token_ids)
        self._check_room(prompt_tokens)
        version = self._policy.version
        conversation = self._conversation_at(node, request)
        segment = conversation.generate(request.max_tokens)
        if segment is None:
            raise self._spent_error(prompt_tokens)

        content, calls = turn_message(segment.text, has_tools=bool(request.tools))
        answer = ChatMessage("assistant", content, calls)
        self._end = self.history.add_turn(node, segment, answer, version)
        return completion(
            number=len(self.history.turns),
            created=int(time.time()),
            model=MODEL,
            content=content,
            calls=calls,
            thought=segment.thought,
            cut=segment.cut,
            usage=(prompt_tokens, segment.length),
        )

    def _check_room(self, prompt_tokens: int) -> None:
        """Raises RequestError if the chat leaves no room for a turn."""
        if prompt_tokens < self._limits.episode_tokens:
            return
        if not self.history.turns:
            self.failure = PromptTooLongError(prompt_tokens, self._limits)
        raise self._spent_error(prompt_tokens)

    def _spent_error(self, prompt_tokens: int) -> RequestError:
        """In the words of OpenAI's servers, by which clients know the error."""
        self.spent = True
        return RequestError(
            f"This model's maximum context length is {self._limits.episode_tokens} tokens. "
            f"However, your messages resulted in {prompt_tokens} tokens. "
            "Please reduce the length of the messages (limits.episode_tokens).",
            code="context_length_exceeded",
            param="messages",
        )

    def _conversation_at(self, node: Node, request: ChatRequest) -> TokenConversation:
        """The policy's conversation, with all ids up to the node in its history."""
        path = node.path
        if self._open is not None and self._end in path:
            new = path[path.index(self._end) + 1 :]
            for later in new:
                self._open.extend(later.segment.token_ids)
            self._end = node
            return self._open

        self._close_conversation()
        # The first has the episode's own seed, a fork one of its own.
        seed = self._seed
        if self._count:
            words = np.random.SeedSequence([self._seed, self._count])
            seed = int(words.generate_state(1)[0])
        conversation = self._policy.resume(
            node.token_ids, request.tools, limits=self._limits, seed=seed
        )
        self._open = conversation.__enter__()
        self._end = node
        self._count += 1
        return self._open

    def _close_conversation(self) -> None:
        conversation, self._open, self._end = self._open, None, None
        if conversation is not None:
            conversation.__exit__(None, None, None)
