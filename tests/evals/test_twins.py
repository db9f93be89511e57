"""A task and its twin are solved together by sense, and one of the two by memory."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from envs import registry
from envs.base import TextEnv
from envs.code.swe_lite.env import SweLite
from envs.identity import identity
from envs.rollout import Limits, play
from envs.store import write_episodes
from envs.toy.guess import ToyGuess
from envs.types import Episode, Stop, Task, Verdict
from evals import run as evaluation
from evals.evaluation.pairs import consistency
from evals.evaluation.suites import Suite
from evals.replay import replay
from evals.twin_envs import twin_of, twin_task
from evals.twins import main
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts

NAN = math.nan


def own(name: str) -> TextEnv:
    env = registry.make(name).unwrapped
    assert isinstance(env, TextEnv)
    return env


def test_the_twins_environment_plays_the_twin_and_not_the_task():
    toy, twins = ToyGuess(), registry.make(twin_of("toy_guess"))
    for task in toy.tasks("train", 0):
        twin = twin_task(toy, task)
        assert twin is not None
        assert twin.payload != task.payload
        assert twin.id == f"{task.id}/twin"
        assert play(twins, ScriptedPolicy(toy.oracle(twin)), twin).verified
        # The deciding turn of the task, on the twin.
        assert not play(twins, ScriptedPolicy(toy.oracle(task)[-1:]), twin).verified


def test_a_twin_that_keeps_its_tasks_id_is_played_all_the_same():
    plain, twins = SweLite(), own(twin_of("swe_lite"))
    task = plain.tasks("id", 0)[0]
    twin = twin_task(plain, task)
    assert twin is not None
    assert plain.twin(task).id == task.id
    assert twins.find("id", 0, twin.id) == twin
    assert twins.find("id", 0, task.id) is None
    assert twins.find("id", 0, "id/0/nothing/twin") is None
    twins.reset(options={"split": "id", "level": 0, "task_id": twin.id})
    assert twins.task.payload["answer"] == task.payload["answer"] % 4 + 1
    assert (len(twins.tasks("id", 0)), len(twins.tasks("id", 1))) == (
        len(plain.tasks("id", 0)),
        0,
    )


def test_twins_are_played_by_their_environments_own_code():
    toy, twins = (
        identity(registry.make("toy_guess")),
        identity(registry.make("twins/toy_guess")),
    )
    assert twins.env == "twins/toy_guess-v0"
    assert twins.source == toy.source


def test_saved_episodes_of_twins_prove_themselves(tmp_path):
    twins = registry.make(twin_of("toy_guess"))
    (task, *_) = own("twins/toy_guess").tasks("id", 1)
    played = [
        play(twins, ScriptedPolicy(turns), task) for turns in (["1"], ["2", "3", "4"])
    ]
    write_episodes(tmp_path / "e.jsonl", played)
    found = replay([tmp_path / "e.jsonl"], env="evals.twin_envs:twins/toy_guess")
    assert [finding.problems for finding in found] == [(), ()]


def episode(passed: float) -> Episode:
    void = math.isnan(passed)
    verdict = None if void else Verdict(bool(passed), passed)
    task = Task("id/0/x", "id", 0, "f", "p")
    return Episode(task, (), (), (), Stop.ERROR if void else Stop.FINISHED, verdict)


def test_pair_consistency_by_hand():
    """Both: 1 of 2, none of 2, 1 of the 1 without a void one."""
    tasks = [[1.0, 1.0], [1.0, 0.0], [1.0, NAN]]
    twins = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    found = consistency(
        Suite("toy_guess", 0, "id"),
        "m",
        [[episode(x) for x in row] for row in tasks],
        [[episode(x) for x in row] for row in twins],
        ["a", "b", "c"],
        2,
    )
    assert found.both.value == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert found.both.episodes == 5
    assert found.task.value == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert found.twin.value == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert found.gap.value == pytest.approx((-1 / 2 + 0 + 0) / 3)
    assert found.both.low < found.both.value < found.both.high


@pytest.mark.parametrize(
    ("turns", "task", "both"),
    [
        # Of a window of three with two guesses: the first two numbers, and the one pair of them.
        (lambda low: [low, low + 1], 2 / 3, 1 / 3),
        # One number by heart is one of the three, and never its twin too.
        (lambda low: [low], 1 / 3, 0.0),
    ],
)
def test_who_goes_by_heart_solves_tasks_and_not_pairs(turns, task, both):
    def script(chat):
        spoken = sum(message["role"] == "assistant" for message in chat)
        low = int(chat[-1 - 2 * spoken]["content"].split()[1].split("-")[0])
        told = turns(low)
        return str(told[min(spoken, len(told) - 1)])

    toy = ToyGuess()
    tasks = toy.tasks("id", 0)
    twins = [twin for each in tasks if (twin := twin_task(toy, each)) is not None]
    played = []
    for name, chosen in (("toy_guess", tasks), (twin_of("toy_guess"), twins)):
        with Rollouts(name, Limits(), threads=2) as rollouts:
            found = rollouts(ScriptedPolicy(script), chosen, group=1, seed=0)
            played.append([[each] for each in found])
    families = [each.family for each in tasks]
    result = consistency(Suite("toy_guess", 0, "id"), "heart", *played, families, 1)
    assert (result.task.value, result.twin.value) == pytest.approx((task, task))
    assert result.both.value == pytest.approx(both)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("m") / "model", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(model, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


CHOSEN = [
    "--envs",
    "toy_guess",
    "--levels",
    "0",
    "--tasks",
    "4",
    "--rollouts",
    "2",
    "--out",
    "out",
]


def test_the_command_plays_both_shares_episodes_with_an_evaluation_and_goes_on(
    here, capsys
):
    evaluation.main(["--model", "model", *CHOSEN])
    capsys.readouterr()
    main(["--model", "model", *CHOSEN])
    captured = capsys.readouterr()
    assert "episodes: 8 to play, 8 on disk" in captured.err
    assert "Minimal pairs of task and twin, sampled at temperature 1" in captured.out
    assert "toy_guess level 0 id" in captured.out
    (path,) = (here / "out" / "twins").glob("*.json")
    data = json.loads(path.read_text())
    (row,) = data["rows"]
    assert (row["task"]["tasks"], row["both"]["episodes"]) == (4, 8)
    assert (
        data["provenance"]["command"]
        == f"scgrpo twins --model model {' '.join(CHOSEN)}"
    )
    main(["--model", "model", *CHOSEN])
    assert "episodes: 0 to play, 16 on disk" in capsys.readouterr().err
    assert json.loads(path.read_text())["rows"] == data["rows"]


def test_suites_without_twins_are_refused(here, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(
            [
                "--model",
                "model",
                "--envs",
                "swe_lite",
                "--levels",
                "1",
                "--tasks",
                "2",
                "--out",
                "out",
            ]
        )
    assert stopped.value.code == 2
    err = capsys.readouterr().err
    assert "no task of swe_lite level 1 id has a twin" in err
    assert not (here / "out").exists()
