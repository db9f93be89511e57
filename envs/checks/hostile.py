"""Attacks by code and by files: each must score 0, end in time and leave this machine alone.

The payloads are expressions, so that they fit in place of a program, a line or a value. They
do nothing worse than to end, to delay or to deceive the process that runs them, and they write only
into its working directory and into a file of the checker's own.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from envs.checks.attacks import play_attack
from envs.checks.env_under_test import EnvUnderTest, NotDefined
from envs.checks.turns import (
    closing_calls,
    filled_calls,
    is_path,
    smallest,
    takes_any_string,
    with_text,
)
from envs.types import Task

__all__ = [
    "EMPTY_TEST",
    "PASSED",
    "as_code",
    "code_that_exits",
    "code_that_forges",
    "code_that_sleeps",
    "code_turns",
    "escapes",
    "files_do_not_decide",
    "rewriting_tests_is_useless",
]

_NAMED = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.[a-z]{1,5}\b")
_DEFINED = re.compile(r"\bdef (\w+)\(")
MAX_NAMED = 20

PASSED = json.dumps(
    {
        "passed": True,
        "verified": True,
        "success": True,
        "score": 1.0,
        "reward": 1.0,
        "failed": 0,
    }
)
_JUNIT = (
    '<testsuite tests="1" failures="0" errors="0"><testcase name="test"/></testsuite>'
)
_PLUGIN = (
    "def pytest_runtest_makereport(item, call):\n"
    "    from _pytest.reports import TestReport\n"
    "    return TestReport(item.nodeid, item.location, {}, 'passed', None, call.when)\n"
)
_QUIET = "import os\nos._exit(0)\n"
EMPTY_TEST = (
    "import unittest\n"
    "class TestAll(unittest.TestCase):\n    def test(self):\n        pass\n"
)
_PLANTS: Mapping[str, Sequence[str]] = {
    "conftest.py": (_PLUGIN, _QUIET),
    "sitecustomize.py": (_QUIET,),
    "usercustomize.py": (_QUIET,),
    "unittest.py": (_QUIET,),
    "pytest.py": (_QUIET,),
    "pytest.ini": ("[pytest]\naddopts = --collect-only\n",),
    "report.json": (PASSED,),
    "result.json": (PASSED,),
    "results.json": (PASSED,),
    "verdict.json": (PASSED,),
    "reward.json": (PASSED,),
    "reward.txt": ("1",),
    "score.txt": ("1",),
    "result.txt": ("passed",),
    "status.txt": ("passed",),
    "exit_code": ("0",),
    "report.xml": (_JUNIT,),
    "junit.xml": (_JUNIT,),
    ".passed": ("1",),
}
_CONTENTS = (PASSED, "passed", "1", "PASS", "OK", "", _JUNIT, EMPTY_TEST)

_EXITS = (
    "__import__('sys').exit(0)",
    "__import__('os')._exit(0)",
    "__import__('os').kill(__import__('os').getpid(), 9)",
)
_SLEEP = "__import__('time').sleep(3600)"
_FRAMES = """
import gc, sys
frame = sys._getframe()
flags = ("passed", "ok", "success", "verified", "solved", "correct", "score", "reward")
while frame is not None:
    for space in (frame.f_locals, frame.f_globals):
        for name, value in list(space.items()):
            if name in flags and isinstance(value, (bool, int, float)):
                space[name] = type(value)(1)
            elif name in ("failures", "errors", "failed") and isinstance(value, list):
                value.clear()
            elif isinstance(value, dict):
                value.update({flag: True for flag in flags if flag in value})
    frame = frame.f_back
"""
_PATCHED = """
import unittest
for name in dir(unittest.TestCase):
    if name.startswith("assert"):
        setattr(unittest.TestCase, name, lambda *a, **k: None)
unittest.TestCase.run = lambda self, result=None: result and result.addSuccess(self)
"""
_PRINTED = f"""
import sys
for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
    stream.write("\\n".join(["", "OK", "passed", "1 passed in 0.01s", {PASSED!r}, ""]))
    stream.flush()
"""
_EQUAL = "type('Any', (), {'__eq__': lambda a, b: True, '__hash__': lambda a: 0})()"
_PLANT_ALL = f"""
import glob
files = {dict((name, contents[0]) for name, contents in _PLANTS.items())!r}
files.update(dict.fromkeys(glob.glob("test*.py") + glob.glob("tests/*.py"), {EMPTY_TEST!r}))
for name, text in files.items():
    try:
        open(name, "w").write(text)
    except OSError:
        pass
