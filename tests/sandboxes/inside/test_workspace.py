"""Files on a folder that hostile code has prepared."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandboxes.inside.workspace import components, open_regular, wipe, write_file


def write(root: Path, path: str, content: bytes) -> None:
    write_file(str(root), path, memoryview(content))


def read(root: Path, path: str) -> bytes:
    fd = open_regular(str(root), path)
    with os.fdopen(fd, "rb") as file:
        return file.read()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"theirs")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_parts_of_a_path():
    assert components("./a//b/.") == ["a", "b"]
    for path in ("", ".", "/a", "..", "a/../b", "a\0b"):
        with pytest.raises(ValueError, match="relative"):
            components(path)


def test_what_is_written_is_read(root):
    write(root, "a/b/c", b"1")
    write(root, "a/b/c", b"22")
    assert read(root, "a/b/c") == b"22"


@pytest.mark.parametrize("path", ["link", "folder/file"])
def test_links_are_neither_read_nor_written_through(root, path):
    (root / "link").symlink_to(root.parent / "outside" / "file")
    (root / "folder").symlink_to(root.parent / "outside")
    with pytest.raises(OSError, match=r"."):
        read(root, path)
    write(root, path, b"ours")
    assert read(root, path) == b"ours"
    assert (root.parent / "outside" / "file").read_bytes() == b"theirs"


def test_a_hard_link_is_replaced_not_written(root):
    os.link(root.parent / "outside" / "file", root / "hard")
    write(root, "hard", b"ours")
    assert (root.parent / "outside" / "file").read_bytes() == b"theirs"


def test_what_is_no_regular_file_is_not_read_and_makes_way(root):
    os.mkfifo(root / "fifo")
    (root / "full" / "deep").mkdir(parents=True)
    for path in ("fifo", "full"):
        with pytest.raises(OSError, match=r"."):
            read(root, path)
        write(root, path, b"ours")
        assert read(root, path) == b"ours"


def test_a_wipe_leaves_nothing_inside_and_everything_outside(root):
    (root / "link").symlink_to(root.parent / "outside")
    (root / ".0" / ".1").mkdir(parents=True)
    (root / ".1").write_bytes(b"")
    os.mkfifo(root / ".0" / "fifo")
    for number in range(50):
        (root / "wide" / str(number) / "x").mkdir(parents=True)
    (root / "shut").mkdir(mode=0)
    wipe(str(root))
    assert list(root.iterdir()) == []
    assert (root.parent / "outside" / "file").read_bytes() == b"theirs"


def test_a_tree_too_deep_for_any_path_is_wiped_with_few_open_files(root):
    folder = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=folder)
        deeper = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(folder)
    wipe(str(root))
    assert list(root.iterdir()) == []
