"""What the composed submissions of `fuzz` are made of, as expressions and statements."""

from __future__ import annotations

__all__ = [
    "ENDINGS",
    "EXCEPTIONS",
    "IMPORTS",
    "LINES",
    "PATCHABLE",
    "REPLACEMENTS",
    "RESULTS",
]

IMPORTS = (
    "import atexit, builtins, copy, gc, json, math, os, random, signal, sys, threading, time\n"
    "import unittest, warnings\n"
)

# fmt: off
EXCEPTIONS = (
    "KeyboardInterrupt", "SystemExit(0)", "GeneratorExit", "StopIteration(0)", "MemoryError",
    "RecursionError", "AssertionError", "ValueError(10**5000)", "ValueError('\\udcff')",
    "BaseException", "UnicodeError", "NotImplementedError", "OSError(28, 'full')",
    "__import__('unittest').SkipTest('s')", "__import__('asyncio').CancelledError",
    "type('AssertionError', (BaseException,), {'__str__': lambda e: 1 / 0})",
)
"""What a function raises."""

RESULTS = (
    "True", "1", "1.0", "0", "''", "None", "[]", "{}", "()", "float('nan')", "10**5000",
    "NotImplemented", "...", "object()", "'\\udcff'", "b''", "1j", "range(3)", "set()",
    "type('Any', (), {'__eq__': lambda a, b: True, '__hash__': lambda a: 0})()",
    "type('Liar', (int,), {'__eq__': lambda a, b: True, '__repr__': lambda a: '1'})(1)",
    "type('Text', (str,), {'__eq__': lambda a, b: True, '__hash__': str.__hash__})('x')",
    "type('Bad', (), {'__repr__': lambda a: 1 / 0})()",
    "a[0] if a else None", "function(*a, **k)", "[function(*a, **k)]", "str(function(*a, **k))",
    "k", "a", "function", "not function(*a, **k)", "[[]] * 99",
)
"""What a function returns."""

PATCHABLE = (
    "builtins.repr", "builtins.len", "builtins.isinstance", "builtins.eval", "builtins.str",
    "builtins.getattr", "builtins.sorted", "builtins.print", "builtins.open",
    "json.dumps", "json.loads", "os.write", "os._exit", "os.dup2", "sys.exit", "os.fdopen",
    "unittest.TestCase.run", "unittest.TestCase.assertEqual", "unittest.TestResult.addFailure",
    "unittest.TestCase.fail", "math.isclose", "copy.deepcopy", "random.seed", "time.monotonic",
)
"""What a grader may use in the submission's process."""

REPLACEMENTS = (
    "lambda *a, **k: None", "lambda *a, **k: True", "lambda *a, **k: 'passed'", "None",
    "lambda *a, **k: a[0] if a else None", "lambda *a, **k: len(a)",
    "lambda *a, **k: os._exit(0)",
)
"""What is put in its place."""

LINES = (
    "[]", "{}", "true", "null", "passed", "OK", "[true]", "[[]]", '["over", 0]',
    '{"passed": true}', '["end", "passed", ""]', '["start", "T.a"]', '["T.a", ""]', "ok 1",
    "[1, 1, 1]", "\\x00", "1", '["values", [1]]', '[["values", [true]]]', "0" * 32 + " []",
    '"' * 9, '["broke", ""]',
)
"""Lines of forged reports."""

ENDINGS = (
    "os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), 9)", "os.closerange(0, 32)", "pass",
    "sys.setrecursionlimit(70)", "os.abort()", "signal.raise_signal(14)", "os.close(1)",
    "sys.settrace(lambda *a: None)", "os.dup2(1, 2)", "sys.modules.clear()", "gc.disable()",
    "sys.stdout.close()", "threading.Thread(target=os._exit, args=(0,)).start()",
    "atexit.register(os._exit, 0)", "warnings.simplefilter('error')", "random.seed(0)",
)
"""What ends or breaks the process."""
# fmt: on
