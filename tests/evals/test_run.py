"""The command as typed, on a small run with real (random) models."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.rollout import Limits
from evals import twins
from evals.run import main
from scgrpo.config import TrainConfig
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.policies.hf import HFPolicy
from scgrpo.runs import folders as runs
from scgrpo.runs.lock import only_writer
from scgrpo.settings import parse as settings
from scgrpo.training import checkpoint
from scgrpo.training.optimizer import MasterAdamW

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a base model and `runs/first`: warm start, one checkpoint, level 1 reached."""
    folder = tmp_path_factory.mktemp("workplace")
    base = make_tiny(folder / "base", hidden=16, layers=1, heads=2)
    run = runs.new_run(folder / "runs", "first")
    config = TrainConfig(
        env="toy_guess",
        model=str(base),
        limits=Limits(turn_tokens=3, episode_tokens=200),
    )
    settings.save(config, run / runs.CONFIG)
    make_tiny(run / "warm_start", hidden=16, layers=1, heads=2, seed=1)
    model, tokenizer = load_model(run / "warm_start")
    optimizer = MasterAdamW(model.parameters(), lr=1e-3)
    model.get_input_embeddings().weight.data.add_(0.01)
    content = checkpoint.Content(3, model, tokenizer, optimizer.state_parts(), {})
    checkpoint.save(run / "checkpoints", content)
    lines = [{"step": 1, "level": 0}, {"step": 2, "level": 1}, {"step": 3, "level": 2}]
    (run / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    return folder


@pytest.fixture
def here(workplace, tmp_path, monkeypatch):
    """A copy of the workplace, as the current folder."""
    shutil.copytree(workplace, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return Path()


def refused(arguments: str, capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code == code
    return capsys.readouterr().err


def report_of(folder: Path) -> dict:
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())


def test_the_newest_run_is_evaluated_with_its_three_models_on_the_levels_that_it_trained_on(
    here, capsys
):
    main(["--ood", "--tasks", "5", "--rollouts", "2"])
    captured = capsys.readouterr()
    for word in (
        "base",
        "warm-started",
        "trained",
        "toy_guess level 1",
        "ood/difficulty",
    ):
        assert word in captured.out
    assert "episodes: 120 to play, 0 on disk" in captured.err
    assert "smallest difference that shows: " in captured.err
    assert "points (5 tasks x 2) on every suite" in captured.err
    assert (
        "time: not known before the first 32 episodes: none of toy_guess"
        in captured.err
    )
    assert re.search(r"time: about \d+ s for the other 88 episodes", captured.err)
    assert "trained, toy_guess level 1 id: 10/10" in captured.err
    report = report_of(here / "runs/first/evals")
    cells = [(row["level"], row["split"]) for row in report["rows"]]
    assert cells == [
        (level, split) for level in (0, 1) for split in ("id", "ood/difficulty")
    ]
    for row in report["rows"]:
        assert (row["tasks"], row["rollouts"]) == (5, 2)
        assert list(row["scores"]) == ["base", "warm-started", "trained"]
        assert [d["before"] for d in row["differences"]] == ["warm-started", "base"]
        assert all(
            (s["episodes"], s["errors"]) == (10, 0) for s in row["scores"].values()
        )
    origin = report["provenance"]
    assert origin["command"] == "scgrpo eval --ood --tasks 5 --rollouts 2"
    assert origin["run"] == "runs/first"
    assert origin["limits"] == {"turn_tokens": 3, "episode_tokens": 200}
    assert origin["models"]["trained"]["name"] == "runs/first/checkpoints/step-000003"
    assert len({m["sha256"] for m in origin["models"].values()}) == 3
    assert origin["sampling"] == "sampled at temperature 1"
    assert (origin["stopped"], origin["missing"]) == ("", {})

    main(["--ood", "--tasks", "5", "--rollouts", "2"])
    assert "episodes: 0 to play, 120 on disk" in capsys.readouterr().err
    assert report_of(here / "runs/first/evals")["rows"] == report["rows"]


def test_a_checkpoint_belongs_to_its_run_and_a_run_may_be_named(here, capsys):
    quick = ["--levels", "0", "--tasks", "2", "--rollouts", "1"]
    main(["--model", "runs/first/checkpoints/step-000003", *quick])
    played = capsys.readouterr().err
    assert "6 to play, 0 on disk" in played
    for same in (["first"], ["--run", "first"], ["--model", "first"], ["runs/latest"]):
        main([*same, *quick])
        assert "0 to play, 6 on disk" in capsys.readouterr().err


def test_a_model_of_no_run_stands_alone_or_beside_a_base(here, capsys):
    chosen = ["--envs", "toy_guess", "--tasks", "2", "--rollouts", "1", "--out", "out"]
    main(["--model", "base", *chosen])
    assert list(report_of(here / "out")["rows"][0]["scores"]) == ["model"]
    shutil.rmtree("out")
    main(["--model", "runs/first/warm_start", "--base", "base", *chosen])
    (row,) = report_of(here / "out")["rows"]
    assert [(d["after"], d["before"]) for d in row["differences"]] == [
        ("model", "base")
    ]


def test_budgets_of_tokens_are_the_run_s_unless_they_are_given(here, capsys):
    quick = ["--levels", "0", "--tasks", "2", "--rollouts", "1"]
    main(quick)
    capsys.readouterr()
    # Other budgets are other episodes.
    main([*quick, "--turn-tokens", "2", "--episode-tokens", "180"])
    assert "6 to play, 0 on disk" in capsys.readouterr().err
    reports = (here / "runs/first/evals").glob("*.json")
    limits = [json.loads(p.read_text())["provenance"]["limits"] for p in reports]
    assert {"turn_tokens": 2, "episode_tokens": 180} in limits
    with pytest.raises(SystemExit, match="2"):
        main([*quick, "--turn-tokens", "201"])
    said = capsys.readouterr().err
    assert "a turn may have 201 tokens and an episode 200: raise --epis" in said


def test_another_base_stands_in_for_the_run_s(here):
    main(
        [
            "--base",
            "runs/first/warm_start",
            "--levels",
            "0",
            "--tasks",
            "1",
            "--rollouts",
            "1",
        ]
    )
    found = report_of(here / "runs/first/evals")["provenance"]["models"]
    assert found["base"]["name"] == "runs/first/warm_start"


def test_greedy_is_stated_and_plays_once(here, capsys):
    main(["--greedy", "--levels", "0", "--tasks", "2"])
    report = report_of(here / "runs/first/evals")
    assert report["provenance"]["sampling"] == "greedy"
    assert report["rows"][0]["rollouts"] == 1
    assert "greedy" in capsys.readouterr().out
    assert "got --greedy and --rollouts 2, expected 1 rollout" in refused(
        "--greedy --rollouts 2", capsys
    )


def test_ctrl_c_keeps_what_was_done_and_the_same_command_goes_on(here, capsys):
    command = [sys.executable, "-m", "evals.run", "--levels", "4", "--tasks", "120"]
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "HOME": str(here.resolve()),
    }
    episodes = here / "runs/first/evals/episodes"
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while (
            sum(len(path.read_text().splitlines()) for path in episodes.glob("*")) < 100
        ):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "episodes: 2880 to play, 0 on disk" in said
    assert "finished episodes are kept: the same command goes on" in said
    assert "Traceback" not in said
    assert not list(episodes.parent.glob("*.json"))
    # A hundred ended episodes of at most 32 at a time: the first four tasks are among them.
    main(["--levels", "4", "--tasks", "4"])
    found = re.search(
        r"episodes: (\d+) to play, (\d+) on disk", capsys.readouterr().err
    )
    assert found
    left, kept = map(int, found.groups())
    assert left + kept == 4 * 8 * 3
    assert kept > 0


def test_an_episode_that_errored_stays_in_the_report_when_a_later_try_has_a_verdict(
    here, capsys, monkeypatch
):
    begin, calls = HFPolicy.begin, [0]

    def full(self, *args, **options):
        calls[0] += 1
        if calls[0] <= 3:
            raise OSError(errno.ENOSPC, "No space left on device", "in the sandbox")
        return begin(self, *args, **options)

    monkeypatch.setattr(HFPolicy, "begin", full)
    asked = ["--model", "base", "--envs", "toy_guess", "--levels", "0", "--tasks", "4"]
    asked += ["--rollouts", "2", "--out", "out"]
    for errors in (3, 0):
        main(asked)
        score = report_of(here / "out")["rows"][0]["scores"]["model"]
        assert (score["errors"], score["causes"]) == (errors, {"ENOSPC": 3})
        assert score["success_bound"] <= score["success"]["value"]
        said = " ".join(capsys.readouterr().out.split())
        assert (
            "Errored episodes of model on toy_guess level 0 id: ENOSPC 3, of 8." in said
        )
        assert ("For 3 of these 3 a later try counts." in said) == (not errors)
        assert "many errored: 37.5 % by ENOSPC. " in said


def played(said: str) -> int:
    found = re.search(r"episodes: (\d+) to play", said)
    assert found
    return int(found[1])


def numbers(folder: Path) -> str:
    """The report's rows as they stand in the file, without the seconds."""
    text = json.dumps(report_of(folder)["rows"], sort_keys=True)
    return re.sub(r'"seconds": [^,}]+', "", text)


def test_a_killed_evaluation_ends_with_the_bytes_of_an_uninterrupted_one(here, capsys):
    asked = ["--levels", "4", "--tasks", "40", "--rollouts", "3"]
    main([*asked, "--out", "whole"])
    command = [sys.executable, "-m", "evals.run", *asked, "--out", "killed"]
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "HOME": str(here.resolve()),
    }
    episodes = here / "killed/episodes"
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while (
            sum(len(path.read_bytes().splitlines()) for path in episodes.glob("*")) < 50
        ):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    assert not list((here / "killed").glob("*.json"))
    capsys.readouterr()
    main([*asked, "--out", "killed"])
    assert 0 < played(capsys.readouterr().err) <= 3 * 40 * 3 - 50
    assert numbers(here / "killed") == numbers(here / "whole")


