"""Other local names: the code does the same, and whatever callers or texts name stays."""

import pytest

from envs.code.swe_lite import corpus
from envs.code.swe_lite.rename import rename_locals


def test_locals_are_numbered_in_order_and_parameters_stay():
    text = "def f(a):\n    total = a + 1  # sum\n    other = [one for one in a]\n    return total\n"
    wanted = (
        "def f(a):\n    v1 = a + 1  # sum\n    v2 = [v3 for v3 in a]\n    return v1\n"
    )
    assert rename_locals(text) == wanted


@pytest.mark.parametrize(
    "body",
    [
        "x = 1; return f'{x}'",
        "import x; return x",
        "global x; x = 1",
        "x = 1; return locals()",
        "v1 = 1; x = 2",
        "x = lambda x: x",
    ],
)
def test_names_that_something_else_binds_or_reads_stay(body: str):
    text = f"def f(a):\n    {body}\n"
    assert rename_locals(text) == text


def test_a_nested_function_shares_the_new_name():
    text = "def f():\n    x = 1\n    def g():\n        return x\n    return g\n"
    assert rename_locals(text).count("v1") == 2
    names: dict[str, object] = {}
    exec(rename_locals(text), names)
    assert names["f"]()() == 1  # pyright: ignore[reportCallIssue]


def test_lines_keep_their_numbers_in_the_corpus():
    for name in corpus.names():
        renamed = corpus.with_renamed_locals(name).text
        assert renamed.count("\n") == corpus.source(name).text.count("\n")
        compile(renamed, name, "exec")
