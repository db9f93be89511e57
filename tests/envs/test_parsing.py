"""Trees are built in many threads at once, whatever the collector runs meanwhile."""

from __future__ import annotations

import ast
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from envs import parsing
from envs.code.swe_lite.corpus import source


def test_many_threads_get_their_trees_while_the_collector_runs_python():
    text, seen = source("csv").text, [0]

    def pause(phase: str, info: dict[str, int]) -> None:
        seen[0] += 1
        sum(range(2000))

    gc.callbacks.append(pause)
    try:
        with ThreadPoolExecutor(4) as threads:
            trees = list(threads.map(parsing.parse, [text] * 60))
    finally:
        gc.callbacks.remove(pause)
    assert {len(tree.body) for tree in trees} == {len(ast.parse(text).body)}
    assert seen[0]


def test_a_tree_that_another_build_has_disturbed_is_built_again(
    monkeypatch: pytest.MonkeyPatch,
):
    tries: list[str] = []
    build = ast.parse

    def disturbed(text: str, mode: str = "exec") -> ast.AST:
        tries.append(text)
        if len(tries) < 3:
            raise SystemError("AST constructor recursion depth mismatch")
        return build(text, mode=mode)

    monkeypatch.setattr(parsing.ast, "parse", disturbed)
    assert parsing.literal(" [1, 2]") == [1, 2]
    assert len(tries) == 3


def test_bad_text_raises_what_it_did():
    with pytest.raises(SyntaxError):
        parsing.parse("if")
    with pytest.raises(ValueError, match="malformed"):
        parsing.literal("f()")


def test_the_collector_may_parse_too():
    """In the thread that is building, which would else wait for itself."""
    done = threading.Event()

    class Late:
        def __del__(self) -> None:
            parsing.parse("1")
            done.set()

    with parsing._LOCK:
        Late()
    assert done.wait(5)
