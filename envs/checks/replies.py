"""Attacks by what an environment says: an answer that a reply gives away."""

from __future__ import annotations

import re
from collections.abc import Iterator

from envs.checks.attacks import play_attack
from envs.checks.env_under_test import EnvUnderTest, NotDefined
from envs.checks.turns import with_text
from envs.toolspec import Call, parse_call, render_call
from envs.types import Task

__all__ = ["replies_hide_the_answer"]

OTHER_TASKS, MAX_WORDS = 4, 20
_WORD = re.compile(r"[^\s,;:!?\"'()\[\]{}<>]+")


def replies_hide_the_answer(subject: EnvUnderTest) -> Iterator[str]:
    """What only the reply to a wrong answer shows does not solve the task when given back."""
    count = 0
    for task in subject.some():
        for wrong in _wrong_answers(subject, task):
            trace = subject.play(task, [wrong])
            if trace.ended:
                continue
            count += 1
            seen = {*_words(task.prompt), *_words(wrong)}
            reply = dict.fromkeys(_words(trace.chat[2]))
            new = [word for word in reply if word not in seen]
            for word in new[:MAX_WORDS]:
                attack = f"the reply's {word!r:.40}"
                for turn in _echoes(subject.oracle(task)[-1], word):
                    yield from play_attack(subject, task, [wrong, turn], attack)
    if not count:
        raise NotDefined("every wrong answer of the sample ends its episode")


def _wrong_answers(subject: EnvUnderTest, task: Task) -> list[str]:
    """The last turns that solve other tasks of the cell."""
    right = subject.oracle(task)[-1]
    tasks = subject.sample(task.split, task.level, OTHER_TASKS)
    answers = dict.fromkeys(subject.oracle(other)[-1] for other in tasks)
    return [answer for answer in answers if answer != right]


def _words(text: str) -> list[str]:
    return [word.rstrip(".") for word in _WORD.findall(text)]


def _echoes(last: str, word: str) -> list[str]:
    """The word as a turn, and in place of the texts or numbers of the turn that answers."""
    turns = [word]
    turns += with_text([last], lambda _: word) or []
    call = parse_call(last)
    if isinstance(call, Call) and word.isascii() and word.lstrip("-").isdigit():
        arguments = {
            name: int(word) if type(value) is int else value
            for name, value in call.arguments.items()
        }
        turns.append(render_call(call.name, **arguments))
    return list(dict.fromkeys(turns))
