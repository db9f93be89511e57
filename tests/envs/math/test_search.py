"""math_search: what it asks, how it judges, and that its labels are right."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction

import pytest

from envs.math.puzzles import judge, jugs_path, unreachable_amounts
from envs.math.search import MathSearch
from envs.toolspec import render_call
from envs.types import Task

GIVEN = {"numbers": [8, 3, 2], "target": 22, "ordered": False}
IN_ORDER = {"numbers": [8, 3, 2], "target": 14, "ordered": True}


@pytest.fixture
def env():
    return MathSearch()


def start(env, monkeypatch, **puzzle) -> None:
    task = Task("train/1/x", "train", 1, "f", "p", puzzle)
    monkeypatch.setattr(env, "find", lambda *_: task)
    env.reset(seed=0, options={"split": "train", "level": 1, "task_id": task.id})


def attempt(expression: str) -> str:
    return render_call("attempt", expression=expression)


def of_kind(env, split, level, kind):
    return [task for task in env.tasks(split, level) if task.payload["kind"] == kind]


@pytest.mark.parametrize("split", ["train", "id", "ood/difficulty"])
def test_the_expressions_make_the_targets_that_the_prompts_say(split, env):
    for level in env.levels:
        for task in env.tasks(split, level)[:200]:
            solution = task.payload["solution"]
            in_prompt = sorted(map(int, re.findall(r"\d+", task.prompt)))
            used = [int(number) for number in re.findall(r"\d+", solution)]
            value = eval(
                re.sub(r"(\d+)", r"Fraction(\1)", solution), {"Fraction": Fraction}
            )
            assert sorted([*used, int(value)]) == in_prompt
            assert value == task.payload["target"]
            assert re.fullmatch(r"[-+*/() 0-9]+", solution)


def test_where_the_order_is_given_one_way_is_right(env):
    for split in ("train", "id", "ood/difficulty"):
        for task in env.tasks(split, 0)[:100]:
            gap, target = task.prompt.split(".")[0].split(" = ")
            signs = itertools.product("+-*", repeat=gap.count("?"))
            ways = [eval(gap.replace("?", "{}").format(*chosen)) for chosen in signs]
            assert ways.count(int(target)) == 1


def test_the_levels_have_as_many_numbers_as_the_datasheet_says(env):
    def counts(split):
        return [
            {len(t.payload["numbers"]) for t in env.tasks(split, n)} for n in env.levels
        ]

    assert counts("train") == counts("id") == [{3}, {3}, {3}, {4}, {6}]
    assert counts("ood/difficulty") == [{4}, {5}, {5}, {6}, {7}]
    fours = [task.payload["target"] for task in env.tasks("train", 3)]
    assert 0.4 < fours.count(24) / len(fours) < 0.6
    assert [len(env.tasks("train", level)) for level in env.levels] == [2000] * 5
    assert {len(env.tasks(s, n)) for s in env.splits[1:] for n in env.levels} == {300}


@pytest.mark.parametrize(
    ("puzzle", "expression"),
    [
        (GIVEN, "(8 + 3) * 2"),
        (GIVEN, "2*(3+8)"),
        (GIVEN, "8.0 * 3 - 2"),
        (IN_ORDER, "8 + 3 * 2"),
    ],
)
def test_an_expression_that_makes_the_target_is_right(puzzle, expression):
    assert judge(expression, puzzle)[0]


@pytest.mark.parametrize(
    ("puzzle", "expression", "part"),
    [
        (GIVEN, "8 * 3 - 2 + 0", "operations"),
        (GIVEN, "22", "use each of 8, 3, 2 once"),
        (GIVEN, "8 * 3", "use each"),
        (GIVEN, "8 + 8 + 3", "use each"),
        (GIVEN, "11 * 2 + 0", "use each"),
        (GIVEN, "8 * 3 - -2", "use each"),
        (GIVEN, "8 ** 2 - 3", "use each"),
        (GIVEN, "8 % 3 + 2", "use each"),
        (GIVEN, "8 * 3 + 2", "8 * 3 + 2 = 26, not 22"),
        (GIVEN, "8 / (3 - 3)", "division by zero"),
        (GIVEN, "8..3 + 2", "no arithmetic"),
        (GIVEN, "", "no arithmetic"),
        (GIVEN, "x", "no value"),
        (GIVEN, "9" * 300, "characters"),
        (IN_ORDER, "(8 + 3) * 2", "write 8 ? 3 ? 2 with"),
        (IN_ORDER, "3 * 2 + 8", "write 8 ? 3 ? 2 with"),
        (IN_ORDER, "8 / 3 + 2", "write 8 ? 3 ? 2 with"),
    ],
)
def test_any_other_expression_is_not_and_the_reply_says_why(puzzle, expression, part):
    right, reply = judge(expression, puzzle)
    assert not right
    assert part in reply


def test_a_wrong_attempt_may_be_followed_by_another(env, monkeypatch):
    start(env, monkeypatch, kind="countdown", **GIVEN)
    reply, reward, terminated, truncated, _ = env.step(attempt("8 * 3 + 2"))
    assert (reply, reward, terminated, truncated) == (
        "8 * 3 + 2 = 26, not 22",
        0.0,
        False,
        False,
    )
    assert env.step(attempt("(8 + 3) * 2"))[1:3] == (1.0, True)


FOUR_IN_ORDER = {"numbers": [8, 3, 2, 5], "target": 19, "ordered": True}


@pytest.mark.parametrize(
    ("puzzle", "turns"), [(IN_ORDER, 2), (FOUR_IN_ORDER, 6), (GIVEN, 6)]
)
def test_the_turns_are_bounded(puzzle, turns, env, monkeypatch):
    start(env, monkeypatch, kind="countdown", **puzzle)
    ends = [env.step(attempt("8 - 3 - 2"))[3] for _ in range(turns)]
    assert ends == [False] * (turns - 1) + [True]


def test_jugs_are_filled_emptied_and_poured(env, monkeypatch):
    start(env, monkeypatch, kind="jugs", sizes=[5, 3], target=4)
    moves = [
        (render_call("fill", jug=5), "5: 5, 3: 0"),
        (render_call("pour", source=5, target=3), "5: 2, 3: 3"),
        (render_call("empty", jug=3), "5: 2, 3: 0"),
        (render_call("pour", source=5, target=3), "5: 0, 3: 2"),
        (render_call("pour", source=5, target=5), "pour into another jug"),
        (render_call("fill", jug=4), "there is no jug of 4: 5 and 3"),
        (render_call("fill", jug=5), "5: 5, 3: 2"),
    ]
    assert [env.step(move)[0] for move, _ in moves] == [reply for _, reply in moves]
    assert env.step(render_call("pour", source=5, target=3))[1:3] == (1.0, True)


def test_the_shortest_way_with_the_jugs_of_the_riddle_has_six_moves():
    assert len(jugs_path((5, 3))[4]) == 6
    assert set(jugs_path((5, 3))) == {0, 1, 2, 3, 4, 5}
    assert set(jugs_path((6, 4))) == {0, 2, 4, 6}
    # 5 0, 2 3, 2 0, 0 2, 5 2, 4 3
    assert unreachable_amounts((5, 3), 4) == [1]


def test_the_jugs_take_as_many_moves_as_the_datasheet_says(env):
    for level, (fewest, most) in enumerate([(2, 3), (3, 4), (5, 6), (7, 9), (5, 9)]):
        tasks = of_kind(env, "ood/domain", level, "jugs")
        assert {len(task.payload["sizes"]) for task in tasks} == {
            3 if level == 4 else 2
        }
        assert all(fewest <= len(env.oracle(task)) <= most for task in tasks)


def test_a_hidden_function_is_probed_and_its_value_is_final(env, monkeypatch):
    puzzle = {"kind": "hidden", "coefficients": [2, -1, 3], "known": 0, "asked": 20}
    start(env, monkeypatch, **puzzle)
    assert env.step(render_call("probe", x=2))[0] == "f(2) = 12"
    assert env.step(render_call("probe", x=20))[0] == "x must be from -10 to 10"
    assert env.step(render_call("answer", value=1182))[1:3] == (1.0, True)
    start(env, monkeypatch, **puzzle)
    assert env.step(render_call("answer", value=1181))[:3] == (
        "1181 is wrong",
        0.0,
        True,
    )


def test_the_forms_that_are_told_are_those_of_the_functions(env):
    for level in env.levels:
        for task in of_kind(env, "ood/domain", level, "hidden"):
            form = re.search(r"f\(x\) = (.*) with", task.prompt)
            assert form
            low, *rest = task.payload["coefficients"]
            letters = "abcd"[: len(rest) + 1] if "*" in form[1] else "b"
            values = [*reversed(rest), low] if "*" in form[1] else [low]
            names = dict(zip(letters, values, strict=True))
            x = task.payload["known"]
            value = eval(form[1].replace("^", "**"), {"x": x, **names})
            assert f"f({x}) = {value}." in task.prompt


def test_at_level_zero_a_hidden_value_is_one_of_four_that_nothing_else_tells(env):
    tasks = of_kind(env, "ood/domain", 0, "hidden")
    ranks = [0] * 4
    for task in tasks:
        listed, (b, _) = task.payload["choices"], task.payload["coefficients"]
        value = task.payload["asked"] + b
        assert task.prompt.endswith(f"\nChoose: {' '.join(map(str, listed))}")
        assert len({*listed}) == 4
        ranks[sorted(listed).index(value)] += 1
        twin = env.twin(task).payload
        assert twin["asked"] > 10
        assert twin["asked"] + b in {*listed} - {value}
    assert all(0.15 < count / len(tasks) < 0.35 for count in ranks)
    assert not [
        t
        for n in env.levels[1:]
        for t in env.tasks("ood/domain", n)
        if "Ch" in t.prompt
    ]


@pytest.mark.parametrize("split", MathSearch.splits)
def test_a_twin_asks_for_another_number(split, env, monkeypatch):
    for level in env.levels:
        for task in env.tasks(split, level)[:40]:
            twin = env.twin(task)
            assert twin.family == task.family
            ours, theirs = task.prompt.split(), twin.prompt.split()
            assert sum(a != b for a, b in zip(ours, theirs, strict=True)) == 1


def test_a_snapshot_keeps_what_the_jugs_hold(env, monkeypatch):
    start(env, monkeypatch, kind="jugs", sizes=[5, 3], target=4)
    env.step(render_call("fill", jug=5))
    other = MathSearch()
    monkeypatch.setattr(other, "find", env.find)
    other.set_state(env.get_state())
    assert other.step(render_call("pour", source=5, target=3))[0] == "5: 2, 3: 3"
