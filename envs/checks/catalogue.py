"""Every check, in the order of the table."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from envs.attack.check import nothing_is_stolen
from envs.checks import (
    attacks,
    bad_calls,
    contract,
    hostile,
    lasting,
    replies,
    supply,
    verdicts,
)
from envs.checks.env_under_test import EnvUnderTest

__all__ = ["CHECKS", "Check", "by_name"]


@dataclass(frozen=True)
class Check:
    """One question to an environment.

    | field | meaning |
    |---|---|
    | name | for `--only` and the table |
    | find | yields a sentence for each problem; its docstring's first line says what must hold |
    | alone | attacks that could end, hang or litter the process of an unsound environment |
    """

    name: str
    find: Callable[[EnvUnderTest], Iterator[str]]
    alone: bool = False

    @property
    def about(self) -> str:
        """What must hold."""
        docstring = self.find.__doc__ or ""
        first_line, _, _ = docstring.partition("\n")
        return first_line


CHECKS = (
    Check("gymnasium", contract.gymnasium_accepts),
    Check("errors", contract.refuses_bad_input),
    Check("vector", contract.vectorizes),
    Check("pickle", contract.survives_pickling),
    Check("labels", supply.tasks_have_labels),
    Check("deterministic", supply.seeds_decide),
    Check("disjoint", supply.splits_are_disjoint),
    Check("oracle", verdicts.oracle_wins),
    Check("critical", verdicts.critical_turns_decide),
    Check("twin", verdicts.twins_flip),
    Check("snapshot", verdicts.snapshots_are_re_entered),
    Check("chance", verdicts.chance_is_learnable),
    Check("one-script", verdicts.no_script_fits_all),
    Check("nothing", attacks.idle_turns),
    Check("echo", attacks.echo, alone=True),
    Check("enumerate", attacks.enumeration),
    Check("repeat", attacks.repetition),
    Check("told", replies.replies_hide_the_answer),
    Check("huge", attacks.huge_turns, alone=True),
    Check("characters", attacks.strange_characters, alone=True),
    Check("malformed", bad_calls.broken_calls),
    Check("extremes", bad_calls.extreme_arguments, alone=True),
    Check("types", bad_calls.wrong_types, alone=True),
    Check("exit", hostile.code_that_exits, alone=True),
    Check("forge", hostile.code_that_forges, alone=True),
    Check("sleep", hostile.code_that_sleeps, alone=True),
    Check("late", lasting.code_that_acts_late, alone=True),
    Check("stay", lasting.code_that_stays, alone=True),
    Check("flood", lasting.code_that_floods, alone=True),
    Check("plant", hostile.files_do_not_decide, alone=True),
    Check("tests", hostile.rewriting_tests_is_useless, alone=True),
    Check("escape", hostile.escapes, alone=True),
    Check("attack", nothing_is_stolen, alone=True),
)


def by_name(name: str) -> Check:
    """The check of that name. Raises ValueError that names the nearest."""
    names = [check.name for check in CHECKS]
    if name in names:
        return CHECKS[names.index(name)]

    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(names)}"
    raise ValueError(f"unknown check {name!r}; {hint}")
