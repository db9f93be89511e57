"""A model behind an OpenAI-compatible server as a policy: vLLM, llama.cpp, any provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from envs.rollout import Limits
from envs.types import Message, Segment
from scgrpo.policies.chat import with_tools
from scgrpo.policies.completions import Completions, Server, ServerError

__all__ = ["ServerPolicy", "served_names"]

PATH = "/chat/completions"
HELLO = [{"role": "user", "content": "Hi"}]
CALL, CALL_END = "<tool_call>", "</tool_call>"
# Servers sample from less than the whole distribution unless told so; stricter ones refuse these.
WHOLE = {"top_k": 0, "min_p": 0.0}
DIALECTS: tuple[tuple[Mapping[str, Any], str], ...] = (
    (WHOLE, "max_tokens"),
    ({}, "max_tokens"),
    ({}, "max_completion_tokens"),
)


def served_names(server: Server) -> list[str]:
    """The models that a server offers. Raises ValueError where it does not say."""
    with Completions(_eager(server)) as completions:
        return _names(completions)


class ServerPolicy:
    """Asks a server for turns at temperature 1 (or 0), top_p 1; the server does the batching.

    Ids and log-probabilities are not known, token counts are. A turn's seed is sent along; whether
    it repeats the turn is the server's affair. The first request, of one token, finds out which
    options the server takes. Use as a context manager.

    Raises ValueError where the server does not serve the model, or does not count tokens.
    """

    version = 0

    def __init__(self, server: Server, *, temperature: float = 1.0) -> None:
        if temperature not in (0.0, 1.0):
            raise ValueError(
                f"temperature must be 1 (sample) or 0 (greedy), got {temperature}"
            )
        self.server, self.temperature = server, temperature
        with Completions(_eager(server)) as completions:
            self._check_name(completions)
            self._options = self._accepted(completions)
        self._completions = Completions(server)

    @property
    def failure(self) -> str:
        """Why the server was given up; empty while it is not."""
        return self._completions.failure

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> _Conversation:
        """Opens a conversation.

        The tokens of a reply are known with the next turn only, so that an episode may go over its
        budget by one reply.
        """
        return _Conversation(self, messages, tools, limits, seed)

    def turn(
        self, chat: Sequence[Mapping[str, Any]], *, room: int, seed: int, **options: Any
    ) -> dict[str, Any]:
        """One completion of `room` tokens at most: `message`, `finish_reason`, `usage`.

        Raises ServerError.
        """
        (limit,) = self._options.keys() & {limit for _, limit in DIALECTS}
        body = {
            "model": self.server.model,
            "messages": list(chat),
            "seed": seed % 2**31,
            **self._options,
            limit: room,
            **options,
        }
        return _checked(self._completions.ask("POST", PATH, body))

    def close(self) -> None:
        """Ends it; turns that are waited for get ServerError. Safe to call twice."""
        self._completions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_name(self, completions: Completions) -> None:
        try:
            names = _names(completions)
        except ValueError:
            if completions.failure:
                raise
            return  # Some servers have no list.
        if self.server.model not in names:
            raise ValueError(
                f"{self.server.base_url} does not serve {self.server.model!r}; it serves "
                f"{', '.join(names[:20]) or 'nothing'}"
            )

    def _accepted(self, completions: Completions) -> dict[str, Any]:
        """Options of a turn, in the first dialect that the server takes."""
        problem = ""
        for extras, limit in DIALECTS:
            options = {
                "temperature": self.temperature,
                "top_p": 1.0,
                **extras,
                limit: 1,
            }
            body = {"model": self.server.model, "messages": HELLO, "seed": 0, **options}
            try:
                answer = _checked(completions.ask("POST", PATH, body))
            except ServerError as error:
                problem = problem or str(error)
                if error.refused:
                    continue
                break
            if not answer["usage"].get("total_tokens"):
                raise ValueError(
                    f"{self.server.base_url} does not count tokens (`usage` in its answers), "
                    "without which no budget holds"
                )
            return options
        raise ValueError(f"cannot use {self.server.model}: {problem}")


class _Conversation:
    """One episode's chat, as the server gets it anew with every turn."""

    def __init__(
        self,
        policy: ServerPolicy,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> None:
        self._policy, self._limits, self._seed = policy, limits, seed
        self._native = policy.server.native_tools and bool(tools)
        opening = messages if self._native or not tools else with_tools(messages, tools)
        self._chat: list[dict[str, Any]] = [dict(message) for message in opening]
        self._options: dict[str, Any] = {}
        if self._native:
            self._options = {"tools": [dict(tool) for tool in tools]}
        elif tools:
            self._options = {"stop": [CALL_END]}
        self._used = 0
        self._turns = 0

    @property
    def prompt(self) -> Segment:
        return Segment("prompt", "\n\n".join(str(m["content"]) for m in self._chat))

    def generate(self) -> Segment | None:
        """The next turn; None when the episode's token budget is spent."""
        room = min(self._limits.turn_tokens, self._limits.episode_tokens - self._used)
        if room < 1:
            return None
        answer = self._policy.turn(
            self._chat, room=room, seed=self._seed + self._turns, **self._options
        )
        message, usage = answer["message"], answer["usage"]
        self._turns += 1
        self._used = usage.get("total_tokens") or 0
        cut = answer["finish_reason"] == "length"
        text = _text(message)
        if not self._native and not cut and text.count(CALL) > text.count(CALL_END):
            text += CALL_END  # servers leave out the text that they stopped at
        said = {"role": "assistant", "content": text}
        if self._native and message.get("tool_calls"):
            said = {
                **said,
                "content": message.get("content"),
                "tool_calls": message["tool_calls"],
            }
        self._chat.append(said)
        return Segment(
            "policy", text, cut=cut, tokens=usage.get("completion_tokens") or 0
        )

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply: to every tool call, where the server gave any."""
        calls = self._chat[-1].get("tool_calls") or ()
        self._chat += [
            {"role": "tool", "tool_call_id": call.get("id", ""), "content": reply}
            for call in calls
        ] or [{"role": "user", "content": reply}]
        return Segment("env", reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


def _eager(server: Server) -> Server:
    """The same for a first contact, where somebody waits for the error."""
    return replace(
        server, tries=min(server.tries, 3), patience_s=min(server.patience_s, 60.0)
    )


def _names(completions: Completions) -> list[str]:
    try:
        answer = completions.ask("GET", "/models")
        return [str(model["id"]) for model in answer["data"]]
    except ServerError as error:
        raise ValueError(f"cannot list the models: {error}") from error
    except (KeyError, TypeError) as error:
        address = completions.server.base_url
        raise ValueError(
            f"{address}/models is no list of models; is this an OpenAI-compatible server, and does "
            "its address end in /v1?"
        ) from error


def _checked(answer: Any) -> dict[str, Any]:
    """The parts of a completion. Raises ServerError for another JSON."""
    try:
        choice = answer["choices"][0]
        _text(choice["message"])
        return {
            "message": choice["message"],
            "finish_reason": choice.get("finish_reason"),
            "usage": dict(answer.get("usage") or {}),
        }
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ServerError(f"no chat completion: {json.dumps(answer):.200}") from error


def _text(message: Mapping[str, Any]) -> str:
    """A turn as environments read it: the text, and a tagged line for each native tool call."""
    parts = [str(message.get("content") or "")]
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = function["arguments"] or "{}"
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        name = json.dumps(function["name"])
        parts.append(f'{CALL}{{"name": {name}, "arguments": {arguments}}}{CALL_END}')
    return "\n".join(part for part in parts if part)
