"""The second witness: every bug of the table is seen, by values that no submission could read."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.code import observe
from envs.code.swe_lite import corpus
from envs.code.swe_lite.table import Row, rows, rows_with_witness
from envs.code.values import cases, differences, same
from envs.code.witness import observe as seen
from envs.code.witness import reference, witness_text
from sandboxes import SandboxConfig, SandboxPool, open_pool
from sandboxes.backends import bubblewrap as local
from sandboxes.backends import docker


@pytest.fixture(
    scope="module", params=["local", pytest.param("docker", marks=pytest.mark.docker)]
)
def pool(request: pytest.FixtureRequest) -> Iterator[SandboxPool]:
    if reason := {"local": local, "docker": docker}[request.param].available():
        pytest.skip(reason)
    with open_pool(SandboxConfig(backend=request.param, size=2)) as opened:
        yield opened


def sample(source: str, count: int) -> list[Row]:
    """Rows of a source, spread over its functions."""
    table = [row for row in rows_with_witness() if row.source == source]
    return table[:: max(1, len(table) // count)][:count]


@pytest.mark.daily(12)
@pytest.mark.parametrize("name", corpus.names())
def test_in_a_sandbox_a_witness_sees_bugs_and_twice_the_same(
    pool: SandboxPool, name: str
):
    package = corpus.source(name)
    right = reference(pool, name)
    with pool.lease() as box:
        assert list(differences(right, seen(box, package, package.text))) == []
    for row in sample(name, 4):
        with pool.lease() as box:
            assert list(differences(right, seen(box, row.package, row.broken))), row.id
    assert not any(unwritten(value) for case in right.values() for value in case)


def unwritten(written: Any) -> bool:
    """Whether there is an object in it that is no plain value."""
    if isinstance(written, dict):
        return "object" in written or any(map(unwritten, written.values()))
    return isinstance(written, list) and any(map(unwritten, written))


def test_the_table_says_what_guards_each_source():
    entries = corpus.test_ids()
    for name in corpus.names():
        table = [row for row in rows() if row.source == name]
        assert entries[name]["witness"]["bugs"] == len(table)
        assert {*entries[name]["witness"]["unseen"]} <= {row.id for row in table}
    assert len(rows_with_witness()) > 0.9 * len(rows())


def test_a_row_without_a_witness_is_no_task(monkeypatch: pytest.MonkeyPatch):
    gone = rows()[0]
    entries = {name: dict(entry) for name, entry in corpus.test_ids().items()}
    entries[gone.source]["witness"] = {"bugs": 1, "unseen": [gone.id]}
    del entries["roman"]["witness"]
    monkeypatch.setattr(corpus, "test_ids", lambda: entries)
    left = rows_with_witness.__wrapped__()
    assert gone.id not in {row.id for row in left}
    assert "roman" not in {row.source for row in left}
    assert len(left) < len(rows())


@pytest.mark.parametrize("name", corpus.names())
def test_a_witness_asserts_nothing(name: str):
    tree = ast.parse(witness_text(name))
    assert ast.get_docstring(tree)
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not [word for word in called if word.startswith("assert")]


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.complex_numbers(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(PLAIN)
def test_a_value_survives_writing_and_equals_itself(value: Any):
    written = observe.encode(value)
    assert observe.decode(written) == value
    assert same(written, written)


@settings(deadline=None)
@given(PLAIN, PLAIN)
def test_what_is_written_is_the_same_where_python_says_equal(one: Any, other: Any):
    if same(observe.encode(one), observe.encode(other)) != (one == other):
        assert close(one, other)


def close(one: Any, other: Any) -> bool:
    """Whether only a rounding error, or an int beside a float, tells two values apart."""
    try:
        return all(
            math.isclose(*pair, rel_tol=1e-8, abs_tol=1e-8)
            for pair in zip(numbers(one), numbers(other), strict=True)
        )
    except (TypeError, ValueError, OverflowError):
        return False


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, complex):
        yield from (value.real, value.imag)
    elif isinstance(value, int | float):
        yield value
    elif isinstance(value, list | tuple | frozenset):
        for one in value:
            yield from numbers(one)
    elif isinstance(value, dict):
        yield from numbers([*value.keys(), *value.values()])


class Sly(str):
    def __eq__(self, other: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "'right'"

    def __str__(self) -> str:
        return "right"

    __hash__ = str.__hash__


class AnyEqual:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_an_object_that_equals_everything_is_written_as_what_it_is():
    assert observe.encode(Sly("wrong")) == "wrong"
    assert observe.encode(AnyEqual()) == {"object": "AnyEqual"}
    assert not same(observe.encode(AnyEqual()), "right")


def test_fractions_and_decimals_are_the_numbers_that_they_equal():
    assert same(observe.encode(Fraction(3, 1)), observe.encode(3))
    assert same(observe.encode(Decimal("0.5")), observe.encode(0.5))
    assert not same(observe.encode(Fraction(1, 3)), observe.encode(1))
    assert observe.decode(observe.encode(Decimal("2.50"))) == Decimal("2.5")
    assert (
        observe.encode(Decimal("NaN"))
        == observe.encode(Decimal("1e400"))
        == {"object": "Decimal"}
    )
    assert not same({"fraction": "1e999999999"}, {"fraction": "1/1"})


def test_two_floats_are_the_same_within_a_rounding_error_and_no_further():
    assert same(observe.encode(0.1 + 0.2), observe.encode(0.3))
    assert not same(observe.encode(0.3), observe.encode(0.3001))
    assert same(observe.encode(1.0), observe.encode(1))
    assert same(observe.encode(math.nan), observe.encode(math.nan))
    assert not same(observe.encode(math.inf), observe.encode(-math.inf))
    assert not same(observe.encode("1"), observe.encode(1))


@pytest.mark.parametrize(
    "answer",
    [None, 3, "x", {}, [1], [["a"]], [["a", 1]], [["a", []], ["a", []]], [[1, []]]],
)
def test_an_answer_of_another_shape_is_none(answer: Any):
    assert cases(answer) is None
    assert list(differences({"a": [1]}, cases(answer)))


def test_more_fewer_and_other_observations_differ():
    right = {"a": [1, 2], "b": ["x"]}
    assert list(differences(right, {"a": [1, 2], "b": ["x"]})) == []
    for given_ in (
        {"a": [1, 2]},
        {"a": [1], "b": ["x"]},
        {"a": [1, 2, 3], "b": ["x"]},
        None,
    ):
        assert list(differences(right, given_))
