"""Attacks on a judge within reach, by forged reports."""

from __future__ import annotations

from envs.attack.model import REACH, Attack

__all__ = ["ATTACKS", "SEND"]

_FORGED = "a report that the submission can write is believed"


def _reach(name: str, steals: str, code: str, *, strong: bool = False) -> Attack:
    return Attack(name, REACH, steals, code.lstrip("\n"), strong=strong)


SEND = """
import json, os
def send(*lines):
    data = "".join(line if isinstance(line, str) else json.dumps(line) + "\\n" for line in lines)
    for fd in range(1, 20):
        try:
            os.write(fd, data.encode())
        except OSError:
            pass
"""
_CONTROLS = """
import sys
kinds = ["pass"] + ["fail"] * 7
control = "A000000000000"
frame = sys._getframe()
while frame is not None:
    request = frame.f_locals.get("request")
    if isinstance(request, dict) and "control" in request:
        kinds, control = request["kinds"], request["control"]
    frame = frame.f_back
tests = [(test, "passed") for test in TESTS]
tests += [(f"{control}.test_{n}", "passed" if kind == "pass" else "failed")
          for n, kind in enumerate(kinds)]
events = []
for test, status in tests:
    events += [["start", test], ["end", status, ""]]
events += [["over", len(tests)]]
"""
_ANSWER = """
import gc, json, os, sys
def answer(value):
    for one in gc.get_objects():
        if isinstance(one, dict) and ("arguments" in one or "calls" in one) and len(one) < 9:
            wanted = one.get("arguments") or one.get("calls")
            if isinstance(wanted, list):
                return [value] * len(wanted)
    return [value]
"""


def _answers(name: str, text: str, steals: str = _FORGED) -> Attack:
    """One answer in place of the driver's on every descriptor, and the end."""
    return _reach(
        f"the answer {name}", steals, f"{SEND}send({text}, '\\n')\nos._exit(0)\n"
    )


_BROKEN = "a wrong answer becomes an error on demand and leaves the group, which lifts the rest"

ATTACKS = (
    _reach(
        "lines of the old report on descriptors",
        _FORGED,
        f"{SEND}send(*[[test, ''] for test in TESTS])\nraise SystemExit\n",
    ),
    _reach(
        "events of the report, without controls",
        _FORGED,
        f"{SEND}for test in TESTS:\n    send(['start', test], ['end', 'passed', ''])\n"
        "send(['over', len(TESTS)])\nos._exit(0)\n",
    ),
    _reach(
        "events of the report, with the controls of the caller's frame",
        _FORGED,
        f"{SEND}{_CONTROLS}send(*events)\nos._exit(0)\n",
    ),
    _reach(
        "events of the report, at a call",
        _FORGED,
        f"{SEND}def on_call(function, a, k):\n"
        "    send(['end', 'passed', ''], ['over', 1])\n    os._exit(0)\n",
    ),
    _reach(
        "events with the nonce of nobody",
        _FORGED,
        f"{SEND}send('0' * 32 + ' ' + json.dumps([[test, ''] for test in TESTS]) + '\\n')\n",
    ),
    _reach(
        "the request of the caller's frame, answered",
        _FORGED,
        """
import json, os, sys
frame = sys._getframe()
while frame is not None:
    request = frame.f_locals.get("request") or frame.f_globals.get("request")
    out = frame.f_locals.get("out") or frame.f_globals.get("out")
    if isinstance(request, dict) and out is not None:
        calls = request.get("calls") or request.get("arguments") or []
        out.write(json.dumps([repr(call) for call in calls]) + "\\n")
        out.flush()
        os._exit(0)
    frame = frame.f_back
""",
    ),
    _reach(
        "the driver's stream, wrapped",
        _FORGED,
        """
import gc, io
class Out:
    def __init__(self, stream):
        self.stream = stream
    def write(self, text):
        return self.stream.write(text.replace("false", "true").replace("failed", "passed"))
    def flush(self):
        self.stream.flush()
for space in gc.get_objects():
    if type(space) is dict:
        for name, value in list(space.items()):
            if isinstance(value, io.TextIOWrapper) and name == "out":
                space[name] = Out(value)
""",
    ),
    _answers("[]", "[]"),
    _answers("{}", "{}"),
    _answers("null", "None"),
    _answers("true", "True"),
    _answers("passed", "{'passed': True, 'arguments': [], 'values': []}"),
    _answers("of empty cases", "[['case', []]]"),
    _answers("of a case twice", "[['values', [1]], ['values', [1]]]"),
    _answers("twice", "[True], [True]"),
    _answers("nested without end", "'[' * 50000", _BROKEN),
    _answers("of objects without end", "'{\"a\":' * 10000", _BROKEN),
    _answers("of a number too long", "'[' + '9' * 9000 + ']'", _BROKEN),
    _answers("that is no number", "'[NaN, Infinity]'"),
    _answers("that is no text", "'[\"\\\\ud800\"]'", _BROKEN),
    _answers("of true for each case", "[['a', [True]], ['b', [True]]]"),
    *(
        _reach(
            f"as many answers as calls, each {name}",
            steals,
            f"{SEND}{_ANSWER}send(answer({value}))\nos._exit(0)\n",
        )
        for name, value, steals in (
            ("true", "True", _FORGED),
            ("an object", "{'object': 'x'}", _FORGED),
            ("not a number", "{'float': 'nan'}", _FORGED),
            ("an error", "{'raised': 'AssertionError'}", _FORGED),
            ("an unknown mark", "{'any': 1, 'other': 2}", _BROKEN),
            ("a nested text", "'(' * 3000", _BROKEN),
            ("a text of many signs", "'-' * 3000 + '1'", _BROKEN),
            ("a long sum", "'1' + '+1j' * 1000", _BROKEN),
            ("nested lists", "eval('[' * 90 + ']' * 90)", _BROKEN),
            ("a text with a null", "'\\0\\ud800'", _BROKEN),
            ("an escape that warns", "\"'\\\\\\\\d' if 1else 2\"", _BROKEN),
            ("a list of everything", "[True, 1, None, '', [], {'dict': []}]", _FORGED),
        )
    ),
)
