"""The cost of a verdict with the values compared outside, against the tests in one process.

Those tests, with the name check for `swe_lite`, were the whole verdict before there was a witness.
Everything is done in turn, round after round; a ratio is the median over pairs of neighbours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks import Row, comparison
from envs.code.debug.sandbox import judge
from envs.code.debug.scripts import tasks_of
from envs.code.fn.human_eval import Problem, problems
from envs.code.fn.human_eval_check import check_fault
from envs.code.swe_lite import corpus
from envs.code.swe_lite.grading import grade, run_suite
from envs.code.swe_lite.table import rows_with_witness
from envs.code.vet import new_reach
from sandboxes import SandboxConfig, SandboxPool, open_pool

ROUNDS = 5
PROBLEMS, SCRIPTS = 41, 41


def main(rounds: int | None = None) -> list[Row]:
    """Needs a sandbox."""
    rounds = rounds or ROUNDS
    rows: list[Row] = []
    with open_pool(SandboxConfig(size=1)) as pool:
        rows.append(_row("swe_lite, all 41 sources", _swe_lite(pool), rounds))
        rows.append(_row("code_fn, HumanEval", _human_eval(pool), rounds))
        rows.append(_row("code_debug", _code_debug(pool), rounds))
    return rows


Action = Callable[[], object]


def _swe_lite(pool: SandboxPool) -> list[tuple[Action, Action]]:
    """The right module's verdict, and its tests."""
    failing = {row.source: row.failing for row in rows_with_witness()}

    def verdict(package: corpus.Source) -> None:
        assert grade(pool, package, package.text, failing[package.name]).passed

    def tests(package: corpus.Source) -> None:
        assert not new_reach(package.text, package.text)
        files = {package.file: package.text, package.test_file: package.tests}
        assert not run_suite(pool, files, f"test_{package.name}").failures(
            package.all_ids
        )

    packages = [corpus.source(name) for name in corpus.names()]
    return [(lambda p=p: verdict(p), lambda p=p: tests(p)) for p in packages]


def _human_eval(pool: SandboxPool) -> list[tuple[Action, Action]]:
    """The canonical solution's verdict, and its check as a test."""

    def verdict(problem: Problem) -> None:
        assert not check_fault(pool, problem, problem.prompt + problem.body)

    def tests(problem: Problem) -> None:
        suite = (
            f"import unittest\n{problem.check()}\nfrom solution import {problem.entry}\n"
            "class Hidden(unittest.TestCase):\n"
            f"    def test_check(self):\n        check({problem.entry})\n"
        )
        files = {
            "solution.py": problem.prompt + problem.body,
            "test_solution.py": suite,
        }
        assert not run_suite(pool, files, "test_solution").failures(
            ["Hidden.test_check"]
        )

    return [
        (lambda p=p: verdict(p), lambda p=p: tests(p))
        for p in _some(problems(), PROBLEMS)
    ]


def _code_debug(pool: SandboxPool) -> list[tuple[Action, Action]]:
    """The right script's verdict, and its assertions as tests."""

    def verdict(payload: dict) -> None:
        assert judge(pool, payload, payload["right"]).passed

    def tests(payload: dict) -> None:
        suite = ["import unittest, script", "class Check(unittest.TestCase):"]
        pairs = [*payload["visible"], *payload["hidden"]]
        for number, (call, value) in enumerate(pairs):
            suite += [f"    def test_{number}(self):"]
            suite += [f"        self.assertEqual(script.{call}, {value})"]
        files = {
            "script.py": "\n".join(payload["right"]),
            "test_script.py": "\n".join(suite),
        }
        run = run_suite(pool, files, "test_script")
        assert not run.failures(
            [f"Check.test_{number}" for number in range(len(pairs))]
        )

    payloads = [dict(tasks_of("id", 2)[number].payload) for number in range(SCRIPTS)]
    return [(lambda p=p: verdict(p), lambda p=p: tests(p)) for p in payloads]


def _some(by_id: Mapping[str, Problem], count: int) -> list[Problem]:
    """Problems at equal distances."""
    values = list(by_id.values())
    step = max(1, len(values) // count)
    return values[::step][:count]


def _row(name: str, pairs: Sequence[tuple[Action, Action]], rounds: int) -> Row:
    times: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        for verdict, tests in pairs:
            pair = (_ms(verdict), _ms(tests))
            # The first round also runs the right module, once in a process.
            if number:
                times.append(pair)
        print(
            f"\r[bench] verdict, {name}: round {number} of {rounds}",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    return comparison("verdict", name, "ms", times, "tests in one process")


def _ms(action: Action) -> float:
    begun = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begun)