def test_a_token_budget_stops_with_a_report_of_what_is_there_and_the_rest_comes_later(
    here, capsys
):
    asked = ["--levels", "4", "--tasks", "20", "--rollouts", "2", "--out", "out"]
    with pytest.raises(SystemExit) as stopped:
        main([*asked, "--max-tokens", "90"])
    assert stopped.value.code == 3
    said = capsys.readouterr()
    assert "tokens were written, --max-tokens is 90" in said.err
    assert "the same command goes on" in said.err
    assert "Incomplete: " in said.out
    origin = report_of(here / "out")["provenance"]
    assert origin["missing"]["trained"] == {"toy_guess level 4 id": 40}
    main(asked)
    captured = capsys.readouterr().err
    assert "time: about " in captured
    assert 80 < played(captured) < 120
    assert report_of(here / "out")["provenance"]["missing"] == {}


def test_without_a_run_it_says_how_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "train one: " in refused("--ood", capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--run frist", "there is no run runs/frist; nearest: first"),
        ("--run base", "there is no run runs/base; nearest: first"),
        (
            "--envs toy_gues",
            "environment 'toy_gues' does not exist. Did you mean 'toy_guess'?",
        ),
        ("--levels 7", "got --levels 7, expected levels of toy_guess: 0 1 2 3 4"),
        ("--model ./absent", "unknown model './absent': there is no folder absent"),
        ("--model runs/first/evals", "the folder holds no model"),
        ("--tasks 0", "argument --tasks: got '0', expected a whole number from 1"),
        ("--seed x", "argument --seed: got 'x', expected a whole number from 0"),
        ("--oood", "unrecognized arguments: --oood"),
        (
            "--max-minutes nan",
            "argument --max-minutes: got 'nan', expected a number above 0",
        ),
        ("--model-name x", "--model-name needs --base-url"),
        (
            "--base-url http://h/v1 --model x",
            "got --model and --base-url; name the server's",
        ),
        (
            "--base-url http://h/v1 --api-key-env NO_KEY_1",
            "variable NO_KEY_1 is not set",
        ),
        ("--base-url h:1", "got the address 'h:1', expected one like http://HOST/v1"),
        (
            "--base-url http://me:secret@h/v1",
            "holds a user or a query: give the key by",
        ),
    ],
)
def test_bad_input_says_what_to_do(here, capsys, arguments, message):
    assert message in refused(arguments, capsys)


