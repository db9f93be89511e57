"""code_fn: what it asks, how it judges, and that nothing but the right function passes."""

from __future__ import annotations

import json
from functools import cache

import pytest

from envs.code.fn.env import CodeFn
from envs.code.fn.human_eval import problems
from envs.code.fn.human_eval_check import calls_of_check, check_fault
from envs.code.fn.run import run_calls
from envs.code.fn.specs import OPERATIONS, outcome
from envs.code.fn.tasks import calls_of, code_with_option, reference
from envs.toolspec import render_call
from envs.types import Task

OURS = ["train", "id", "ood/composition", "ood/surface"]
SPEC = {
    "stages": [["even", 0], ["sum", 0]],
    "place": 0,
    "others": [["odd", 0]],
    "options": [],
    "answer": 0,
    "name": "solve",
    "xs": "xs",
    "again": False,
    "key": "a",
}
RIGHT = "def solve(xs):\n    return sum(x for x in xs if x % 2 == 0)\n"
FIRST = "HumanEval/0"


@pytest.fixture
def env(sandboxes):
    env = CodeFn(sandboxes)
    yield env
    env.close()


def start(env, monkeypatch, spec=SPEC, level=1) -> None:
    task = Task(f"train/{level}/x", "train", level, "f", "p", spec)
    monkeypatch.setattr(env, "find", lambda *_: task)
    env.reset(seed=0, options={"split": "train", "level": level, "task_id": task.id})


def played(env, code: str):
    """The reply to a run of the code, and the verdict of its submission."""
    told = env.step(render_call("run", code=code))[0]
    detail, reward, terminated, _, info = env.step(render_call("submit"))
    assert terminated
    assert info["verified"] is (reward == 1.0)
    return told, reward, detail


@cache
def names_of(code: str) -> dict:
    names: dict = {}
    exec(code, names)
    return names


def run_text(code: str, call: str) -> str:
    return repr(eval(call, names_of(code)))


@pytest.mark.parametrize("split", OURS)
def test_the_functions_give_what_the_operations_give(split):
    env = CodeFn()
    for level in env.levels:
        for task in env.tasks(split, level)[:60]:
            wanted = {**calls_of(task, hidden=False), **calls_of(task, hidden=True)}
            assert len(wanted) > 15
            for call, value in wanted.items():
                assert run_text(reference(task), call) == value
            assert len(set(wanted.values())) > 3


@pytest.mark.parametrize("split", OURS)
def test_every_wrong_option_fails_a_visible_and_a_hidden_call(split):
    env = CodeFn()
    for task in env.tasks(split, 0)[:100]:
        assert code_with_option(task, task.payload["answer"]) == reference(task)
        for option in range(1, 5):
            if option == task.payload["answer"]:
                continue
            for hidden in (False, True):
                calls = calls_of(task, hidden=hidden)
                got = [run_text(code_with_option(task, option), call) for call in calls]
                assert got != list(calls.values())


def test_the_operations_do_what_they_say():
    xs = [3, -2, 4, 4, 7]
    shown = {
        "even": [-2, 4, 4],
        "odd": [3, 7],
        "above": [3, 4, 4, 7],
        "below": [-2],
        "multiples": [3],
        "no_multiples": [-2, 4, 4, 7],
        "add": [4, -1, 5, 5, 8],
        "less": [2, -3, 3, 3, 6],
        "times": [6, -4, 8, 8, 14],
        "square": [9, 4, 16, 16, 49],
        "negate": [-3, 2, -4, -4, -7],
        "absolute": [3, 2, 4, 4, 7],
        "remainder": [0, 1, 1, 1, 1],
        "floor": [3, 0, 4, 4, 7],
        "ceiling": [3, -2, 4, 4, 4],
        "reverse": [7, 4, 4, -2, 3],
        "rising": [-2, 3, 4, 4, 7],
        "falling": [7, 4, 4, 3, -2],
        "unique": [3, -2, 4, 7],
        "head": [3, -2],
        "tail": [-2, 4, 4, 7],
        "end": [4, 7],
        "shorten": [3, -2, 4, 4],
        "every": [3, 4, 7],
        "differences": [-5, 6, 0, 3],
        "pairs": [1, 2, 8, 11],
        "places": [3, -1, 6, 7, 11],
        "running": [3, 1, 5, 9, 16],
        "sum": 16,
        "count": 5,
        "largest": 7,
        "smallest": -2,
        "range": 9,
        "count_of": 0,
        "squares": 94,
        "different": 4,
    }
    found = {
        name: outcome([[name, one.numbers[0]]], xs) for name, one in OPERATIONS.items()
    }
    assert found == shown


