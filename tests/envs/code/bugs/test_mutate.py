"""Mutations are one span of one line, and nothing but code is touched."""

import ast
import textwrap

import pytest

from envs.code.bugs.mutate import (
    HELD_OUT_OPERATORS,
    OPERATORS,
    Mutation,
    mutate,
    mutations,
)
from envs.code.swe_lite import corpus


def changed(code: str) -> dict[str, set[str]]:
    """Mutated bodies of `def f` by operator, one line each."""
    text = f"def f(a, b):\n    {code}\n"
    found: dict[str, set[str]] = {}
    for one in mutations(text):
        found.setdefault(one.operator, set()).add(
            mutate(text, one).split("\n")[1].strip()
        )
    return found


def test_a_comparison_becomes_every_other_comparison():
    assert changed("g(a < b)") == {
        "comparison": {"g(a <= b)", "g(a > b)", "g(a >= b)", "g(a == b)", "g(a != b)"}
    }


def test_each_link_of_a_chain_is_mutated_alone():
    found = changed("g(a < b <= a)")["comparison"]
    assert {"g(a > b <= a)", "g(a < b < a)"} <= found
    assert len(found) == 10


def test_membership_and_identity_are_negated():
    assert changed("g(a not in b)")["comparison"] == {"g(a in b)"}
    assert changed("g(a is b)")["comparison"] == {"g(a is not b)"}


def test_arithmetic_keeps_brackets_and_comments():
    assert changed("g((a + b) * a)  # a + b")["arithmetic"] == {
        "g((a - b) * a)  # a + b",
        "g((a * b) * a)  # a + b",
        "g((a + b) + a)  # a + b",
        "g((a + b) // a)  # a + b",
        "g((a + b) - a)  # a + b",
    }


def test_augmented_assignment_is_mutated_and_turned_into_plain_assignment():
    assert changed("a += b")["arithmetic"] == {"a -= b", "a *= b", "a = b"}


def test_percent_formatting_is_left_alone():
    assert "arithmetic" not in changed("g('%s' % a)")


def test_a_not_before_brackets_is_left_alone():
    assert "boolean" not in changed("g(not (a < b))")


def test_boolean_operators_and_literals_flip():
    assert changed("g(a and b)")["boolean"] == {"g(a or b)"}
    assert changed("g(not a)")["boolean"] == {"g(a)"}
    assert changed("g(True)")["boolean"] == {"g(False)"}


def test_numbers_move_and_never_become_negative():
    assert changed("g(0)")["constant"] == {"g(1)"}
    assert changed("g(5)")["constant"] == {"g(6)", "g(4)", "g(10)", "g(0)"}


def test_a_plain_condition_is_negated():
    assert changed("if a: g()")["negation"] == {"if not a: g()"}


def test_computed_bounds_move_by_one():
    assert changed("g(a[b:])")["off_by_one"] == {"g(a[b + 1:])", "g(a[b - 1:])"}
    assert changed("range(a)")["off_by_one"] == {"range(a + 1)", "range(a - 1)"}


def test_a_returned_value_becomes_none():
    assert changed("return a")["return"] == {"return None"}


def test_neighbouring_arguments_change_places():
    assert changed("g(a, b)")["argument"] == {"g(b, a)"}
    assert "argument" not in changed("g(a, *b)")


def test_a_condition_loses_a_half_or_is_fixed():
    found = changed("if a and b: g()")["condition"]
    assert found == {f"if {kept}: g()" for kept in ("a", "b", "True", "False")}


def test_a_jump_becomes_another_jump():
    assert changed("while a: break")["jump"] == {
        "while a: continue",
        "while a: pass",
        "while a: return",
    }


def test_called_names_become_relatives():
    assert "g(a.rstrip())" in changed("g(a.strip())")["method"]
    assert "g(max(a))" in changed("g(min(a))")["function"]


def test_another_exception_is_raised():
    assert "raise KeyError(a)" in changed("raise ValueError(a)")["exception"]


def test_slices_lose_and_turn_bounds():
    found = changed("g(a[1:2])")["slice"]
    assert found == {f"g(a[{span}])" for span in ("2:1", "1:", ":2", ":", "1:1")}


def test_there_are_twelve_operators_and_some_are_held_out():
    assert len(OPERATORS) >= 12
    assert set(OPERATORS) > HELD_OUT_OPERATORS
    assert len(HELD_OUT_OPERATORS) == 4


def test_docstrings_annotations_defaults_and_module_code_are_left_alone():
    text = textwrap.dedent('''
        LIMIT = 1 + 2

        def f(a: "1 < 2" = 3) -> "4":
            """1 < 2"""
            b: "5 < 6" = a
            return b

        if __name__ == "__main__":
            f(1)
    ''')
    assert [one.after for one in mutations(text)] == ["None"]


def test_a_nested_function_counts_as_its_outermost_one():
    text = "class C:\n    def f(self):\n        def g(a):\n            return a\n        return g\n"
    assert {one.function for one in mutations(text)} == {"C.f"}


def test_lines_outside_ascii_are_skipped():
    assert mutations("def f(a):\n    g('\u00e9', a < 1)\n") == []


def test_a_form_feed_is_no_line_end():
    text = "x = 1\n\x0c\ndef f(a):\n    return a < 1\n"
    assert {one.line for one in mutations(text)} == {4}


def test_a_span_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"line 1: got '>' at column 2, expected '<'"):
        mutate("a > b", Mutation("comparison", "f", 1, 2, 3, "<", "<="))


def test_two_mutations_of_a_line_are_applied_together():
    first = Mutation("constant", "f", 1, 0, 1, "1", "100")
    second = Mutation("constant", "f", 1, 4, 5, "2", "0")
    assert mutate("1 + 2", first, second) == mutate("1 + 2", second, first) == "100 + 0"


@pytest.mark.daily(10)
@pytest.mark.parametrize("name", corpus.names())
def test_every_mutation_of_the_corpus_parses_and_changes_one_line(name: str):
    text = corpus.source(name).text
    found = mutations(text)
    for one in found[:: 1 + len(found) // 60]:
        mutant = mutate(text, one)
        ast.parse(mutant)
        pairs = zip(text.split("\n"), mutant.split("\n"), strict=True)
        assert sum(old != new for old, new in pairs) == 1


def test_every_operator_occurs_in_the_corpus():
    used = {
        one.operator
        for name in corpus.names()
        for one in mutations(corpus.source(name).text)
    }
    assert used == set(OPERATORS)
