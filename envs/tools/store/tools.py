"""The tools of a store in a domain's words: functions that say which operation a call means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter, Signature
from typing import Any, Literal

from envs.tools.store.words import VOCABULARIES, Words
from envs.toolspec import render_call

__all__ = ["Step", "functions", "rendered"]

Step = tuple[str, dict[str, str]]

_ARGUMENTS = {
    "find": ("name",),
    "look": ("id",),
    "exchange": ("order", "item"),
    "favour": ("name",),
    "finish": (),
}
_MERGED = ("cancel", "return", "exchange")


@cache
def functions(
    vocabulary: str, offered: tuple[str, ...]
) -> Mapping[str, Callable[..., Step]]:
    """By tool name, functions that turn a call's arguments into `(operation, arguments)`.

    `update` among the offered operations is one tool for all three that carry out a wish.
    """
    words = VOCABULARIES[vocabulary]
    return {words.tools[op]: _function(op, words) for op in offered}


def rendered(
    vocabulary: str, offered: tuple[str, ...], op: str, arguments: Mapping
) -> str:
    """The turn that asks for an operation with the tools that are offered."""
    words = VOCABULARIES[vocabulary]
    named = {words.arguments[key]: value for key, value in arguments.items()}
    if op in _MERGED and "update" in offered:
        return render_call(words.tools["update"], action=words.verbs[op], **named)
    return render_call(words.tools[op], **named)


def _function(op: str, words: Words) -> Callable[..., Step]:
    if op == "update":
        return _update(words)
    keys = {words.arguments[key]: key for key in _ARGUMENTS.get(op, ("order",))}

    def step(**arguments: str) -> Step:
        return op, {keys[name]: value for name, value in arguments.items()}

    return _described(
        step, words.tools[op], _about(op, words), dict.fromkeys(keys, str)
    )


def _update(words: Words) -> Callable[..., Step]:
    ops = {verb: op for op, verb in words.verbs.items()}
    order, item = words.arguments["order"], words.arguments["item"]

    def step(**arguments: str) -> Step:
        op = ops[arguments["action"]]
        found = {"order": arguments[order]}
        return op, found | (
            {"item": arguments.get(item, "")} if op == "exchange" else {}
        )

    about = f"Do one of the actions; {item} only to {words.verbs['exchange']}."
    annotations = {order: str, "action": Literal[tuple(ops)], item: str}
    return _described(step, words.tools["update"], about, annotations, optional=item)


def _described(
    step: Callable[..., Step],
    name: str,
    about: str,
    annotations: Mapping[str, Any],
    optional: str = "",
) -> Callable[..., Step]:
    """The function with the signature and the docstring that its schema is made from."""
    step.__name__, step.__doc__, step.__annotations__ = name, about, dict(annotations)
    parameters = [
        Parameter(
            key,
            Parameter.KEYWORD_ONLY,
            default="" if key == optional else Parameter.empty,
        )
        for key in annotations
    ]
    step.__signature__ = Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return step


def _about(op: str, words: Words) -> str:
    order, item, person = words.order, words.item, words.person
    verbs = {key: verb.capitalize() for key, verb in words.verbs.items()}
    return {
        "find": f"Look up a {person} by full name.",
        "look": f"Look up one {order} or {item}.",
        "cancel": f"{verbs['cancel']} one {order}.",
        "return": f"{verbs['return']} one {order}.",
        "exchange": f"{verbs['exchange']} one {order} for another {item}.",
        "refuse": f"Refuse the request about one {order}.",
        "ask": f"Ask whether to go on with one {order}.",
        "finish": "End, when every request is settled.",
        "delete": f"Delete one {order} from the records.",
        "favour": f"Make a {person} {words.gold}.",
    }[op]
