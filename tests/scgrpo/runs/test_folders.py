"""Run folders are made whole, found by name or by age, and refused in useful words."""

import os
import subprocess
from pathlib import Path

import pytest

from scgrpo.runs.disk import DiskError
from scgrpo.runs.folders import (
    all_runs,
    find_run,
    new_run,
    newest_run,
    starting_run,
)


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


def test_a_run_is_there_when_it_is_opened_and_the_latest_when_it_begins(
    tmp_path: Path,
) -> None:
    before = new_run(tmp_path, "before")
    with starting_run(tmp_path, "a") as starting:
        assert not starting.path.exists()
        assert all_runs(tmp_path) == [before]
        starting.open(lambda folder: settings_in(folder))
        assert find_run(tmp_path, "a") == starting.path
        assert newest_run(tmp_path) == before
        starting.begin()
        assert newest_run(tmp_path) == starting.path
    assert (starting.path / "config.yaml").is_file()


def settings_in(folder: Path) -> None:
    (folder / "config.yaml").write_text("env: toy_guess\n")


@pytest.mark.parametrize("is_open", [False, True])
def test_a_start_that_fails_leaves_no_run(is_open: bool, tmp_path: Path) -> None:
    before = new_run(tmp_path, "before")

    def start() -> None:
        with starting_run(tmp_path, "a") as starting:
            if is_open:
                starting.open(settings_in)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "latest"]
    assert newest_run(tmp_path) == before


def test_a_name_that_another_process_starts_is_refused(tmp_path: Path) -> None:
    with (
        starting_run(tmp_path, "a"),
        pytest.raises(
            ValueError, match=rf"process {os.getpid()} .*choose another name"
        ),
        starting_run(tmp_path, "a"),
    ):
        pass


def test_a_start_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    for name in ("a", "b"):
        dead = tmp_path / f".{name}.starting"
        (dead / "checkpoints").mkdir(parents=True)
        (dead / ".lock").write_text("{}")
    os.utime(tmp_path / ".b.starting", (1, 1))
    with pytest.raises(ValueError, match="there is no run"):
        newest_run(tmp_path)
    assert new_run(tmp_path, "a").is_dir()
    # Old ones of other names are cleared away.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "latest"]


def test_a_run_made_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    def start() -> None:
        with starting_run(tmp_path, "a") as starting:
            (tmp_path / "a").mkdir()
            settings_in(tmp_path / "a")
            starting.open(lambda _: None)

    with pytest.raises(ValueError, match="exists; continue it"):
        start()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["config.yaml"]


def test_a_name_with_control_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a plain folder name"):
        new_run(tmp_path, "a\x1b[2J")
