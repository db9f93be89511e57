"""The fast runner of the build says what the boxes say, and nothing a bug does reaches out."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.code.swe_lite import corpus
from envs.code.swe_lite.build.bench import Bench
from envs.code.swe_lite.table import rows

if shutil.which("bwrap") is None:
    pytest.skip("bubblewrap is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(0) as opened:
        yield opened


def run(bench: Bench, name: str, text: str, timeout_s: float = 10):
    source = corpus.source(name)
    files = {source.file: text, source.test_file: source.tests}
    return bench.run(files, f"test_{name}", timeout_s)


def test_right_code_passes_and_a_row_fails_what_it_says(bench: Bench):
    for name in ("roman", "shlex"):
        source = corpus.source(name)
        assert run(bench, name, source.text).failures(source.all_ids) == []
        row = next(row for row in rows() if row.source == name and not row.renamed)
        assert sorted(run(bench, name, row.broken).failures(source.all_ids)) == sorted(
            row.failing
        )


def test_a_loop_is_ended_and_the_next_run_is_clean(bench: Bench):
    assert run(bench, "roman", "while True: pass\n", timeout_s=0.5).timed_out
    source = corpus.source("roman")
    assert run(bench, "roman", source.text).failures(source.all_ids) == []


def test_a_bug_cannot_write_outside_nor_reach_the_network(bench: Bench, tmp_path: Path):
    there = tmp_path / "there"
    text = f"import os, socket\nopen({os.fspath(there)!r}, 'w').write('x')\n"
    assert set(run(bench, "roman", text).reasons) == {"import"}
    assert not there.exists()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        socket.create_connection(address, 5).close()
        connect = f"import socket\nsocket.create_connection({address!r}, 5)\n"
        assert set(run(bench, "roman", connect).reasons) == {"import"}


def test_what_a_box_hides_is_hidden(bench: Bench):
    assert run(bench, "roman", "import shlex\n").reasons == {
        "import": "ModuleNotFoundError"
    }
