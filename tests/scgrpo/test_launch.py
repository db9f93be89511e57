"""How a run starts and goes on: one process for each, and nothing is left of a start that fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxes import SandboxConfig
from scgrpo import launch
from scgrpo.config import TrainConfig
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.loop import TrainingLoop
from scgrpo.models.tiny import make_tiny
from scgrpo.rollouts import Rollouts
from scgrpo.runs.folders import new_run, newest_run
from scgrpo.runs.log import Metrics, read_metrics
from scgrpo.train import main

MINUTE = 60
WARM = (
    "warm_start.mode=always",
    "warm_start.episodes=8",
    "warm_start.steps=2",
    "warm_start.tasks_per_step=2",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs with one that was made before."""
    new_run(tmp_path / "runs", "before")
    return tmp_path / "runs"


def arguments(tiny: Path, runs: Path, *extra: str) -> list[str]:
    return [
        "env=toy_guess",
        f"model={tiny}",
        f"runs={runs}",
        "device=cpu",
        "dtype=float32",
        "levels=0",
        "max_steps=1",
        "tasks_per_step=2",
        "group_size=2",
        "limits.turn_tokens=3",
        "limits.episode_tokens=160",
        "warm_start.mode=never",
        *extra,
    ]


def ended(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and what the command prints on standard error."""
    code = 0
    try:
        main(argv)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, capsys.readouterr().err


def nothing_is_left(runs: Path) -> bool:
    names = sorted(path.name for path in runs.iterdir())
    return names == ["before", "latest"] and newest_run(runs).name == "before"


def fail(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_start_with_a_missing_tracker_leaves_no_run(tiny, runs, capsys):
    """Nothing shows that before the run's files are opened."""
    code, said = ended(arguments(tiny, runs, "name=a", "tracker=wandb"), capsys)
    if code == 0:
        pytest.skip("wandb is installed here")
    assert code == 2
    assert "pip install wandb" in said
    assert nothing_is_left(runs)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (Rollouts, "__init__"),
        (Rollouts, "__call__"),
        (TrainingLoop, "__init__"),
        (Metrics, "__init__"),
    ],
    ids=["environment", "warm start", "model", "metrics"],
)
def test_a_start_that_is_stopped_leaves_no_run_and_says_so(
    where, name, tiny, runs, capsys, monkeypatch
):
    monkeypatch.setattr(where, name, fail)
    code, said = ended(arguments(tiny, runs, "name=a", *WARM), capsys)
    assert code == 130
    assert nothing_is_left(runs)
    assert "stopped before training began, so there is no run" in said
    assert "resume=true" not in said
    monkeypatch.undo()
    code, said = ended(arguments(tiny, runs, "name=a"), capsys)
    assert code == 0, said
    assert newest_run(runs).name == "a"


def test_a_start_that_is_killed_leaves_no_run(tiny, runs, capsys):
    """Here in the middle of a warm start."""
    process = started(tiny, runs, "name=a", *WARM, "warm_start.steps=100000")
    wait_for(lambda: list(runs.glob(".a*")), process)
    time.sleep(0.5)
    assert not (runs / "a").exists()
    assert newest_run(runs).name == "before"
    process.kill()
    process.communicate()
    code, said = ended(arguments(tiny, runs, "name=a"), capsys)
    assert code == 0, said
    assert sorted(path.name for path in runs.iterdir()) == ["a", "before", "latest"]


def test_a_run_that_is_stopped_says_how_it_goes_on(tiny, runs, capsys, monkeypatch):
    monkeypatch.setattr(TrainingLoop, "_one_step", fail)
    code, said = ended(arguments(tiny, runs, "name=a b"), capsys)
    assert code == 130
    hint = f"stopped; continue with: scgrpo train resume=true name='a b' runs={runs}"
    assert hint in said
    monkeypatch.undo()
    code, said = ended([f"runs={runs}", "name=a b", "resume=true"], capsys)
    assert code == 0, said


