"""Playing by hand: what a line means, what is shown, how it ends."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from envs.play_by_hand import main, shorthand

TOOLS = [
    {
        "name": name,
        "parameters": {"properties": {k: {"type": t} for k, t in kinds.items()}},
    }
    for name, kinds in {
        "apply": {"candidate": "integer"},
        "edit": {"line": "integer", "text": "string"},
        "read": {"path": "string", "line": "integer"},
        "pick": {"items": "array"},
        "set": {"on": "boolean", "share": "number"},
        "submit": {},
    }.items()
]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("apply 2", '{"name": "apply", "arguments": {"candidate": 2}}'),
        (" apply  2 ", '{"name": "apply", "arguments": {"candidate": 2}}'),
        ("apply two", '{"name": "apply", "arguments": {"candidate": "two"}}'),
        (
            "edit 3 x = y + 1",
            '{"name": "edit", "arguments": {"line": 3, "text": "x = y + 1"}}',
        ),
        ("read line=4", '{"name": "read", "arguments": {"line": 4}}'),
        ("read a.py 4", '{"name": "read", "arguments": {"path": "a.py", "line": 4}}'),
        ("pick [1, 2]", '{"name": "pick", "arguments": {"items": [1, 2]}}'),
        ("set true 0.5", '{"name": "set", "arguments": {"on": true, "share": 0.5}}'),
        ("submit", '{"name": "submit"}'),
        ("submit now", "submit now"),
        ("42", "42"),
        ('{"name": "submit"}', '{"name": "submit"}'),
        ("", ""),
    ],
)
def test_a_line_means_a_call_where_it_begins_with_a_tool(line, meant):
    assert shorthand(line, TOOLS) == meant


def played(monkeypatch, capsys, lines, *argv):
    monkeypatch.setattr(
        "sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines))
    )
    main(["toy_guess", *argv])
    return capsys.readouterr().out


TASK = ("--task", "train/1/1-7/5")


def test_a_game_shows_the_task_the_replies_and_the_verdict(monkeypatch, capsys):
    out = played(
        monkeypatch,
        capsys,
        ["guess 4", '{"name": "guess", "arguments": {"number": 6}}', "5"],
        *TASK,
    )
    lines = out.splitlines()
    assert lines[0] == "task train/1/1-7/5, 3 turns"
    assert "Guess 1-7." in lines
    assert "  guess number:integer  - Guess the number." in lines
    assert lines[-5:] == [
        '= {"name": "guess", "arguments": {"number": 4}}',
        "higher",
        "lower",
        "found",
        "passed: reward 1 after 3 turns",
    ]


def test_a_lost_game_says_why(monkeypatch, capsys):
    out = played(monkeypatch, capsys, ["1", "2", "3"], *TASK)
    assert out.endswith(
        "higher\nthe turn budget is spent\nfailed: reward 0 after 3 turns\n"
    )


def test_commands_cost_no_turn(monkeypatch, capsys):
    out = played(monkeypatch, capsys, ["?", ":task", ":oracle", "5"], *TASK)
    assert "A line is a turn" in out
    assert out.count("Guess 1-7.") == 2
    # Binary search in 1 to 7.
    assert "4\n6\n5\n" in out
    assert out.endswith("passed: reward 1 after 1 turns\n")


def test_quotes_hold_a_turn_of_several_lines(monkeypatch, capsys):
    out = played(
        monkeypatch,
        capsys,
        ['"""', '{"name": "guess",', '"arguments": {"number": 5}}', '"""'],
        *TASK,
    )
    assert out.endswith("passed: reward 1 after 1 turns\n")


@pytest.mark.parametrize("lines", [[], [":quit"], ["1"]])
def test_a_game_that_is_left_has_no_verdict(monkeypatch, capsys, lines):
    out = played(monkeypatch, capsys, lines, *TASK)
    assert out.endswith("stopped before the end: no verdict\n")


def test_a_seed_picks_the_task(monkeypatch, capsys):
    first, second = (played(monkeypatch, capsys, [], "--seed", "3") for _ in range(2))
    assert first == second
    others = {played(monkeypatch, capsys, [], "--seed", str(seed)) for seed in range(8)}
    assert len(others) > 1


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["toy_gues"], "Did you mean 'toy_guess'?"),
        (["toy_guess", "--split", "test"], "expected one of train, id, ood/difficulty"),
        (["toy_guess", "--level", "9"], "expected one of 0, 1, 2, 3, 4"),
        (["toy_guess", "--task", "5"], "expected <split>/<level>/<key>"),
        (["toy_guess", "--task", "id/0/5"], "is not in split 'id' at level 0"),
    ],
)
def test_bad_arguments_say_what_to_do(argv, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_it_runs_as_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "envs.play_by_hand", "toy_guess", *TASK],
        input="5\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("passed: reward 1 after 1 turns\n")
