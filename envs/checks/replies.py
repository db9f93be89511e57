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
            reply = trace.chat[2]
            for word in _new_words(reply, task.prompt, wrong):
                yield from _play_echoes(subject, task, wrong, word)
    if not count:
        raise NotDefined("every wrong answer of the sample ends its episode")


def _new_words(reply: str, prompt: str, wrong: str) -> list[str]:
    """The first words of a reply that neither the prompt nor the wrong answer holds."""
    seen = set(_words(prompt)) | set(_words(wrong))
    distinct = dict.fromkeys(_words(reply))
    new = [word for word in distinct if word not in seen]
    return new[:MAX_WORDS]


def _play_echoes(
    subject: EnvUnderTest,
    task: Task,
    wrong: str,
    word: str,
) -> Iterator[str]:
    """Plays the wrong answer, and then the word of its reply as an answer."""
    last = subject.oracle(task)[-1]
    for turn in _echoes(last, word):
        yield from play_attack(
            subject,
            task,
            [wrong, turn],
            attack=f"the reply's {word!r:.40}",
        )


def _wrong_answers(subject: EnvUnderTest, task: Task) -> list[str]:
    """The last turns that solve other tasks of the cell."""
    right = subject.oracle(task)[-1]
    tasks = subject.sample(task.split, task.level, OTHER_TASKS)
    answers: dict[str, None] = {}
    for other_task in tasks:
        last = subject.oracle(other_task)[-1]
        answers[last] = None
    return [answer for answer in answers if answer != right]


def _words(text: str) -> list[str]:
    return [word.rstrip(".") for word in _WORD.findall(text)]


def _echoes(last: str, word: str) -> list[str]:
    """The word as a turn, and in place of the texts or numbers of the turn that answers."""
    turns = [word]
    turns += with_text([last], lambda _: word) or []
    call = parse_call(last)
    if isinstance(call, Call) and _is_integer(word):
        arguments = dict(call.arguments)
        for name, value in arguments.items():
            # Not isinstance: True is an int, too.
            if type(value) is int:
                arguments[name] = int(word)
        turns.append(render_call(call.name, **arguments))
    return list(dict.fromkeys(turns))


def _is_integer(word: str) -> bool:
    digits = word.lstrip("-")
    return word.isascii() and digits.isdigit()
