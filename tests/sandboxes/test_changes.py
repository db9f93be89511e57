"""Honest work of any kind arrives in a sandbox, and comes back out of it, to the byte."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from sandboxes import Sandbox


def is_name(text: str) -> bool:
    return text not in (".", "..") and len(os.fsencode(text)) < 200


NAMES = st.one_of(
    st.sampled_from(
        [
            "a",
            "b.py",
            ".hidden",
            "with space",
            "-rf",
            "é",
            "e\u0301",
            "日本語",
            "🙂",
            "a\nb",
            "*",
        ]
    ),
    st.text(
        st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12
    ).filter(is_name),
    # A name that is no UTF-8, as Python spells it.
    st.just("latin-\udce9"),
)
CONTENTS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(["x = 1", "", "é", "\t", "# \ufeff"]), max_size=5).flatmap(
        lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(
            lambda end: end.join(lines).encode()
        )
    ),
    st.sampled_from(
        [b"", b"\n", b"no newline", b"\xef\xbb\xbfbom\r\n", b"\0" * 70_000, b"\xff"]
    ),
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def is_tree(paths: Iterable[str]) -> bool:
    """Whether no file stands where another one needs a folder."""
    every = set(paths)
    parents = {
        path[:place] for path in every for place, one in enumerate(path) if one == "/"
    }
    return not parents & every


TREES = st.dictionaries(PATHS, CONTENTS, max_size=6).filter(is_tree)

WORK = """
import json, os, sys
order = json.load(sys.stdin)
for old, new in order["renamed"]:
    os.makedirs(os.path.dirname(new) or ".", exist_ok=True)
    os.rename(old, new)
for path in order["deleted"]:
    os.remove(path)
for path, content in order["written"].items():
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(bytes.fromhex(content))
"""
LIST = """
import json, os
found = {}
for folder, _, names in os.walk("."):
    for name in names:
        path = os.path.relpath(os.path.join(folder, name))
        with open(path, "rb") as file:
            found[path] = file.read().hex()
with open(".listing", "w") as file:
    json.dump(found, file)
"""


def python(sandbox: Sandbox, code: str, stdin: bytes = b"") -> None:
    done = sandbox.run(["python", "-c", code], timeout_s=20, stdin=stdin)
    assert done.exit_code == 0, done


def listed(sandbox: Sandbox) -> dict[str, bytes]:
    """Every file of the working folder, as a program in the sandbox sees it."""
    python(sandbox, LIST)
    found = json.loads(sandbox.read(".listing"))
    return {path: bytes.fromhex(content) for path, content in found.items()}


FEW = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FEW
@given(before=TREES, written=TREES, data=st.data())
def test_new_changed_renamed_and_deleted_files_arrive_to_the_byte(
    jails, before, written, data
):
    fates = {
        path: data.draw(st.sampled_from(["keep", "delete", "rename"]))
        for path in before
    }
    deleted = [path for path, fate in fates.items() if fate == "delete"]
    renamed = [
        (path, f"moved/{path}") for path, fate in fates.items() if fate == "rename"
    ]
    after = {path: text for path, text in before.items() if path not in deleted}
    after = {
        dict(renamed).get(path, path): text for path, text in after.items()
    } | written
    assume(is_tree({*before, *after}))
    order = {
        "renamed": renamed,
        "deleted": deleted,
        "written": {path: content.hex() for path, content in written.items()},
    }
    with jails.lease() as sandbox:
        sandbox.write(before)
        python(sandbox, WORK, json.dumps(order).encode())
        assert {path: sandbox.read(path) for path in after} == after
        for path in before.keys() - after.keys():
            with pytest.raises(FileNotFoundError):
                sandbox.read(path)
    with jails.lease() as sandbox:
        sandbox.write(after)
        assert listed(sandbox) == after


@FEW
@given(first=TREES, second=TREES)
@example({"a/b": b"1"}, {"a": b"2"})
@example({"a": b"1"}, {"a/b": b"2"})
def test_a_file_takes_the_place_of_a_folder_and_a_folder_that_of_a_file(
    jails, first, second
):
    with jails.lease() as sandbox:
        sandbox.write(first)
        sandbox.write(second)
        assert {path: sandbox.read(path) for path in second} == second


@pytest.mark.parametrize("path", ["half-\ud800", "x/\udfff"])
def test_a_name_that_no_file_can_have_is_refused_and_the_sandbox_goes_on(jails, path):
    with jails.lease() as sandbox:
        with pytest.raises(ValueError, match="path"):
            sandbox.write({"fine": b"", path: b""})
        with pytest.raises(ValueError, match="path"):
            sandbox.read(path)
        sandbox.write({"fine": b"well"})
        assert sandbox.read("fine") == b"well"


def test_a_name_that_is_too_long_is_refused_and_the_sandbox_goes_on(jails):
    with jails.lease() as sandbox:
        with pytest.raises(OSError, match="too long"):
            sandbox.write({"x" * 256: b""})
        with pytest.raises(FileNotFoundError):
            sandbox.read("x" * 256)
        sandbox.write({"x" * 255: b"well"})
        assert sandbox.read("x" * 255) == b"well"
