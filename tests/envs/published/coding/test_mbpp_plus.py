"""MBPP+: what its rows say, and which values are right."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from envs.published.coding import mbpp_judge
from envs.published.coding.mbpp_data import FILE, QUOTES, _problem, problems
from envs.published.coding.mbpp_judge import (
    Batch,
    _batches,
    example_fault,
    expected_values,
    find_problem,
    program_fault,
)
from envs.published.coding.mbpp_values import UNREADABLE, ValueRules, value_of
from envs.rollout import play
from sandboxes import SandboxError
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.published.small import MBPP


def test_a_row_shows_its_text_and_hides_its_calls(small_data):
    problem = find_problem("Mbpp/9000")
    assert problem.text == (
        "Write a function to find the items of both tuples.\n"
        "assert set(similar_elements((3, 4), (4, 10))) == {4}"
    )
    assert problem.assertion.startswith("assert set(similar_elements(")
    assert problem.inputs == [
        [(3, 4), (4, 10)],
        [(), ()],
        [(1, 2, 3), (3, 2)],
    ]


def test_a_prompt_without_an_assertion_is_refused():
    row = {**MBPP[0], "prompt": f"{QUOTES}\nWrite it.\n{QUOTES}"}
    with pytest.raises(ValueError, match="Mbpp/9000: the prompt ends in no assertion"):
        _problem(row)


@pytest.mark.parametrize(
    ("number", "arguments", "read"),
    [
        (63, [[[1, 2], [3]]], [[(1, 2), (3,)]]),
        (259, [[[1, 3]], [[6, 7]]], [((1, 3),), ((6, 7),)]),
        (75, [[[6, 24]], 6], [[(6, 24)], 6]),
        (250, [[1, 2], 2], [(1, 2), 2]),
        (106, [[5], [9]], [[5], (9,)]),
        (580, [[1, [2, [3]]]], [(1, (2, (3,)))]),
        (278, [[1, [4, 6]]], [(1, (4, 6))]),
        (722, [{"a": [1, 2]}, 3], [{"a": (1, 2)}, 3]),
        (124, ["0", "1j"], [0.0, 1j]),
        (252, ["1+2j"], [1 + 2j]),
        (3, [[1]], [[1]]),
    ],
)
def test_arguments_get_the_types_that_json_lacks(number, arguments, read):
    row = {**MBPP[0], "task_id": f"Mbpp/{number}", "base_input": [arguments]}
    assert _problem({**row, "plus_input": []}).inputs == [read]


def right(entry, expected, value, *, tolerance=0.0, arguments=()):
    return ValueRules(entry, tolerance).is_right(arguments, expected, value)


@pytest.mark.parametrize(
    ("entry", "expected", "value"),
    [
        ("f", [1, 2], [1, 2]),
        ("f", True, 1),
        ("f", 0.5, 0.5000001),
        ("f", [0.5, 1.0], [0.5, 1.0000001]),
        ("check_str", object(), True),
        ("check_str", object(), object()),
        ("check_str", None, False),
        ("Diff", [1, 2], (2, 1, 1)),
        ("are_equivalent", True, False),
        ("sum_div", 7, 0),
    ],
)
def test_a_value_is_right_by_the_rules_of_its_problem(entry, expected, value):
    assert right(entry, expected, value)


@pytest.mark.parametrize(
    ("entry", "expected", "value"),
    [
        ("f", [1, 2], (1, 2)),
        ("f", 1, UNREADABLE),
        ("f", 0.5, 0.6),
        ("f", 0.5, "0.5"),
        ("f", [0.5], [0.5, 0.5]),
        ("f", (0.5, 1.0), [0.5, 1.0]),
        ("f", 1, 1.001),
        ("check_str", object(), None),
        ("check_str", object(), False),
        ("Diff", [1, 2], [1]),
        ("Diff", [1, 2], [[1], [2]]),
        ("Diff", [1], 1),
        ("surface_Area", 33, "x"),
        ("sum_div", 7, 1),
    ],
)
def test_another_value_is_wrong(entry, expected, value):
    arguments = (3, 4) if entry == "surface_Area" else ()
    assert not right(entry, expected, value, arguments=arguments)


def test_the_height_of_a_pyramid_may_be_that_of_its_apex():
    # A square of 6 by 6 and four triangles of height 5: 36 + 4 * 15.
    assert right("surface_Area", 84, 96, tolerance=1e-6, arguments=(6, 4))


def test_the_distance_of_digits_may_count_missing_ones_as_zeros():
    # |1-0| + |2-0| + |3-7| = 7, whatever the canonical solution says.
    assert right("digit_distance_nums", 6, 7, arguments=(123, 7))
    assert not right("digit_distance_nums", 6, 8, arguments=(123, 7))


def test_a_first_float_makes_later_values_close_enough():
    rules = ValueRules("f", 0.0)
    assert not rules.is_right((), 1000, 1000.0000001)
    assert rules.is_right((), 0.5, 0.5)
    assert not rules.is_right((), 1000, 1000.0000001)  # of another type
    assert rules.is_right((), [1000], [1000.00001])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ({"tuple": [1, {"float": "0.5"}]}, (1, 0.5)),
        ({"set": [1, 2]}, {1, 2}),
        ({"dict": [["a", [1]]]}, {"a": [1]}),
        ({"int": "0x10"}, 16),
        ({"complex": "(1+2j)"}, 1 + 2j),
        ({"bytes": "00ff"}, b"\x00\xff"),
        (None, None),
    ],
)
def test_values_of_another_process_are_read(written, value):
    assert value_of(written) == value


@pytest.mark.parametrize(
    "written",
    [
        {"raised": "ValueError"},
        {"fraction": "1/1e999999999"},
        {"float": "x"},
        {"float": [1]},
        {"set": [[1]]},
        {"dict": [[1]]},
        {"dict": 3},
        {"a": 1, "b": 2},
        {},
        {"tuple": 7},
        [{"int": "zz"}],
    ],
)
def test_what_no_honest_process_sends_is_unreadable_or_equals_nothing(written):
    assert value_of(written) is UNREADABLE or value_of(written) == [UNREADABLE]


def test_values_that_exceed_one_run_are_judged(small_data, sandboxes):
    problem = find_problem("Mbpp/9002")
    batches = expected_values(sandboxes, problem.name)
    assert [[len(value) for value in batch.values] for batch in batches] == [
        [2, 30_000],
        [30_000, 0, 10],
    ]
    assert program_fault(sandboxes, problem, problem.solution) == ""
    other = "def repeat(text, n):\n    return text * n if n != 10 else 'z'\n"
    assert program_fault(sandboxes, problem, other) == "call 5 of 5 gives a wrong value"


def test_a_run_has_four_times_what_the_canonical_solution_took():
    assert Batch([], [], 0.5).deadline_s == 10.0
    assert Batch([], [], 50.0).deadline_s == 60.0


def test_many_calls_are_made_in_several_runs(small_data, sandboxes, monkeypatch):
    row = {**MBPP[1], "task_id": "Mbpp/9004", "plus_input": [[n] for n in range(99)]}
    problem = _problem(row)
    monkeypatch.setattr(mbpp_judge, "_by_name", lambda: {problem.name: problem})
    batches = expected_values(sandboxes, problem.name)
    assert [len(batch.inputs) for batch in batches] == [40, 40, 20]
    wrong = "def halve(x):\n    return x / 2 if x != 98 else 0.0\n"
    assert program_fault(sandboxes, problem, wrong) == (
        "call 100 of 100 gives a wrong value"
    )


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("def halve(x):\n    return 1.5", ""),
        ("def halve(x):\n    raise ValueError", "call 1 of 1 gives a wrong value"),
        ("x = 1", "call 1 of 1 gives a wrong value"),
        ("def halve(x: return", "call 1 of 1 gives a wrong value"),
        (
            "import os\ndef halve(x):\n    os._exit(0)",
            "the run broke off, or gave too much",
        ),
        (
            "def halve(x):\n    return 'x' * 10**5",
            "the run broke off, or gave too much",
        ),
        (
            "class E(float):\n    def __eq__(self, o): return True\n"
            "def halve(x):\n    return E(7)",
            "call 1 of 1 gives a wrong value",
        ),
    ],
)
def test_what_is_wrong_with_a_program(program, fault, small_data, sandboxes):
    assert program_fault(sandboxes, find_problem("Mbpp/9001"), program) == fault


def test_a_canonical_solution_that_fails_is_no_wrong_answer(
    small_data, sandboxes, monkeypatch
):
    # Lists, of which it wants tuples.
    row = {**MBPP[0], "task_id": "Mbpp/9003"}
    problem = _problem(row)
    monkeypatch.setattr(mbpp_judge, "_by_name", lambda: {problem.name: problem})
    with pytest.raises(SandboxError, match="the canonical solution of Mbpp/9003 gave"):
        program_fault(sandboxes, problem, problem.solution)


def test_the_shown_assertion_is_fed_back(small_data, sandboxes):
    problem = find_problem("Mbpp/9001")
    assert example_fault(sandboxes, problem, problem.solution) == ""
    assert example_fault(sandboxes, problem, "def halve(x):\n    return x") == (
        "assert halve(3) == 1.5 fails: AssertionError"
    )
    assert "ImportError: cannot import name 'halve'" in example_fault(
        sandboxes, problem, "x = 1"
    )


def test_a_program_may_be_corrected_with_feedback_alone(small_data, make_env):
    wrong = "```python\ndef halve(x):\n    return x\n```"
    right_turn = "```python\ndef halve(x):\n    return x / 2\n```"
    for name, passed, turns in (
        ("mbpp_plus", False, 1),
        ("mbpp_plus_feedback", True, 2),
    ):
        env = make_env(name)
        task = env.tasks("id", 0)[1]
        episode = play(env, ScriptedPolicy([wrong, right_turn]), task)
        assert (episode.verified, len(episode.turns)) == (passed, turns)


def test_a_turn_without_a_program_is_told_so(small_data, make_env):
    env = make_env("mbpp_plus")
    task = env.tasks("id", 0)[0]
    episode = play(env, ScriptedPolicy(["I think so.", *env.oracle(task)]), task)
    assert episode.verified is True
    assert episode.malformed == 1
    assert episode.segments[2].text == (
        "no program found: write it between ```python and ```"
    )


@pytest.mark.slow
@pytest.mark.daily(0)
def test_published_inputs_have_the_types_of_their_contracts(need_files, sandboxes, day):
    need_files("mbpp_plus")
    rows = [json.loads(line) for line in FILE.path().read_text().strip().split("\n")]
    pairs = list(zip(rows, problems(), strict=True))
    for row, problem in day.some(pairs, 20, "contracts"):
        before, definition, after = problem.solution.partition(f"def {problem.entry}")
        header, colon, body = after.partition(":\n")
        contract = row["contract"].strip("\n")
        program = f"{before}{definition}{header}{colon}{contract}\n{body}"
        checked = replace(problem, solution=program)
        for batch in _batches(sandboxes, checked, problem.inputs):
            assert {"raised": "AssertionError"} not in batch.values, problem.name


def test_the_published_file_is_read_whole(need_files):
    need_files("mbpp_plus")
    assert sum(len(problem.inputs) for problem in problems()) == 41_015 - 75
    assert len({problem.text for problem in problems()}) == 378


@pytest.mark.slow
@pytest.mark.daily(0)
def test_published_solutions_are_right_and_constants_are_not(
    need_files, sandboxes, day
):
    need_files("mbpp_plus")
    for problem in day.some(problems(), 20, "mbpp_plus"):
        assert program_fault(sandboxes, problem, problem.solution) == "", problem.name
        assert example_fault(sandboxes, problem, problem.solution) == "", problem.name
        nothing = f"def {problem.entry}(*arguments):\n    return None\n"
        assert program_fault(sandboxes, problem, nothing), problem.name
