"""One ladder of exit codes for every command."""

from __future__ import annotations

import gymnasium
import pytest

from sandboxes.commands import CommandError, exit_codes


class BudgetError(CommandError):
    exit_code = 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("the disk is full"), 1),
        (BudgetError("10 minutes are over"), 3),
        (ValueError("got steps=-1"), 2),
        (gymnasium.error.NameNotFound("no environment"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_becomes_a_sentence_and_an_exit_code(error, code, capsys):
    with pytest.raises(SystemExit) as ended, exit_codes("scgrpo x", interrupted="kept"):
        raise error
    assert ended.value.code == code
    printed = capsys.readouterr().err
    assert printed.strip() == f"scgrpo x: {str(error) or 'kept'}"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), exit_codes("scgrpo x"):
        raise ZeroDivisionError


def test_a_command_names_further_errors_of_its_arguments(capsys):
    with pytest.raises(SystemExit), exit_codes("scgrpo x", bad_input=(ImportError,)):
        raise ImportError("no module named envs.nothing")
    assert "envs.nothing" in capsys.readouterr().err


def test_a_body_that_ends_well_ends_nothing():
    with exit_codes("scgrpo x"):
        value = 1
    assert value == 1
