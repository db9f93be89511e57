"""Where an environment takes code: the turns that hand an attack in, with the bug left in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from envs.attack.compose import defines, in_lines, stub_functions, wrong_with
from envs.checks.env_under_test import EnvUnderTest, NotDefined
from envs.checks.turns import with_text
from envs.toolspec import render_call
from envs.types import Task

__all__ = ["Target", "targets"]

PROBE = "probe-4711"
"""What a probe's functions give, which a reply then shows."""
MAX_LINE = 200


@dataclass(frozen=True)
class Target:
    """A place of a task where a policy can put code.

    | field | meaning |
    |---|---|
    | name | of the task and the place |
    | task | the problem |
    | turns | the turns that hand in a wrong solution with these codes; raises ValueError if |
    | | they do not fit |
    | right | the oracle's turns, None if the author wrote none |
    """

    name: str
    task: Task
    turns: Callable[[Sequence[str]], list[str]]
    right: list[str] | None


def targets(subject: EnvUnderTest, *, all_of_them: bool = True) -> list[Target]:
    """The places of an environment; the first alone if not `all_of_them`.

    Raises NotDefined for an environment that takes no code.
    """
    env_class = type(subject.env)
    address = f"{env_class.__module__}:{env_class.__name__}"
    find = _OWN.get(address, _oracle_functions)
    places = list(find(subject))
    if not places:
        raise NotDefined(
            "no turn of the oracle holds a Python function, so there is no place for code"
        )
    return places if all_of_them else places[:1]


def _oracle_functions(subject: EnvUnderTest) -> Iterator[Target]:
    """Tasks whose oracle writes a function: it is replaced by a stub and the attack."""
    for task in subject.few():
        yield from _function(subject, task)


def _function(subject: EnvUnderTest, task: Task) -> Iterator[Target]:
    try:
        right = subject.oracle(task)
    except NotDefined:
        return
    without_modules = with_text(right, lambda text: "" if defines(text) else text)
    # Nothing changes if no text of the oracle is a module.
    if without_modules is None:
        return

    def turns(codes: Sequence[str], *, first: bool) -> list[str]:
        """The oracle's turns with a stub and these codes in place of its functions."""

        def attack(text: str) -> str:
            """The text itself if it is no module."""
            if not defines(text):
                return text
            wrong = stub_functions(text)
            return wrong_with(wrong, codes, first=first)

        return with_text(right, attack) or right

    yield Target(
        name=f"{task.id} after",
        task=task,
        turns=partial(turns, first=False),
        right=right,
    )
    yield Target(
        name=f"{task.id} before",
        task=task,
        turns=partial(turns, first=True),
        right=right,
    )


def _code_fn(subject: EnvUnderTest) -> Iterator[Target]:
    for split, level in (("train", 1), ("ood/domain", 1)):
        for task in subject.sample(split, level, 1):
            yield from _function(subject, task)


def _swe_lite(subject: EnvUnderTest) -> Iterator[Target]:
    """The last line of the module is edited, and code follows; the bug is another line."""
    from envs.code.swe_lite.tasks import rows_in
    from envs.code.witness import witness_text

    sources = ["intervals", "colorsys"]
    for task in subject.env.tasks("train", 1):
        row = rows_in(task)[0]
        if row.source not in sources or not witness_text(row.source):
            continue
        # One task of each.
        sources.remove(row.source)
        lines = row.broken.split("\n")
        tests = row.package.all_ids

        def turns(codes, lines=lines, tests=tests) -> list[str]:
            """An edit of the last line that adds the codes, then a test run and the end."""
            text = wrong_with("\n".join(lines), codes, tests=tests)
            # The codes, and the last line before them.
            tail_lines = text.split("\n")[len(lines) :]
            tail = "\n".join([lines[-1], *tail_lines])
            return [
                render_call("edit", line=len(lines), text=tail),
                render_call("run_tests"),
                render_call("submit"),
            ]

        yield Target(
            name=f"{task.id} after",
            task=task,
            turns=turns,
            right=subject.oracle(task),
        )


def _code_debug(subject: EnvUnderTest) -> Iterator[Target]:
    """Blank lines between functions take one statement each, the last of them runs the whole."""
    task, lines, blank = next(_scripts_with_room(subject))
    before = "\n".join(lines[: blank[-1] - 1])

    def turns(codes: Sequence[str]) -> list[str]:
        """A fix of a blank line for each statement; ValueError if there are too few."""
        text = wrong_with(before, codes).removeprefix(before)
        pieces = in_lines(text, MAX_LINE)
        max_pieces = min(len(blank), subject.env.max_turns)
        if len(pieces) > max_pieces:
            raise ValueError(
                f"the code takes {len(pieces)} lines, there are {len(blank)}"
            )
        # The last blank lines, where everything of the script is defined.
        start = len(blank) - len(pieces)
        calls: list[str] = []
        for line, piece in zip(blank[start:], pieces, strict=True):
            call = render_call("fix", line=line, text=piece)
            calls.append(call)
        return calls

    yield Target(
        name=f"{task.id} between",
        task=task,
        turns=turns,
        right=subject.oracle(task),
    )


def _scripts_with_room(
    subject: EnvUnderTest,
) -> Iterator[tuple[Task, list[str], list[int]]]:
    """Tasks of `code_debug` with a blank line below every bug: task, lines, blank places."""
    from envs.code.debug.scripts import lines_with_bugs

    for task in subject.env.tasks("train", 4):
        lines = lines_with_bugs(task.payload)
        blank: list[int] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                blank.append(number)

        last_bug = max(bug[0] for bug in task.payload["bugs"])
        if blank and last_bug < blank[-1]:
            yield task, lines, blank


_OWN: dict[str, Callable[[EnvUnderTest], Iterator[Target]]] = {
    "envs.code.fn.env:CodeFn": _code_fn,
    "envs.code.swe_lite.env:SweLite": _swe_lite,
    "envs.code.debug.env:CodeDebug": _code_debug,
}
