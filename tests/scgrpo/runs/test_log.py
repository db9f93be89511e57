"""Metrics survive a kill and a resume; progress reads well on a terminal and in a pipe."""

import itertools
import json
import logging
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scgrpo.runs import log
from scgrpo.runs.disk import DiskError
from scgrpo.runs.log import Metrics, progress, read_metrics

SHOW = """
from scgrpo.runs.log import progress, to_terminal
import logging
to_terminal()
with progress(2, "train") as bar:
    bar.advance(1, "reward 0.25")
    logging.getLogger("scgrpo.x").info("half way")
    bar.advance()
"""


def steps(run: Path) -> list[int]:
    return [row["step"] for row in read_metrics(run / "metrics.jsonl")]


def write_without_end(metrics: Metrics) -> None:
    for step in itertools.count():
        metrics.write(step, text="x" * 1000)


def test_each_step_is_on_disk_when_written(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        metrics.write(1, reward=0.5, split="train")
        row = read_metrics(tmp_path / "metrics.jsonl")[0]
        assert (row["step"], row["reward"], row["split"]) == (1, 0.5, "train")
        assert row["time"] > 1.7e9


def test_resuming_drops_the_steps_after_the_checkpoint(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        for step in (1, 2, 3):
            metrics.write(step, reward=0.0)
    with Metrics(tmp_path, last_step=2) as metrics:
        assert steps(tmp_path) == [1, 2]
        metrics.write(3, reward=1.0)
    assert steps(tmp_path) == [1, 2, 3]
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["reward"] == 1.0


def test_a_line_torn_by_a_kill_is_dropped_and_the_next_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "reward": 0.5}\n{"step": 2, "rew')
    assert steps(tmp_path) == [1]
    with Metrics(tmp_path, last_step=2) as metrics:
        metrics.write(3, reward=1.0)
    assert steps(tmp_path) == [1, 3]


def test_a_broken_line_in_the_middle_is_an_error_with_its_number(
    tmp_path: Path,
) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 3}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_numbers_that_json_has_not_become_null(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        metrics.write(1, loss=float("nan"), norm=float("inf"))
    line = (tmp_path / "metrics.jsonl").read_text()
    row = json.loads(line, parse_constant=pytest.fail)
    assert row["loss"] is None
    assert row["norm"] is None


def test_tensorboard_reads_the_curve_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Metrics(tmp_path) as metrics:
        for step in (1, 2, 3):
            metrics.write(step, reward=float(step))
    with Metrics(tmp_path, last_step=2) as metrics:
        metrics.write(3, reward=30.0)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("reward")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 30.0),
    ]


def test_a_full_disk_is_said_while_writing(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        with (
            Metrics(tmp_path) as metrics,
            pytest.raises(DiskError, match="the disk is full"),
        ):
            write_without_end(metrics)
        assert steps(tmp_path)[:2] == [0, 1]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_in_a_pipe_progress_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    middle, last = done.stderr.splitlines()
    assert middle == "half way"
    assert last.startswith("train: 2/2, ")
    assert last.endswith("/s, reward 0.25")


def test_plain_lines_come_at_intervals_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "PLAIN_INTERVAL_S", 0.0)
    with progress(2, "eval") as bar:
        bar.advance()
        bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["eval: 1/2", "eval: 2/2"]
    assert lines[0].endswith("0:00 left")


def test_on_a_terminal_progress_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", SHOW], stderr=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the terminal's other end is closed: the child is done
        pass
    finally:
        os.close(ours)
    assert child.wait() == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "2/2" in text
    assert "reward 0.25" in text
    assert text.count("half way") == 1


def test_messages_go_to_the_terminal_once(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("scgrpo")
    before = (logger.handlers[:], logger.level, logger.propagate)
    try:
        log.to_terminal()
        log.to_terminal()
        logging.getLogger("scgrpo.models.load").info("from the hub")
        assert capsys.readouterr().err == "from the hub\n"
    finally:
        for name in ("scgrpo", "envs", "sandboxes", "evals"):
            one = logging.getLogger(name)
            one.handlers, one.level, one.propagate = (
                list(before[0]),
                before[1],
                before[2],
            )


TRACK = """
import sys
from pathlib import Path
from scgrpo.runs.log import Metrics
run, tracker = Path(sys.argv[1]), sys.argv[2]
for last in (0, 2):
    with Metrics(run, last_step=last, tracker=tracker) as metrics:
        for step in (last + 1, last + 2):
            metrics.write(step, reward=step / 4)
"""


def tracked(tracker: str, folder: Path) -> None:
    """Two steps, and two more of the same run gone on with, sent to a tracker without a network."""
    pytest.importorskip(tracker)
    subprocess.run(
        [sys.executable, "-c", TRACK, folder / "run", tracker],
        env={**os.environ, "TRACKIO_DIR": str(folder / "trackio")}
        | {"WANDB_MODE": "offline", "WANDB_DIR": str(folder), "WANDB_SILENT": "true"},
        check=True,
        timeout=120,
    )


@pytest.mark.slow
def test_trackio_gets_every_step_of_one_run(tmp_path: Path) -> None:
    tracked("trackio", tmp_path)
    with sqlite3.connect(tmp_path / "trackio" / "scgrpo.db") as database:
        rows = database.execute(
            "select run_name, step, metrics from metrics order by step"
        )
        found = [
            (name, step, json.loads(values)["reward"]) for name, step, values in rows
        ]
    assert found == [("run", step, step / 4) for step in (1, 2, 3, 4)]


@pytest.mark.slow
def test_wandb_gets_both_parts_of_a_run_under_one_id(tmp_path: Path) -> None:
    tracked("wandb", tmp_path)
    ids = {
        path.stem.partition("-")[2]
        for path in tmp_path.glob("wandb/offline-run-*/*.wandb")
    }
    assert len(ids) == 1
    assert ids.pop().startswith("run-")
