"""Composed submissions steal nothing, and harmless code around the oracle's costs nothing."""

from __future__ import annotations

import ast

import pytest

from envs.attack.engine import OWN
from envs.attack.fuzz import fuzz, oracle_in_harmless_code
from envs.attack.harmless import changes, in_code
from envs.attack.targets import targets

NAMES = ("code_fn", "code_debug", "swe_lite")


@pytest.mark.parametrize("name", NAMES)
def test_composed_submissions_steal_nothing(opened, backend, name, day):
    subject = opened(name, backend)
    for place in targets(subject):
        assert fuzz(subject, place, day.count(4, 24), seed=day.seed) == []


def test_a_hole_is_found_and_made_small(opened, vulnerable):
    subject = opened(vulnerable("quiet_is_good"), OWN)
    (found,) = fuzz(subject, targets(subject)[0], 60)
    assert found.what == "theft"
    # One fragment is enough, so one is left.
    assert found.turns[0].count("import atexit") == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_in_harmless_code_passes_as_often(opened, backend, name, day):
    subject = opened(name, backend)
    for place in targets(subject):
        assert (
            oracle_in_harmless_code(subject, place, day.count(4, 24), seed=day.seed)
            == []
        )


MODULE = "def f(x):\n    '''Doc.'''\n    y = x + 1\n    return y\n"


def test_changes_of_a_module_keep_what_it_does():
    for change in changes(MODULE):
        space = {"__name__": __name__}
        exec(in_code(MODULE, [change, change]), space)
        assert space["f"](1) == 2


@pytest.mark.parametrize(
    "line", ["return x", "if x:", "x = 1", "for x in y:", "call(x)"]
)
def test_changes_of_a_line_keep_it_a_line(line):
    def body(text):
        rest = "\n        pass" if line.endswith(":") else ""
        return ast.dump(ast.parse(f"def f():\n    {text}{rest}").body[0].body[0])

    for change in changes(line):
        assert body(in_code(line, [change])) == body(line)
