"""Files of repositories: by hand, from the cache, or fetched; always the published bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from envs.math.published.table import BENCHMARKS
from envs.releases import (
    MissingDataError,
    RepositoryFile,
    RepositoryFolder,
    __main__,
    repository,
)
from sandboxes.commands import CommandError, exit_codes

CONTENT = b'{"question": "1 + 1?"}\n'
FILE = RepositoryFile(
    "acme/sums",
    "a" * 40,
    "data/test.jsonl",
    hashlib.sha256(CONTENT).hexdigest(),
    "sums/test.jsonl",
)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, no folder by hand, and a home that does not answer."""
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(repository.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(repository, "HOST", "http://127.0.0.1:9")
    monkeypatch.setattr(repository, "ARCHIVE_HOST", "http://127.0.0.1:9")
    return tmp_path / "cache" / "benchmarks"


@contextmanager
def home(content, monkeypatch):
    """A home that serves the content at the file's path alone; yields the requested paths."""
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            found = self.path in (
                f"/acme/sums/{'a' * 40}/data/test.jsonl",
                f"/acme/sums/zip/{'a' * 40}",
            )
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(repository, "HOST", address)
        monkeypatch.setattr(repository, "ARCHIVE_HOST", address)
        try:
            yield paths
        finally:
            server.shutdown()
            thread.join()


def test_it_is_fetched_once(cache, monkeypatch):
    assert not FILE.is_at_hand()
    with home(CONTENT, monkeypatch) as paths:
        path = FILE.path()
        assert path == cache / "sums" / "test.jsonl"
        assert path.read_bytes() == CONTENT
        assert FILE.path() == path
    assert len(paths) == 1
    # Without its home, too.
    assert FILE.path() == path
    assert FILE.is_at_hand()
    assert [child.name for child in path.parent.iterdir()] == ["test.jsonl"]


def test_a_folder_by_hand_comes_before_the_cache(cache, monkeypatch, tmp_path):
    by_hand = tmp_path / "mine"
    monkeypatch.setenv(repository.FOLDER_VARIABLE, str(by_hand))
    for folder in (by_hand, cache):
        (folder / "sums").mkdir(parents=True)
        (folder / "sums" / "test.jsonl").write_bytes(CONTENT)
    assert FILE.path() == by_hand / "sums" / "test.jsonl"
    (by_hand / "sums" / "test.jsonl").unlink()
    assert FILE.path() == cache / "sums" / "test.jsonl"


def test_other_bytes_are_refused_and_not_kept(cache, monkeypatch):
    with (
        home(b"other", monkeypatch),
        pytest.raises(MissingDataError, match="gave a file with another SHA-256"),
    ):
        FILE.path()
    assert not FILE.is_at_hand()


def test_a_changed_file_is_refused(cache):
    (cache / "sums").mkdir(parents=True)
    (cache / "sums" / "test.jsonl").write_bytes(CONTENT + b"\n")
    with pytest.raises(
        MissingDataError, match=r"is not data/test.jsonl of acme/sums at aaa"
    ):
        FILE.path()


def test_a_failure_says_what_was_tried_and_what_to_do(cache, monkeypatch, tmp_path):
    monkeypatch.setenv(repository.FOLDER_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(MissingDataError) as error:
        FILE.path()
    told = str(error.value)
    parts = [
        str(tmp_path / "mine" / "sums" / "test.jsonl"),
        str(cache / "sums" / "test.jsonl"),
        f"http://127.0.0.1:9/acme/sums/{'a' * 40}/data/test.jsonl gave ConnectError",
        f"SHA-256 {FILE.sha256}",
        "in a folder that SCGRPO_BENCHMARKS names",
    ]
    assert [part for part in parts if part not in told] == []


def test_a_missing_page_is_a_failure(cache, monkeypatch):
    with home(CONTENT, monkeypatch), pytest.raises(MissingDataError, match="404"):
        RepositoryFile("acme/sums", "b" * 40, "x", FILE.sha256, "sums/x").path()


def test_what_is_kept_may_be_made_of_what_is_published(cache, monkeypatch):
    file = replace(FILE, convert=gzip.decompress)
    with home(gzip.compress(CONTENT), monkeypatch):
        assert file.path().read_bytes() == CONTENT
    assert file.path() == cache / "sums" / "test.jsonl"


def test_a_file_that_cannot_be_converted_is_refused(cache, monkeypatch):
    file = replace(FILE, convert=gzip.decompress)
    with (
        home(CONTENT, monkeypatch),
        pytest.raises(MissingDataError, match="gave a file of another form") as error,
    ):
        file.path()
    assert "run: scgrpo envs releases sums; take what it makes" in str(error.value)
    assert not file.is_at_hand()


JOINED = json.dumps({"a": {"x": [1]}, "b": 2}, indent=0).encode()
FOLDER = RepositoryFolder(
    "acme/sums",
    "a" * 40,
    "data/rows",
    hashlib.sha256(JOINED).hexdigest(),
    "sums/rows.json",
)


def archive(names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as members:
        for name, text in names.items():
            members.writestr(f"sums-aaa/{name}", text)
    return buffer.getvalue()


def test_the_files_of_a_folder_are_kept_as_one(cache, monkeypatch):
    names = {
        "data/rows/b.json": "2",
        "data/rows/a.json": '{"x": [1]}',
        "data/rows/notes.md": "no",
        "data/rows/deeper/c.json": "3",
        "other/rows/d.json": "4",
    }
    with home(archive(names), monkeypatch):
        assert FOLDER.path().read_bytes() == JOINED
    assert FOLDER.is_at_hand()


@pytest.mark.parametrize(
    "content", [b"no archive", archive({"data/rows/a.json": "{"}), archive({})]
)
def test_another_archive_is_refused(content, cache, monkeypatch):
    with (
        home(content, monkeypatch),
        pytest.raises(MissingDataError, match="gave a file"),
    ):
        FOLDER.path()
    assert not FOLDER.is_at_hand()


def test_the_command_fetches_a_named_benchmark(cache, monkeypatch, capsys):
    monkeypatch.setattr(__main__, "READERS", ())
    with pytest.raises(SystemExit) as ended:
        __main__.main(["gsm8k"])
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.count("cannot be had") == len(BENCHMARKS["gsm8k"].parts) == 2


def test_the_command_refuses_a_name_that_is_none(capsys):
    with pytest.raises(SystemExit) as ended:
        __main__.main(["gsm9k"])
    assert ended.value.code == 2
    assert (
        "unknown benchmark 'gsm9k'; expected one of agentbench_os,"
        in capsys.readouterr().err
    )


def test_missing_data_is_a_message_for_the_user_and_an_import_error(cache, capsys):
    with pytest.raises(SystemExit) as ended, exit_codes("scgrpo eval"):
        FILE.path()
    assert ended.value.code == CommandError.exit_code
    assert capsys.readouterr().err.startswith("scgrpo eval: sums/test.jsonl cannot be")
    assert issubclass(MissingDataError, ImportError)
