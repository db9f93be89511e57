"""Files of repositories: by hand, from the cache, or fetched; always the published bytes."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from envs.math.published.table import BENCHMARKS
from envs.releases import MissingDataError, RepositoryFile, __main__, repository
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
    return tmp_path / "cache" / "benchmarks"


@contextmanager
def home(content, monkeypatch):
    """A home that serves the content at the file's path alone; yields the requested paths."""
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            found = self.path == f"/acme/sums/{'a' * 40}/data/test.jsonl"
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
        "unknown benchmark 'gsm9k'; expected one of gsm8k," in capsys.readouterr().err
    )


def test_missing_data_is_a_message_for_the_user_and_an_import_error(cache, capsys):
    with pytest.raises(SystemExit) as ended, exit_codes("scgrpo eval"):
        FILE.path()
    assert ended.value.code == CommandError.exit_code
    assert capsys.readouterr().err.startswith("scgrpo eval: sums/test.jsonl cannot be")
    assert issubclass(MissingDataError, ImportError)
