"""Run folders are made whole, found by name or by age, and refused in useful words."""

import os
import subprocess
from pathlib import Path

import pytest

from scgrpo.runs.disk import DiskError
from scgrpo.runs.folders import find_run, new_run, newest_run


def test_a_new_run_has_its_folders_and_is_the_latest(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    first, second = new_run(root, "first"), new_run(root, "second")
    assert sorted(path.name for path in first.iterdir()) == [
        "checkpoints",
        "episodes",
        "evals",
        "tensorboard",
    ]
    assert newest_run(root) == second
    assert (root / "latest").resolve() == second
    assert find_run(root, "first") == first
    assert find_run(root, "latest") == second


def test_without_a_name_the_time_makes_one(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert len(run.name) == len("20260101-120000")
    assert newest_run(tmp_path) == run


def test_without_the_link_the_newest_is_found_by_age(tmp_path: Path) -> None:
    older, newer = new_run(tmp_path, "b"), new_run(tmp_path, "a")
    os.utime(older, (1, 1))
    (tmp_path / "latest").unlink()
    assert newest_run(tmp_path) == newer
    (tmp_path / "latest").symlink_to("deleted")
    assert newest_run(tmp_path) == newer


def test_an_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    new_run(tmp_path, "one")
    with pytest.raises(ValueError, match="exists; continue it with resume=true"):
        new_run(tmp_path, "one")


@pytest.mark.parametrize("name", ["latest", "../up", "a/b", ".hidden", ".."])
def test_a_name_that_is_no_plain_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a plain folder name"):
        new_run(tmp_path, name)


def test_a_missing_run_names_the_nearest(tmp_path: Path) -> None:
    new_run(tmp_path, "swe-sc-grpo")
    new_run(tmp_path, "other")
    with pytest.raises(ValueError, match="nearest: swe-sc-grpo"):
        find_run(tmp_path, "swe-grpo")
    with pytest.raises(ValueError, match="holds no run"):
        find_run(tmp_path / "absent", "x")
    with pytest.raises(ValueError, match=r"train one: python -m scgrpo.train"):
        newest_run(tmp_path / "absent")


def test_a_folder_that_cannot_be_made_says_why_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"file/runs/x: a part of the path is a file"):
        new_run(tmp_path / "file" / "runs", "x")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("size=1m,nr_inodes=3", "the disk is full: free some"),
        ("ro", "the disk is read-only"),
    ],
)
def test_a_full_or_read_only_disk_says_so(
    option: str, message: str, tmp_path: Path
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        with pytest.raises(DiskError, match=message):
            new_run(tmp_path, "x")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_runs_that_start_in_one_second_have_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "20261129-001835")
    names = [new_run(tmp_path).name for _ in range(3)]
    assert names == ["20261129-001835", "20261129-001835-2", "20261129-001835-3"]