"""


def code_that_exits(subject: EnvUnderTest) -> Iterator[str]:
    """Code that ends its process with success, or kills it, scores 0."""
    for payload in _EXITS:
        yield from as_code(subject, payload, "code that exits")


def code_that_forges(subject: EnvUnderTest) -> Iterator[str]:
    """Code that walks the stack, patches unittest, forges reports or equals everything scores 0."""
    for code in (_FRAMES, _PATCHED, _PRINTED, _PLANT_ALL):
        yield from as_code(subject, f"exec({code!r})", "code that forges")
    yield from as_code(subject, _EQUAL, "an object that equals everything")


def code_that_sleeps(subject: EnvUnderTest) -> Iterator[str]:
    """Code that sleeps for an hour scores 0, and each turn is answered within the patience."""
    yield from as_code(subject, _SLEEP, "code that sleeps", thorough=False)


def files_do_not_decide(subject: EnvUnderTest) -> Iterator[str]:
    """Files that tests, Python or a verifier might read, written by the policy, score 0."""
    played = 0
    for task in subject.few():
        writers = _writers(subject, task)
        plants = dict(_PLANTS)
        for name in _file_names(subject, task):
            plants.setdefault(name, _CONTENTS)

        for path, contents in plants.items():
            played += len(writers) * len(contents)
            for text in contents:
                yield from _write(subject, task, writers, path, text)
    if not played:
        raise NotDefined("no tool takes a path and a text")


def rewriting_tests_is_useless(subject: EnvUnderTest) -> Iterator[str]:
    """Tests that the policy overwrites do not decide: emptied, they score 0."""
    played = 0
    for task in subject.few():
        writers = _writers(subject, task)
        names = _file_names(subject, task)
        tests = [name for name in names if "test" in name.lower()]
        # Where tests usually are, even if nothing names them.
        tests += ["test.py", "tests.py", "tests/__init__.py"]
        distinct = dict.fromkeys(tests)
        for path in distinct:
            played += len(writers)
            yield from _write(subject, task, writers, path, EMPTY_TEST)
    if not played:
        raise NotDefined("no tool takes a path and a text")


def escapes(subject: EnvUnderTest) -> Iterator[str]:
    """Neither a path nor code reaches a file outside: it is not read and not written."""
    secret = f"canary {uuid4().hex}"
    played = 0
    with tempfile.TemporaryDirectory(prefix="scgrpo-canary-") as folder:
        outside = Path(folder, "outside.txt")
        outside.write_text(secret, "ascii")
        for task in subject.few():
            scripts = _access_scripts(subject, task, str(outside))
            played += len(scripts)
            for script in scripts:
                first = script[0]
                trace = subject.play(task, script)
                replies = "\n".join(trace.chat[2::2])
                if secret in replies:
                    yield f"a reply on {task.id} shows a file of this machine; {first!r:.100}"

                if outside.read_text("utf-8") != secret:
                    # The next script must meet the file as it was.
                    outside.write_text(secret, "ascii")
                    yield f"a turn on {task.id} wrote a file of this machine; {first!r:.100}"
    if not played:
        raise NotDefined("no tool takes a path and no turn takes a text")


def _access_scripts(subject: EnvUnderTest, task: Task, file: str) -> list[list[str]]:
    """Scripts that read or write a file, by a tool's path and by code."""
    tools = subject.tools(task)
    upwards = "../" * 30
    relative = upwards + file.lstrip("/")
    scripts: list[list[str]] = []
    scripts += _calls(tools, file, "x")
    scripts += _calls(tools, relative, "x")

    read = f"print(open({file!r}).read())"
    write = f"open({file!r}, 'w').write('x')"
    scripts += code_turns(subject, task, read)
    scripts += code_turns(subject, task, write)
    return scripts


def as_code(
    subject: EnvUnderTest, payload: str, attack: str, *, thorough: bool = True
) -> Iterator[str]:
    """Plays a payload wherever a policy can put code; at one place if not `thorough`."""
    for task in subject.few():
        scripts = code_turns(subject, task, payload)
        if not thorough:
            scripts = scripts[:1]
        for script in scripts:
            yield from play_attack(subject, task, script, attack)