@pytest.fixture
def training(tiny: Path, runs: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that trains the run `a`."""
    process = started(tiny, runs, "name=a", "max_steps=100000", "save_every=1")
    wait_for(lambda: list(runs.glob("a/checkpoints/step-*")), process)
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_on_a_run_is_refused_and_told_which_has_it(
    training, runs, capsys
):
    settings = (runs / "a" / "config.yaml").read_text()
    resume = [f"runs={runs}", "name=a", "resume=true", "max_steps=200000"]
    code, said = ended(resume, capsys)
    assert code == 2
    assert f"a is in use by process {training.pid} on " in said
    assert "Traceback" not in said
    # It has not touched the settings of the run that goes on.
    assert (runs / "a" / "config.yaml").read_text() == settings
    assert training.poll() is None

    training.send_signal(signal.SIGKILL)
    training.wait()
    steps = read_metrics(runs / "a" / "metrics.jsonl")[-1]["step"] + 1
    code, said = ended([*resume[:3], f"max_steps={steps}"], capsys)
    assert code == 0, said
    rows = read_metrics(runs / "a" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, steps + 1))


def test_two_processes_that_go_on_at_once_do_not_mix(tiny, runs, capsys):
    assert ended(arguments(tiny, runs, "name=a"), capsys)[0] == 0
    processes = [
        started(tiny, runs, "name=a", "resume=true", "max_steps=40") for _ in range(2)
    ]
    said = [process.communicate(timeout=3 * MINUTE)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2], said
    first, second = codes.index(0), codes.index(2)
    assert f"in use by process {processes[first].pid}" in said[second]
    for step in range(1, 41):
        episodes = runs / "a" / "episodes" / f"step-{step:06d}.jsonl"
        assert len(episodes.read_text().splitlines()) == 4, step


def test_a_run_goes_on_without_the_model_that_it_began_with(
    tiny, runs, cache, tmp_path, capsys
):
    """Its checkpoint is all that it needs."""
    shutil.copytree(tiny, tmp_path / "model")
    begin = arguments(tmp_path / "model", runs, "name=a", *WARM)
    assert ended(begin, capsys)[0] == 0
    shutil.rmtree(tmp_path / "model")
    shutil.rmtree(cache)
    code, said = ended([f"runs={runs}", "name=a", "resume=true", "max_steps=2"], capsys)
    assert code == 0, said
    assert not cache.exists()


def started(tiny: Path, runs: Path, *extra: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "scgrpo.train", *arguments(tiny, runs, *extra)]
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 3 * MINUTE
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_weights_that_another_machine_has_are_fetched_or_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mine = make_tiny(tmp_path / "mine" / "0a1b2c", hidden=16, layers=1, heads=2)
    monkeypatch.setattr(launch, "resolve_model", lambda _: mine)
    config = TrainConfig(model="some/model")
    assert launch._on_this_machine(mine, config, SINGLE_PROCESS) == mine
    # The same commit of the hub in another machine's cache.
    theirs = tmp_path / "theirs" / "0a1b2c"
    assert launch._on_this_machine(theirs, config, SINGLE_PROCESS) == mine
    with pytest.raises(ValueError, match="other is not on the machine of process 0"):
        launch._on_this_machine(tmp_path / "other", config, SINGLE_PROCESS)
    warm = launch.warm_start_cache() / "0a1b2c"
    with pytest.raises(ValueError, match="SCGRPO_CACHE, on a disk that all machines"):
        launch._on_this_machine(warm, config, SINGLE_PROCESS)


def test_a_run_that_a_machine_cannot_see_is_refused(tmp_path: Path):
    launch._check_shared(tmp_path, SINGLE_PROCESS)
    with pytest.raises(ValueError, match=r"runs=FOLDER must lie on a disk"):
        launch._check_shared(tmp_path / "elsewhere", SINGLE_PROCESS)


def test_processes_share_the_sandboxes(monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []

    class Opened(Rollouts):
        def __init__(self, *args: Any, sandbox: SandboxConfig, **options: Any) -> None:
            sizes.append(sandbox.size)
            super().__init__(*args, sandbox=sandbox, **options)

    monkeypatch.setattr(launch, "Rollouts", Opened)
    for size in (7, 0):
        config = TrainConfig(env="toy_guess", sandbox=SandboxConfig(size=size))
        with launch._open_rollouts(config, Ranks(0, 3)):
            pass
    assert sizes == [3, 0]
