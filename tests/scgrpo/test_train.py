"""The train command, as a user runs it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scgrpo.config import TrainConfig
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import read_metrics
from scgrpo.settings import parse as settings
from scgrpo.settings.keys import leaves
from scgrpo.train import main

MINUTE = 60


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


def arguments(tiny: Path, runs: Path, *extra: str) -> list[str]:
    return [
        "env=toy_guess",
        f"model={tiny}",
        f"runs={runs}",
        "device=cpu",
        "dtype=float32",
        "levels=0",
        "tasks_per_step=2",
        "group_size=2",
        "limits.turn_tokens=3",
        "limits.episode_tokens=160",
        "warm_start.mode=never",
        *extra,
    ]


def ended(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the last line that the command prints."""
    try:
        main(argv)
    except SystemExit as end:
        code = end.code
    else:
        code = 0
    assert isinstance(code, int)
    return code, capsys.readouterr().err.strip()


def started(tiny: Path, runs: Path, *extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "scgrpo.train", *arguments(tiny, runs, *extra)]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "SCGRPO_CACHE": str(runs / "cache")},
    )


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    deadline = time.monotonic() + 3 * MINUTE
    while not (rows := read_metrics(run / "metrics.jsonl")) or rows[-1]["step"] < step:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


WRONG = [
    (["env=toy_gues"], "toy_guess"),
    (["steps=3"], "steps is now called max_steps"),
    (["algo=sc_grp"], "did you mean sc_grpo?"),
    (["lr=fast"], "lr: got 'fast', expected float"),
    (["group_size=1"], "group_size must be at least 2"),
    (["levls=0"], "did you mean levels?"),
    (["levels=9"], "levels [9] are not among toy_guess's"),
    (["env=aime24", "levels=0"], "aime24 has no split train: nothing trains on its id"),
    (["limits.turn_token=5"], "limits.turn_tokens"),
    (["dtype=float23"], "did you mean float32?"),
    (["device=gpu7"], "device=gpu7 cannot be used here"),
    (["algo=grpo", "credit.control=shuffled"], "credit.* has no effect with algo=grpo"),
    (["algo=grpo", "reference.tokens=64"], "reference.* has no effect with algo=grpo"),
    (
        ["algo=opd", "teacher=auto", "reference.tokens=64"],
        "reference.* has no effect with algo=opd",
    ),
    (["warm_start.steps=0"], "warm_start.steps must be at least 1"),
    (["resume=true", "name=none"], "there is no run"),
]


@pytest.mark.parametrize(("extra", "message"), WRONG)
def test_bad_settings_end_with_2_and_what_was_meant(
    tiny, tmp_path, capsys, extra, message
):
    code, said = ended(arguments(tiny, tmp_path, *extra), capsys)
    assert code == 2
    assert message in said
    assert "Traceback" not in said


def test_an_unknown_model_names_the_nearest_one(tiny, tmp_path, capsys):
    code, said = ended(arguments(tiny, tmp_path, f"model={tiny}y"), capsys)
    assert code == 2
    assert f"unknown model '{tiny}y'" in said
    assert f"Nearest known: {tiny}" in said
    assert not list(tmp_path.iterdir())


def test_a_run_of_the_same_name_is_refused(tiny, tmp_path, capsys):
    (tmp_path / "one").mkdir()
    code, said = ended(arguments(tiny, tmp_path, "name=one"), capsys)
    assert code == 2
    assert "exists; continue it with resume=true" in said


def test_help_prints_every_field_with_its_default(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    page = capsys.readouterr().out
    for key in leaves(TrainConfig):
        assert key in page, key
    assert "steps" in page
    assert str(TrainConfig().max_steps) in page


def test_a_resumed_run_goes_on_with_its_own_settings_and_refuses_others(
    tiny, tmp_path, capsys
):
    code, said = ended(
        arguments(tiny, tmp_path, "name=a", "max_steps=1", "lr=1e-3"), capsys
    )
    assert code == 0, said
    base = [f"runs={tmp_path}", "name=a", "resume=true"]
    # Nothing but the steps may differ, also where what is asked for is the default.
    for extra, key in (
        (["limits.turn_tokens=5"], "limits.turn_tokens: the run has 3, got 5"),
        (["lr=2e-5"], "lr: the run has 0.001, got 2e-05"),
        (["algo=grpo"], "algo: the run has sc_grpo, got grpo"),
        (
            ["seed=1", "group_size=4"],
            "group_size: the run has 2, got 4; seed: the run has 0, got 1",
        ),
    ):
        code, said = ended([*base, *extra], capsys)
        assert code == 2
        assert key in said
    assert [row["step"] for row in read_metrics(tmp_path / "a" / "metrics.jsonl")] == [
        1
    ]
    code, said = ended([*base, "max_steps=3", "lr=1e-3"], capsys)
    assert code == 0, said
    assert [row["step"] for row in read_metrics(tmp_path / "a" / "metrics.jsonl")] == [
        1,
        2,
        3,
    ]
    kept = settings.load(TrainConfig, tmp_path / "a" / "config.yaml")
    # What `auto` meant when the run began, so that it goes on alike.
    assert kept.engine.kind == "hf"
    assert (kept.env, kept.lr, kept.limits.turn_tokens) == ("toy_guess", 1e-3, 3)
    assert kept.max_steps == 3


def test_a_killed_run_goes_on_and_ends_whole(tiny, tmp_path, capsys):
    process = started(tiny, tmp_path, "name=a", "max_steps=500", "save_every=2")
    wait_for_step(process, tmp_path / "a", 4)
    process.send_signal(signal.SIGKILL)
    assert process.wait(MINUTE) == -signal.SIGKILL
    assert process.stderr is not None
    process.stderr.close()
    left = read_metrics(tmp_path / "a" / "metrics.jsonl")[-1]["step"]
    goal = left + 2
    resume = arguments(
        tiny, tmp_path, "name=a", "resume=true", f"max_steps={goal}", "save_every=2"
    )
    code, said = ended(resume, capsys)
    assert code == 0, said
    assert "going on from" in said
    rows = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, goal + 1))
    assert (tmp_path / "a" / "checkpoints" / f"step-{goal:06d}").is_dir()


def test_ctrl_c_ends_with_130_and_loses_no_finished_step(tiny, tmp_path):
    process = started(tiny, tmp_path, "name=a", "max_steps=500", "save_every=400")
    wait_for_step(process, tmp_path / "a", 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert "stopped; continue with: scgrpo train resume=true" in said
    assert "Traceback" not in said
    finished = read_metrics(tmp_path / "a" / "metrics.jsonl")[-1]["step"]
    assert os.listdir(tmp_path / "a" / "checkpoints") == [f"step-{finished:06d}"]


def test_a_full_disk_ends_with_1_and_says_what_to_do(tiny, tmp_path, capsys):
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        code, said = ended(
            arguments(tiny, tmp_path, "name=a", "max_steps=9", "save_every=1"), capsys
        )
        assert code == 1
        assert (
            "the disk is full: free some space, or choose a folder on another disk"
            in said
        )
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
