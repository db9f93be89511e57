"""Attacks by what an environment says: an answer that a reply gives away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from envs.checks.attacks import scored
from envs.checks.env_under_test import EnvUnderTest, NotDefined
from envs.checks.turns import with_text
from envs.toolspec import Call, parse_call, render_call
from envs.types import Task

__all__ = ["answers_told"]

OTHERS, WORDS = 4, 20
_WORD = re.compile(r"[^\s,;:!?\"'()\[\]{}<>]+")


def answers_told(subject: EnvUnderTest) -> Iterator[str]:
    """What only the reply to a wrong answer shows does not solve the task when given back."""
    count = 0
    for task in subject.some():
        for wrong in _wrong_answers(subject, task):
            trace = subject.play(task, [wrong])
            if trace.ended:
                continue
            count += 1
            known = {*_words(task.prompt), *_words(wrong)}
            new = [
                word
                for word in dict.fromkeys(_words(trace.chat[2]))
                if word not in known
            ]
            for word in new[:WORDS]:
                for turn in _given_back(subject.oracle(task)[-1], word):
                    yield from scored(
                        subject, task, [wrong, turn], f"the reply's {word!r:.40}"
                    )
    if not count:
        raise NotDefined("every wrong answer of the sample ends its episode")


def _wrong_answers(subject: EnvUnderTest, task: Task) -> list[str]:
    """The last turns that solve other tasks of the cell."""
    own = subject.oracle(task)[-1]
    tasks = subject.sample(task.split, task.level, OTHERS)
    found = dict.fromkeys(subject.oracle(other)[-1] for other in tasks)
    return [turn for turn in found if turn != own]


def _words(text: str) -> list[str]:
    return [word.rstrip(".") for word in _WORD.findall(text)]


def _given_back(last: str, word: str) -> list[str]:
    """The word as a turn, and in place of the texts or numbers of the turn that answers."""
    found = [word, *(with_text([last], lambda _: word) or [])]
    call = parse_call(last)
    if isinstance(call, Call) and word.isascii() and word.lstrip("-").isdigit():
        given = {name: _number(value, word) for name, value in call.arguments.items()}
        found.append(render_call(call.name, **given))
    return list(dict.fromkeys(found))


def _number(value: Any, word: str) -> Any:
    return (
        int(word) if isinstance(value, int) and not isinstance(value, bool) else value
    )
