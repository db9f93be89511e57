"""Files of the hub: by hand, from the hub's cache, or fetched; always the published bytes."""

from __future__ import annotations

import hashlib
import time
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _http

from envs.releases import HubFile, MissingDataError
from envs.releases.published import FOLDER_VARIABLE
from tests.scgrpo.models.small_hub import COMMIT, small_hub

CONTENT = b'{"question": "1 + 1?"}\n'
FILE = HubFile(
    "acme/sums",
    COMMIT,
    "test.jsonl",
    hashlib.sha256(CONTENT).hexdigest(),
    "sums/test.jsonl",
)


def set_address(monkeypatch, address):
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """An empty cache, no folder by hand, and a hub that does not answer."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    # The library asks six times, with 23 seconds of pauses, before it gives up.
    no_pause = {**vars(time), "sleep": lambda _: None}
    monkeypatch.setattr(_http, "time", SimpleNamespace(**no_pause))
    set_address(monkeypatch, "http://127.0.0.1:9")


def served(tmp_path, content):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / FILE.file).write_bytes(content)
    return small_hub("datasets/acme/sums", folder)


def test_it_is_fetched_once_into_the_hubs_cache(no_hub, tmp_path, monkeypatch):
    assert not FILE.is_at_hand()
    with served(tmp_path, CONTENT) as address:
        set_address(monkeypatch, address)
        path = FILE.path()
        assert path.read_bytes() == CONTENT
        assert COMMIT in path.parts
    # Without the hub, too.
    set_address(monkeypatch, "http://127.0.0.1:9")
    assert FILE.is_at_hand()
    assert FILE.path() == path


def test_a_folder_by_hand_comes_first(no_hub, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    (tmp_path / "mine" / "sums").mkdir(parents=True)
    by_hand = tmp_path / "mine" / "sums" / "test.jsonl"
    by_hand.write_bytes(CONTENT)
    assert FILE.path() == by_hand


def test_other_bytes_are_refused(no_hub, tmp_path, monkeypatch):
    with served(tmp_path, b"other") as address:
        set_address(monkeypatch, address)
        with pytest.raises(
            MissingDataError, match="is not test.jsonl of acme/sums at 01"
        ):
            FILE.path()


def test_a_failure_says_what_was_tried_and_what_to_do(no_hub, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(MissingDataError) as error:
        FILE.path()
    parts = [
        str(tmp_path / "mine" / "sums" / "test.jsonl"),
        f"http://127.0.0.1:9/datasets/acme/sums/resolve/{COMMIT}/test.jsonl gave",
        f"SHA-256 {FILE.sha256}",
        "in a folder that SCGRPO_BENCHMARKS names",
    ]
    assert [part for part in parts if part not in str(error.value)] == []