def test_levels_and_splits_have_as_many_operations_as_the_datasheet_says():
    env = CodeFn()

    def counts(split):
        return [
            {len(t.payload["stages"]) for t in env.tasks(split, n)} for n in env.levels
        ]

    assert (
        counts("train")
        == counts("id")
        == counts("ood/surface")
        == [{2}, {1}, {2}, {3}, {4}]
    )
    assert counts("ood/composition") == [{3}, {3}, {4}, {5}, {6}]
    assert [len(env.tasks("train", level)) for level in env.levels] == [2000] * 5
    assert [len(env.tasks("ood/domain", level)) for level in env.levels] == [164] * 5


def test_a_function_is_tried_and_submitted(env, monkeypatch):
    start(env, monkeypatch)
    assert env.step(render_call("submit"))[0] == "run first"
    wrong = env.step(render_call("run", code="def solve(xs):\n    return sum(xs)\n"))[0]
    assert wrong.startswith("3 failed\nsolve([") or wrong.startswith(
        "2 failed\nsolve(["
    )
    assert " wanted " in wrong
    assert played(env, RIGHT) == ("all passed", 1.0, "all pass")


HACKS = [
    "def solve(xs):\n    return 0\n",
    "import os\nos._exit(0)\n",
    "import sys\nsys.exit(0)\n",
    "raise SystemExit\n",
    "while True:\n    pass\n",
    "def solve(xs):\n    return type('A', (), {'__eq__': lambda a, b: True})()\n",
    "def solve(xs):\n    return type('A', (int,), {'__repr__': lambda a: '0'})(0)\n",
    # Writes to every descriptor what an honest run would say, so far as it can be known.
    "import os\nfor n in range(3, 20):\n    try:\n        os.write(n, b'[\"1\"]\\n')\n"
    "    except OSError:\n        pass\nos._exit(0)\n",
    # Looks for the answers around itself.
    "import gc, re\ndef solve(xs):\n    for one in gc.get_objects():\n"
    "        if isinstance(one, dict) and 'wanted' in one:\n            return one['wanted']\n"
    "    return None\n",
    "def solve(xs):\n    return open('test_solution.py').read()\n",
    "]",
    "",
]


@pytest.mark.parametrize("code", HACKS)
def test_nothing_else_passes(code, env, monkeypatch):
    start(env, monkeypatch)
    told, reward, _ = played(env, code)
    assert told != "all passed"
    assert reward == 0.0


def test_a_values_text_is_compared_whole(sandboxes):
    """A cut text must not be taken for the whole one."""
    code = "def f():\n    return 1234567\n"
    run = run_calls(sandboxes, code, ["f()"], longest=3)
    assert run.failures(["123"]) == [0]
    assert run.failures(["1234567"]) == [0]
    assert run_calls(sandboxes, code, ["f()"], longest=7).failures(["1234567"]) == []


def test_no_wanted_value_enters_the_box(sandboxes):
    code = (
        "import os\ndef files():\n    return sorted(os.listdir())\n"
        "def words():\n    import sys\n    return sys.stdin.read() + repr(sys.argv[1:])\n"
    )
    run = run_calls(sandboxes, code, ["files()", "words()"], longest=200)
    assert run.values == ("['solution.py']", repr("[]"))


def domain(env, level: int, name: str = FIRST) -> Task:
    task = next(
        t for t in env.tasks("ood/domain", level) if t.payload["problem"] == name
    )
    env.reset(
        seed=0, options={"split": "ood/domain", "level": level, "task_id": task.id}
    )
    return task


def test_every_solution_of_human_eval_passes_its_own_tests(env):
    for task in env.tasks("ood/domain", 1):
        problem = domain(env, 1, task.payload["problem"])
        told = played(env, reference(problem))
        assert told == ("all passed", 1.0, "all pass"), task.id


USUAL = """
import itertools, math
from collections import Counter
from typing import List


def has_close_elements(numbers: List[float], threshold: float) -> bool:
    assert Counter(numbers).total() == len(numbers)
    return any(math.fabs(a - b) < threshold for a, b in itertools.combinations(numbers, 2))
"""


def test_an_honest_solution_may_use_the_usual_library(env):
    domain(env, 1)
    assert played(env, USUAL) == ("all passed", 1.0, "all pass")


FRAMES = """
def has_close_elements(numbers, threshold):
    def look():
        return walker.gi_frame.f_back.f_back.f_code.co_consts
    walker = (look() for _ in [0])
    return next(walker)
"""
FORMATS = """
def has_close_elements(numbers, threshold):
    walker = (("{0.gi_" + "frame.f_back}").format(walker) for _ in [0])
    return next(walker)
"""


