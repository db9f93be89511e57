"""`python -m envs.attack`: what it prints, and how it ends."""

from __future__ import annotations

import json

import pytest

from envs.attack import __main__ as command
from envs.attack.__main__ import main
from envs.attack.engine import sandbox_kinds


def ended(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code, *capsys.readouterr()


def test_thefts_are_shown_with_what_reproduces_them(capsys, vulnerable):
    name = vulnerable("quiet_is_good")
    code, said, _ = ended(
        capsys, name, "--only", "KeyboardInterrupt", "a mock", "--quick"
    )
    assert code == 1
    lines = said.split("\n")
    assert lines[0] == f"THEFT {name}: KeyboardInterrupt (evidence)"
    assert lines[1] == "  a test that broke off counts as one that did not fail"
    assert lines[2] == "  at train/0/1 after, by the turns"
    assert "raise KeyboardInterrupt" in lines[3]
    assert "played: 1 theft; " in said or "played: 2 theft; " in said


def test_the_findings_are_json_for_other_programs(capsys, vulnerable):
    name = vulnerable("quiet_is_good")
    code, said, _ = ended(
        capsys, name, "--only", "KeyboardInterrupt", "--quick", "--json", "--learn", "1"
    )
    found = json.loads(said)
    assert code == 1
    assert found["findings"][0]["what"] == "theft"
    assert json.loads(found["findings"][0]["turns"][0])["name"] == "submit"
    assert "a policy over 1 fragments: " in found["learned"][0]


def test_a_sound_environment_ends_with_0(capsys):
    able = [kind for kind, reason in sandbox_kinds().items() if not reason]
    if not able:
        pytest.skip("no sandbox")
    words = ("--only", "GeneratorExit", "--fuzz", "2", "--quick", "--backend", able[-1])
    code, said, _ = ended(capsys, "code_fn", *words)
    assert code == 0
    assert "4 played: nothing stolen; " in said


def test_an_environment_without_code_is_skipped(capsys):
    code, said, _ = ended(capsys, "toy_guess", "--quick")
    assert code == 0
    assert "toy_guess skipped: no turn of the oracle holds a Python function" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "got no environment; name one, as in `code_fn`"),
        (["no_such"], "environment 'no_such' does not exist"),
        (
            ["code_fn", "--only", "KeybordInterrupt"],
            "did you mean 'KeyboardInterrupt'?",
        ),
        (["code_fn", "--fuzz", "-1"], "got --fuzz -1 --learn 0, expected 0 or more"),
        (["toy_guess", "--backend", "local"], "has no argument `sandboxes`"),
    ],
)
def test_bad_arguments_end_with_2(capsys, words, said):
    code, _, told = ended(capsys, *words)
    assert code == 2
    assert said in told


def test_a_backend_that_cannot_run_says_why(capsys, monkeypatch):
    monkeypatch.setattr(
        command, "sandbox_kinds", lambda: {"docker": "no engine", "local": ""}
    )
    code, _, told = ended(capsys, "code_fn", "--backend", "docker")
    assert code == 2
    assert "got --backend docker, which cannot run here: no engine" in told


def test_interrupted_it_stops(capsys, monkeypatch):
    def interrupt(plan):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "play_in_workers", interrupt)
    code, _, told = ended(capsys, "code_fn", "--quick")
    assert code == 130
    assert told.endswith("stopped\n")


def test_the_book_is_listed(capsys):
    main(["--list"])
    assert (
        "evidence  KeyboardInterrupt: a test that broke off" in capsys.readouterr().out
    )
