"""Files and links are replaced in one step, and a failed write leaves the old content."""

import os
from pathlib import Path

import pytest

from scgrpo.runs.disk import DiskError, link_atomically, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "page.html"
    write_atomically(path, "one")
    write_atomically(path, b"t\xffwo")
    assert path.read_bytes() == b"t\xffwo"
    assert names(path.parent) == ["page.html"]


def test_text_is_utf_8(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "naïve\n")
    assert (tmp_path / "file").read_bytes() == "naïve\n".encode()


def test_a_failed_write_keeps_the_old_file_and_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskError, match="file: the disk is full: free some space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_link_moves_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        link_atomically(tmp_path / "best", name)
        assert (tmp_path / "best").resolve().name == name
    assert names(tmp_path) == ["a", "b", "best"]