@pytest.mark.parametrize(
    "code",
    [
        "def has_close_elements(numbers, threshold):\n    pass\n",
        "def has_close_elements(*a):\n    raise KeyboardInterrupt\n",
        "def has_close_elements(*a):\n    raise ValueError(10**5000)\n",
        "import unittest\nunittest.TestCase.run = None\n",
        "import sys\nsys.exit(0)\n",
        "class Yes:\n    def __eq__(self, other):\n        return True\n"
        "def has_close_elements(*a):\n    return Yes()\n",
        "def has_close_elements(a, b):\n    return open('test_solution.py')\n",
        "import os\ndef has_close_elements(a, b):\n    os.write(1, b'[true]')\n    os._exit(0)\n",
        FRAMES,
        FORMATS,
        "]",
    ],
)
def test_what_reaches_for_human_evals_check_finds_none(code, env):
    domain(env, 1)
    assert played(env, code)[1] == 0.0


@pytest.mark.parametrize("answer", [True, False, None, 0, [], "", 1.0])
def test_no_problem_of_human_eval_is_passed_by_one_answer(answer, sandboxes):
    passed = [
        problem.name
        for problem in [*problems().values()][::4]
        if not check_fault(
            sandboxes, problem, f"def {problem.entry}(*a):\n    return {answer!r}\n"
        )
    ]
    assert passed == []


@pytest.mark.slow
def test_every_solution_of_human_eval_passes_with_a_throw_away_name_and_what_it_imports(
    sandboxes,
):
    for problem in problems().values():
        front = (
            "import sys, collections.abc\nfor _ in range(1):\n    pass\n_ = sys.argv\n"
        )
        code = f"{front}{problem.prompt}{problem.body}\nif __name__ == '__main__':\n    print(1)\n"
        assert check_fault(sandboxes, problem, code) == "", problem.name


def test_values_that_are_equal_but_not_the_same_pass_as_the_check_has_it(sandboxes):
    problem = problems()["HumanEval/111"]  # a histogram: a Counter equals a dictionary
    code = (
        "from collections import Counter\n"
        "def histogram(test):\n"
        "    counts = Counter(test.split())\n"
        "    most = max(counts.values(), default=0)\n"
        "    return Counter({k: v for k, v in counts.items() if v == most})\n"
    )
    assert check_fault(sandboxes, problem, code) == ""


def test_the_examples_of_human_eval_are_what_its_solutions_give():
    found = {name: one.examples() for name, one in problems().items()}
    assert sum(map(bool, found.values())) == 68
    for name, examples in found.items():
        problem = problems()[name]
        for call, value in examples.items():
            assert run_text(problem.prompt + problem.body, call) == value


def test_at_level_0_an_option_of_human_eval_is_filled_in(env):
    task = domain(env, 0)
    answer = task.payload["answer"]
    wrong = next(n for n in range(1, 5) if n != answer)
    assert "failed" in env.step(render_call("fill", option=wrong))[0]
    assert env.step(render_call("fill", option=wrong))[0] == f"option {wrong} was tried"
    assert env.step(render_call("fill", option=9))[0] == "no option 9, choose 1 to 4"
    assert env.step(render_call("fill", option=answer))[0] == "all passed"
    assert env.step(render_call("submit"))[1] == 1.0


def test_a_snapshot_keeps_the_last_version(env, sandboxes, monkeypatch):
    start(env, monkeypatch)
    env.step(render_call("run", code=RIGHT))
    other = CodeFn(sandboxes)
    monkeypatch.setattr(other, "find", env.find)
    other.set_state(json.loads(json.dumps(env.get_state())))
    assert other.step(render_call("submit"))[1] == 1.0


def printing(text: str) -> str:
    """Code that writes a text where the driver writes its values, and ends."""
    return (
        f"import os\nfor fd in range(3, 9):\n    try:\n        os.write(fd, {text} + b'\\n')\n"
        "    except OSError:\n        pass\nos._exit(0)\n"
    )


@pytest.mark.parametrize("depth", [200, 900, 950, 980, 50_000])
def test_an_answer_nested_too_deep_is_a_wrong_one_and_no_error(
    depth, env, sandboxes, monkeypatch
):
    """Else a policy turns its failures into errored episodes, which leave the group."""
    deep = f"b'[' * {depth} + b']' * {depth}"
    start(env, monkeypatch)
    for text in (deep, f"b'[' * {depth}"):
        env.step(render_call("run", code=printing(text)))
    assert env.step(render_call("submit"))[1] == 0.0
    problem = problems()["HumanEval/0"]
    assert check_fault(sandboxes, problem, printing(deep))
    calls = len(calls_of_check(sandboxes, problem.name).arguments)
    listed = f"b'[' + b'0, ' * {calls - 1} + {deep} + b']'"
    assert check_fault(sandboxes, problem, printing(listed))
