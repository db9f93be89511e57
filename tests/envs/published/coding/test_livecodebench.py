"""LiveCodeBench: which problems there are, and which outputs are right."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from envs.published.coding import lcb_data
from envs.published.coding.lcb_data import Test as Case
from envs.published.coding.lcb_data import _unpack, problems
from envs.published.coding.lcb_judge import example_fault, program_fault, same_output
from envs.releases.published import FOLDER_VARIABLE
from envs.rollout import play
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.published.small import PAIRS_RIGHT, SUM_RIGHT


def program(turn):
    return turn.removeprefix("```python\n").removesuffix("```")


def test_problems_before_february_are_left_out_and_tests_are_unpacked(small_data):
    first, second = problems()
    assert (first.name, first.function) == ("new_a", "")
    assert [test.output for test in first.tests()] == ["3\n", "11\n", "2\n", "0.50\n"]
    assert (second.name, second.function) == ("new_b", "pairs")
    assert second.starter.endswith("n: int) -> List:")
    assert [test.input for test in second.public] == ["[1, 2]\n3"]


def test_tests_that_are_not_packed_are_read_too():
    rows = [{"input": "1", "output": "2", "testtype": "stdin"}]
    assert _unpack(json.dumps(rows)) == rows


class Harm:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_pickle_that_would_run_something_is_refused():
    packed = base64.b64encode(zlib.compress(pickle.dumps(Harm()))).decode()
    with pytest.raises(pickle.UnpicklingError, match="system in a file of tests"):
        _unpack(packed)


def test_another_number_of_problems_is_refused(small_data, monkeypatch):
    monkeypatch.setattr(lcb_data, "SIZE", 3)
    problems.cache_clear()
    with pytest.raises(ValueError, match="3 rows and 2 from 2025-02-01 on, expected 3"):
        problems()


def test_each_test_belongs_to_one_half_and_the_draw_is_the_same_everywhere(small_data):
    for problem in problems():
        first, second = problem.half("first"), problem.half("second")
        assert len(first) == len(problem.tests()) // 2
        assert sorted([*first, *second], key=str) == sorted(problem.tests(), key=str)
        assert problem.half("first") == first


def test_the_splits_of_halves_ask_the_same_and_judge_otherwise(small_data, make_env):
    env = make_env("livecodebench_halves")
    train, held_out = env.tasks("train", 0)[0], env.tasks("id", 0)[0]
    assert train.prompt == held_out.prompt
    assert train.content_hash != held_out.content_hash
    tests = env.problem(train).half("first")
    # A table of what the training half expects passes there alone.
    table = {test.input: test.output for test in tests}
    turn = f"```python\nimport sys\nprint({table!r}.get(sys.stdin.read()))\n```"
    assert play(env, ScriptedPolicy([turn]), train).verified is True
    assert play(env, ScriptedPolicy([turn]), held_out).verified is False


def test_a_prompt_says_how_the_program_is_run(small_data, make_env):
    reads, function = make_env("livecodebench").tasks("id", 0)
    assert reads.prompt.endswith("Read from standard input, write to standard output.")
    assert function.prompt.endswith(
        "Begin with this code:\n```python\nclass Solution:\n"
        "    def pairs(self, xs: List[int], n: int) -> List:\n```"
    )
    hidden = "11\n"
    assert hidden not in reads.prompt


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        ("1\n2\n", "1\n2"),
        ("1 2", " 1 2 \n\n"),
        ("0.50", "0.5"),
        ("1 2.0", "1.0 2"),
        ("Yes", "Yes"),
        ("1000000000000000000001", "1000000000000000000001.0"),
    ],
)
def test_equal_outputs_are_right(expected, output):
    assert same_output(expected, output)


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        ("1\n2", "1 2"),
        ("1\n2", "1\n2\n3"),
        ("Yes", "yes"),
        ("50000000000000000", "50000000000000001"),
        ("1", ""),
        ("", "1"),
        ("1 2", "1 2 3"),
        ("NaN", "nan x"),
    ],
)
def test_other_outputs_are_wrong(expected, output):
    assert not same_output(expected, output)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (program(SUM_RIGHT), ""),
        (
            "import sys\nfrom decimal import Decimal\n"
            "print(sum(map(Decimal, sys.stdin.buffer.read().decode().split())))\nsys.exit(3)",
            "",
        ),
        (
            "from decimal import Decimal\nif __name__ == '__main__':\n"
            "    print(sum(map(Decimal, input().split())))",
            "",
        ),
        ("print(3)", "test 2 of 4: wrong answer"),
        ("print(int(input()))", "test 1 of 4: ValueError: invalid literal for int()"),
        ("import os\nos._exit(0)", "test 1 of 4: wrong answer"),
        ("import os\nos._exit(1)", "test 1 of 4: it ended itself"),
        ("import os\nos.remove('output')", "test 1 of 4: its output is gone"),
        ("print(", "test 1 of 4: SyntaxError: '(' was never closed"),
    ],
)
def test_what_is_wrong_with_a_program_that_reads_input(
    text, fault, small_data, sandboxes
):
    problem, _ = problems()
    found = program_fault(sandboxes, problem, problem.tests(), text)
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (program(PAIRS_RIGHT), ""),
        # As LiveCodeBench's harness has it: a tuple outside is a list, one inside is none.
        (
            "def pairs(xs, n):\n    return tuple(list(p) for p in zip(xs, xs[1:]))",
            "",
        ),
        ("def pairs(xs, n):\n    return list(zip(xs, xs[1:]))", "wrong answer"),
        ("def pairs(xs, n):\n    print([[1, 2]])", "wrong answer"),
        ("def pairs(xs):\n    return []", "TypeError: pairs() takes 1 positional"),
        ("x = 1", "KeyError: 'pairs'"),
        ("class Solution:\n    pass", "AttributeError: 'Solution' object has no"),
        ("def pairs(xs, n):\n    return {'dict': [['a']]}", "wrong answer"),
        ("def pairs(xs, n):\n    return set()", "TypeError: Object of type set is"),
    ],
)
def test_what_is_wrong_with_a_function(text, fault, small_data, sandboxes):
    _, problem = problems()
    found = program_fault(sandboxes, problem, problem.tests(), text)
    assert found == "" if not fault else fault in found


@pytest.mark.daily(0)
def test_a_program_without_an_end_is_stopped(small_data, sandboxes):
    problem, _ = problems()
    found = program_fault(sandboxes, problem, problem.tests(), "while True: pass")
    assert found == "test 1 of 4: no answer in 6 s"


def test_large_inputs_and_outputs_are_compared_whole(small_data, sandboxes):
    problem, _ = problems()
    numbers = "\n".join(map(str, range(100_000)))
    test = Case(numbers, numbers)
    echo = "import sys\nsys.stdout.write(sys.stdin.read())"
    assert program_fault(sandboxes, problem, [test], echo) == ""
    short = replace(test, output=numbers[:-1])
    assert "wrong answer" in program_fault(sandboxes, problem, [short], echo)


def test_a_failing_example_is_shown(small_data, sandboxes):
    problem, _ = problems()
    assert example_fault(sandboxes, problem, program(SUM_RIGHT)) == ""
    assert example_fault(sandboxes, problem, "print(4)") == (
        "example 1: wrong answer\nInput:\n1 2\nExpected:\n3\nGot:\n4"
    )


def test_a_program_may_be_corrected_with_feedback_alone(small_data, make_env):
    wrong = "```python\nprint(4)\n```"
    for name, passed, turns in (
        ("livecodebench", False, 1),
        ("livecodebench_feedback", True, 2),
    ):
        env = make_env(name)
        episode = play(env, ScriptedPolicy([wrong, SUM_RIGHT]), env.tasks("id", 0)[0])
        assert (episode.verified, len(episode.turns)) == (passed, turns)


def test_what_passes_the_examples_alone_fails(small_data, make_env):
    env = make_env("livecodebench_feedback")
    turn = "```python\nprint(3)\n```"
    episode = play(env, ScriptedPolicy([turn] * 5), env.tasks("id", 0)[0])
    assert episode.verified is False
    assert len(episode.turns) == 1
    assert episode.verdict.detail == "test 2 of 4: wrong answer"


def test_the_published_problems_are_those_of_the_paper(need_files):
    need_files("livecodebench")
    statements = Path(
        os.environ.get(FOLDER_VARIABLE, ""), "livecodebench_v6/statements.jsonl"
    )
    if not statements.is_file():
        pytest.skip(f"{statements} is not at hand")
    rows = [json.loads(line) for line in statements.read_text().strip().split("\n")]
    assert {row["question_id"] for row in rows} == {p.name for p in problems()}
    functions = [row for row in rows if "class Solution" in row["prompt"]]
    assert len(functions) == sum(bool(problem.function) for problem in problems())


def test_the_known_statements_have_the_size_that_is_expected():
    statements = Path(
        os.environ.get(FOLDER_VARIABLE, ""), "livecodebench_v6/statements.jsonl"
    )
    if not statements.is_file():
        pytest.skip(f"{statements} is not at hand")
    rows = [json.loads(line) for line in statements.read_text().strip().split("\n")]
    assert len(rows) == lcb_data.SIZE
    assert min(row["contest_date"] for row in rows) >= lcb_data.FIRST_DAY