def test_a_run_without_a_checkpoint_says_so(here, capsys):
    shutil.rmtree("runs/first/checkpoints/step-000003")
    assert "has no whole checkpoint yet: wait for its first" in refused("", capsys)


@pytest.mark.parametrize("damage", ["cut", "other", "template"])
def test_an_unreadable_model_is_named(here, capsys, damage):
    weights = here / "base/model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "template":
        (here / "base/chat_template.jinja").write_text(
            "{{ raise_exception('no chat') }}"
        )
    else:
        config = json.loads((here / "base/config.json").read_text())
        (here / "base/config.json").write_text(
            json.dumps({**config, "hidden_size": 32})
        )
    said = refused("--levels 0 --tasks 1 --model base --envs toy_guess", capsys)
    assert "cannot use the model " in said
    assert "base: " in said


def test_without_any_verdict_the_report_says_why_and_the_command_fails(
    here, capsys, monkeypatch
):
    prompt = Chat.prompt

    def refuse(chat: Chat, *arguments):
        if "warm_start" in chat.tokenizer.name_or_path:
            raise ValueError("no games")
        return prompt(chat, *arguments)

    monkeypatch.setattr(Chat, "prompt", refuse)
    said = refused("--levels 0 --tasks 1 --rollouts 2", capsys, code=1)
    assert "no episode of warm-started on toy_guess level 0 id has a verdict" in said
    scores = report_of(here / "runs/first/evals")["rows"][0]["scores"]
    assert (scores["warm-started"]["episodes"], scores["warm-started"]["errors"]) == (
        0,
        2,
    )
    assert scores["warm-started"]["success"]["value"] is None
    assert scores["trained"]["episodes"] == 2


@pytest.mark.parametrize("command", [main, twins.main])
def test_a_second_evaluation_into_a_folder_is_refused_while_the_first_lives(
    command, here, capsys
):
    words = ["--levels", "0", "--tasks", "1", "--rollouts", "1"]
    folder = here / "runs/first/evals"
    with only_writer(folder, ""), pytest.raises(SystemExit, match="2"):
        command(words)
    said = capsys.readouterr().err
    assert f"evals is in use by process {os.getpid()} on " in said
    assert "choose another folder by --out" in said
    assert not (folder / "episodes").exists()
    command(words)
    assert (folder / "episodes").is_dir()


def test_help_teaches_with_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    page = capsys.readouterr().out
    assert "scgrpo eval --ood" in page
    assert "Interrupted? The same command goes on where it stopped." in page
