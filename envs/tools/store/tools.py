"""The tools of a store in a domain's words: functions from a call to the operation it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import Parameter, Signature
from typing import Any, Literal

from envs.tools.store.words import VOCABULARIES, Words
from envs.toolspec import render_call

__all__ = ["MERGED", "Step", "functions", "render"]

Step = tuple[str, dict[str, str]]

_ARGUMENTS = {
    "find": ("name",),
    "look": ("id",),
    "exchange": ("order", "item"),
    "favour": ("name",),
    "finish": (),
}
# The operations that the one tool `update` replaces.
MERGED = ("cancel", "return", "exchange")


@cache
def functions(
    vocabulary: str, offered: tuple[str, ...]
) -> Mapping[str, Callable[..., Step]]:
    """By tool name, functions that turn a call's arguments into `(operation, arguments)`.

    `update` among the offered operations is one tool in place of those of MERGED.
    """
    words = VOCABULARIES[vocabulary]
    by_name = {}
    for op in offered:
        name = words.tools[op]
        by_name[name] = _function(op, words)
    return by_name


def render(
    vocabulary: str,
    offered: tuple[str, ...],
    op: str,
    arguments: Mapping[str, str],
) -> str:
    """The turn that asks for an operation with the tools that are offered."""
    words = VOCABULARIES[vocabulary]
    named = {}
    # The order of the keys is part of the turn's text: the action comes first.
    merged = op in MERGED and "update" in offered
    if merged:
        named["action"] = words.verbs[op]
    for key, value in arguments.items():
        named[words.arguments[key]] = value
    tool = words.tools["update" if merged else op]
    return render_call(tool, **named)


def _function(op: str, words: Words) -> Callable[..., Step]:
    if op == "update":
        return _update(words)
    keys = {}
    for key in _ARGUMENTS.get(op, ("order",)):
        keys[words.arguments[key]] = key

    def step(**arguments: str) -> Step:
        return op, {keys[name]: value for name, value in arguments.items()}

    return _with_signature(
        step,
        words.tools[op],
        _about(op, words),
        dict.fromkeys(keys, str),
    )


def _update(words: Words) -> Callable[..., Step]:
    ops = {verb: op for op, verb in words.verbs.items()}
    order = words.arguments["order"]
    item = words.arguments["item"]

    def step(**arguments: str) -> Step:
        op = ops[arguments["action"]]
        operation_arguments = {"order": arguments[order]}
        if op == "exchange":
            operation_arguments["item"] = arguments.get(item, "")
        return op, operation_arguments

    exchange = words.verbs["exchange"]
    return _with_signature(
        step,
        words.tools["update"],
        f"Do one of the actions; {item} only to {exchange}.",
        {order: str, "action": Literal[tuple(ops)], item: str},
        optional=item,
    )


def _with_signature(
    step: Callable[..., Step],
    name: str,
    about: str,
    annotations: Mapping[str, Any],
    optional: str = "",
) -> Callable[..., Step]:
    """The function with the signature and the docstring that its schema is made from."""
    step.__name__ = name
    step.__doc__ = about
    step.__annotations__ = dict(annotations)
    parameters = []
    for key in annotations:
        default = "" if key == optional else Parameter.empty
        parameter = Parameter(
            key,
            Parameter.KEYWORD_ONLY,
            default=default,
        )
        parameters.append(parameter)
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
