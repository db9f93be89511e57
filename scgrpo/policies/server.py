"""A model behind an OpenAI-compatible server as a policy: vLLM, llama.cpp, any provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from envs.rollout import Limits, PromptTooLongError
from envs.thoughts import split_thought
from envs.types import Message, Segment
from scgrpo.policies.call_formats import read_any
from scgrpo.policies.chat import TOOL_CALL, TOOL_CALL_END, canonical, with_tools
from scgrpo.policies.completions import Completions, Server, ServerError

__all__ = ["ServerPolicy", "model_names"]

PATH = "/chat/completions"
HELLO = [{"role": "user", "content": "Hi"}]
# Without these, servers sample from a truncated distribution; stricter servers refuse them.
UNTRUNCATED = {"top_k": 0, "min_p": 0.0}
DIALECTS: tuple[tuple[Mapping[str, Any], str], ...] = (
    (UNTRUNCATED, "max_tokens"),
    ({}, "max_tokens"),
    ({}, "max_completion_tokens"),
)


def model_names(server: Server) -> list[str]:
    """The models that a server offers. Raises ValueError if it does not list them."""
    with Completions(_eager(server)) as completions:
        return _names(completions)


class ServerPolicy:
    """Asks a server for turns at temperature 1 (or 0), top_p 1; the server does the batching.

    Ids and log-probabilities are not known, token counts are. A turn's seed is sent along; whether
    it repeats the turn is up to the server. The first request, of one token, shows which options
    the server accepts. Use as a context manager.

    `template_variables` are given to the model's chat template, by a server that knows the field
    `chat_template_kwargs` of vLLM and SGLang.

    Raises ValueError if the server does not serve the model, or does not count tokens.
    """

    version = 0

    def __init__(
        self,
        server: Server,
        *,
        temperature: float = 1.0,
        template_variables: Mapping[str, Any] | None = None,
    ) -> None:
        if temperature not in (0.0, 1.0):
            raise ValueError(
                f"temperature must be 1 (sample) or 0 (greedy), got {temperature}"
            )
        self.server, self.temperature = server, temperature
        self._extra: dict[str, Any] = {}
        if template_variables:
            self._extra["chat_template_kwargs"] = dict(template_variables)
        self.thinks = False
        with Completions(_eager(server)) as completions:
            self._check_name(completions)
            self._options = self._negotiate(completions)
        self._completions = Completions(server)

    @property
    def failure(self) -> str:
        """Why the policy gave the server up; empty while it has not."""
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

        A reply's tokens are counted with the next turn, so an episode may exceed its budget by one
        reply.
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
        return _completion(self._completions.ask("POST", PATH, body))

    def close(self) -> None:
        """Ends running requests: waiting turns get ServerError. Safe to call twice."""
        self._completions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
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

    def _negotiate(self, completions: Completions) -> dict[str, Any]:
        """Options of a turn, in the first dialect that the server accepts. Raises ValueError."""
        problem = ""
        for extras, limit in DIALECTS:
            options = {
                "temperature": self.temperature,
                "top_p": 1.0,
                **extras,
                **self._extra,
                limit: 1,
            }
            body = {"model": self.server.model, "messages": HELLO, "seed": 0, **options}
            try:
                answer = _completion(completions.ask("POST", PATH, body))
            except ServerError as error:
                # The first dialect is the fullest: its refusal says the most.
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
    """One episode's chat, which is sent to the server again with every turn."""

    def __init__(
        self,
        policy: ServerPolicy,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        limits: Limits,
        seed: int,
    ) -> None:
        self._policy, self._limits, self._seed = policy, limits, seed
        self._tools = tools
        self._native = policy.server.native_tools and bool(tools)
        if tools and not self._native:
            messages = with_tools(messages, tools)
        self._chat: list[dict[str, Any]] = [dict(message) for message in messages]
        self._options: dict[str, Any] = {}
        if self._native:
            self._options = {"tools": [dict(tool) for tool in tools]}
        self._used = 0
        self._turns = 0

    @property
    def prompt(self) -> Segment:
        """The messages' text, without ids."""
        return Segment("prompt", "\n\n".join(str(m["content"]) for m in self._chat))

    def generate(self) -> Segment | None:
        """The next turn; None when the episode's token budget is spent."""
        room = min(self._limits.turn_tokens, self._limits.episode_tokens - self._used)
        if room < 1:
            return None
        answer = self._turn(room)
        message, usage = answer["message"], answer["usage"]
        self._turns += 1
        self._used = usage.get("total_tokens") or 0
        # Only the server knows how many tokens the prompt has, and says it with the first turn.
        tokens = usage.get("completion_tokens") or 0
        if self._turns == 1 and self._used - tokens >= self._limits.episode_tokens:
            raise PromptTooLongError(self._used - tokens, self._limits)

        turn: dict[str, Any] = {"role": "assistant", "content": answer["text"]}
        if self._native and message.get("tool_calls"):
            turn["content"] = message.get("content")
            turn["tool_calls"] = message["tool_calls"]
        self._chat.append(turn)

        thought, action, _ = split_thought(answer["text"])
        # Servers with a parser of their own hand thoughts over apart.
        thought = (
            message.get("reasoning_content") or message.get("reasoning") or thought
        )
        read = read_any(action, self._tools) if self._tools else None
        text = canonical(*read) if read else action
        cut = answer["finish_reason"] == "length"
        return Segment("policy", text, cut=cut, tokens=tokens, thought=thought)

    def _turn(self, room: int) -> dict[str, Any]:
        """A completion with its `text`, which ends behind the first tool call.

        Behind a call the server may stop, unless the model thinks: then it would stop inside the
        thought, and it is asked again for all of the turn.
        """
        stops = bool(self._tools) and not self._native and not self._policy.thinks
        stop = {"stop": [TOOL_CALL_END]} if stops else {}
        seed = self._seed + self._turns
        answer = self._policy.turn(
            self._chat, room=room, seed=seed, **self._options, **stop
        )
        text = _text(answer["message"])
        if stops and not split_thought(text).is_closed:
            self._policy.thinks = True
            return self._turn(room)
        return {**answer, "text": self._close_call(text, answer["finish_reason"])}

    def _close_call(self, text: str, finish_reason: str | None) -> str:
        """The text up to the end of its first call, which servers leave out if they stop there."""
        if self._native or not self._tools:
            return text
        turn = split_thought(text)
        is_open = turn.action.count(TOOL_CALL) > turn.action.count(TOOL_CALL_END)
        if is_open and finish_reason != "length":
            return text + TOOL_CALL_END
        before, mark, _ = turn.action.partition(TOOL_CALL_END)
        return f"{turn.thought}{before}{mark}"

    def append(self, reply: str) -> Segment:
        """Adds the environment's reply: to every native tool call, if there are any."""
        calls = self._chat[-1].get("tool_calls") or ()
        for call in calls:
            answer = {"tool_call_id": call.get("id", ""), "content": reply}
            self._chat.append({"role": "tool", **answer})
        if not calls:
            self._chat.append({"role": "user", "content": reply})
        return Segment("env", reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def _eager(server: Server) -> Server:
    """The same server with few tries, for a first contact: a user waits for the error."""
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


def _completion(answer: Any) -> dict[str, Any]:
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
        call_text = f'{{"name": {name}, "arguments": {arguments}}}'
        parts.append(f"{TOOL_CALL}{call_text}{TOOL_CALL_END}")
    return "\n".join(part for part in parts if part)