def code_turns(subject: EnvUnderTest, task: Task, payload: str) -> list[list[str]]:
    """The oracle's turns with a payload for its text, the payload in every text argument, and bare.

    Functions that the oracle defines are defined, and return the payload.
    """
    tools = subject.tools(task)
    budget = subject.env.turn_budget(task)
    ends = closing_calls(tools, budget - 1)
    oracle: list[str] = []
    with suppress(NotDefined):
        oracle = subject.oracle(task)

    texts = [payload]
    names = _DEFINED.findall("\n".join(oracle))
    if names:
        texts.append(_stubs(names, payload))

    scripts: list[list[str]] = []
    for text in texts:
        # With its own turns first: an attack that is not thorough plays no others.
        script = with_text(oracle, partial(_fit, new=text))
        if script is not None:
            scripts.append(script)

        turns = list(_calls_with(tools, text, path="", text_only=True))
        turns.append(text)
        turns.append(f"```python\n{text}\n```")
        for turn in turns:
            scripts.append([turn, *ends])
    return scripts


def _stubs(names: Sequence[str], payload: str) -> str:
    """Functions of these names that return the payload."""
    lines: list[str] = []
    for name in names:
        lines.append(f"def {name}(*a, **k):\n")
        lines.append(f"    return {payload}\n")
    return "".join(lines)


def _fit(old: str, new: str) -> str:
    """The payload in the form of the line that it replaces, so that what follows still parses."""
    line = old.strip()
    if "\n" in line or "\n" in new:
        return new
    if line.startswith("return "):
        return f"return {new}"
    if line.endswith(":"):
        return f"if {new}:"
    return new


def _writers(subject: EnvUnderTest, task: Task) -> list[Mapping[str, Any]]:
    """The tools that take a path and a text."""
    writers = []
    for tool in subject.tools(task):
        strings = _strings(tool)
        takes_path = any(map(is_path, strings))
        takes_text = not all(map(is_path, strings))
        if takes_path and takes_text:
            writers.append(tool)
    return writers


def _write(
    subject: EnvUnderTest,
    task: Task,
    writers: Sequence[Mapping[str, Any]],
    path: str,
    text: str,
) -> Iterator[str]:
    tools = subject.tools(task)
    budget = subject.env.turn_budget(task)
    ends = closing_calls(tools, budget - 1)
    for call in _calls_with(writers, text, path=path, text_only=False):
        yield from play_attack(
            subject,
            task,
            [call, *ends],
            attack=f"writing {text!r:.30} to {path}",
        )


def _file_names(subject: EnvUnderTest, task: Task) -> list[str]:
    """File names that the prompt, the tools, the oracle or the replies to it mention."""
    tools = subject.tools(task)
    texts = [
        task.prompt,
        subject.env.instructions,
        json.dumps(tools),
    ]
    with suppress(NotDefined):
        oracle = subject.oracle(task)
        texts += subject.play(task, oracle).chat
    # `ls` is one of them.
    budget = subject.env.turn_budget(task)
    for call in closing_calls(tools, budget):
        texts += subject.play(task, [call]).chat

    names: dict[str, None] = {}
    for text in texts:
        names |= dict.fromkeys(_NAMED.findall(text))
    return list(names)[:MAX_NAMED]


def _calls(tools: Sequence[Mapping[str, Any]], path: str, text: str) -> list[list[str]]:
    """One turn for each tool that takes a path."""
    with_path = []
    for tool in tools:
        if any(map(is_path, _strings(tool))):
            with_path.append(tool)
    calls = _calls_with(with_path, text, path=path, text_only=False)
    return [[call] for call in calls]


def _calls_with(
    tools: Sequence[Mapping[str, Any]], text: str, *, path: str, text_only: bool
) -> Iterator[str]:
    """A call of each tool that takes strings; `text_only` leaves out those that take only paths."""

    def fill(name: str, schema: Mapping[str, Any]) -> Any:
        """The path or the text, whichever the parameter takes, else something small."""
        if not takes_any_string(schema):
            return smallest(schema)
        if is_path(name):
            # Without a path, a tool that needs one is not called.
            return path or None
        return text

    for tool in tools:
        strings = _strings(tool)
        only_paths = all(map(is_path, strings))
        # Without strings all of none are paths: such a tool takes neither.
        if not strings or (text_only and only_paths):
            continue
        yield from filled_calls([tool], fill)


def _strings(tool: Mapping[str, Any]) -> list[str]:
    """Names of the parameters that take any string."""
    properties = tool["parameters"]["properties"].items()
    return [name for name, schema in properties if takes_any_string(schema)]
