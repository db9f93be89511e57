"""Logs of Inspect, written and read by its own library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envs import registry
from envs.rollout import play
from envs.store import read_episodes, write_episodes
from envs.toy.guess import ToyGuess
from evals.export.inspect_log import main
from scgrpo.policies.scripted import ScriptedPolicy

inspect_ai = pytest.importorskip(
    "inspect_ai", reason="the extra `inspect` is not installed"
)

TASK = ToyGuess().tasks("train", 1)[4]  # 5 in 1 to 7, three guesses


def broken(chat):
    raise RuntimeError("the engine is gone")


@pytest.fixture
def file(tmp_path) -> Path:
    """Found in two guesses, not found in three, and broken."""
    env = registry.make("toy_guess")
    path = tmp_path / "mine.jsonl"
    played = [
        play(env, ScriptedPolicy(turns), TASK)
        for turns in (["4", "5"], ["1", "2", "3"])
    ]
    write_episodes(path, [*played, play(env, ScriptedPolicy(broken), TASK)])
    return path


def exported(file: Path) -> Any:
    from inspect_ai.log import read_eval_log

    main(["export", str(file), "--out", str(file.parent / "logs"), "--model", "tiny"])
    return read_eval_log(file.parent / "logs" / "mine.eval")


def test_inspect_reads_what_was_said_and_how_it_was_judged(file):
    log = exported(file)
    assert (log.status, log.eval.model) == ("success", "tiny")
    assert log.eval.task == "scgrpo/toy_guess-v0 level 1 train"
    found, lost, void = log.samples
    assert [(m.role, m.text) for m in found.messages] == [
        ("user", "Guess 1-7."),
        ("assistant", "4"),
        ("user", "higher"),
        ("assistant", "5"),
    ]
    assert [sample.epoch for sample in log.samples] == [1, 2, 3]
    assert found.scores["verified"].value == 1
    assert lost.scores["verified"].value == 0
    assert void.scores is None
    assert void.error.message == "RuntimeError: the engine is gone"


def test_an_episode_without_a_verdict_is_in_no_mean(file):
    (score,) = exported(file).results.scores
    assert score.metrics["mean"].value == 0.5
    assert (score.scored_samples, score.unscored_samples) == (2, 1)


def test_there_and_back_keeps_words_and_verdicts(file, tmp_path):
    exported(file)
    main(
        [
            "import",
            str(tmp_path / "logs" / "mine.eval"),
            "--out",
            str(tmp_path / "back"),
        ]
    )
    before, after = (
        list(read_episodes(file)),
        list(read_episodes(tmp_path / "back/mine.jsonl")),
    )
    for one, other in zip(before, after, strict=True):
        assert [t.text for t in one.turns] == [t.text for t in other.turns]
        assert (one.verified, one.stop, one.error) == (
            other.verified,
            other.stop,
            other.error,
        )
        assert (one.task.id, one.task.split, one.env) == (
            other.task.id,
            other.task.split,
            other.env,
        )


@pytest.mark.filterwarnings("ignore")  # Inspect's own event loop warns
def test_a_log_that_inspect_made_itself_is_read(tmp_path):
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    sums = Task(
        dataset=[
            Sample(input="1 + 1?", target="2"),
            Sample(input="2 + 2?", target="5"),
        ],
        solver=generate(),
        scorer=match(),
        name="sums",
    )
    outputs = [ModelOutput.from_content("mockllm", said) for said in ("2", "4")]
    for output in outputs:  # else it downloads a tokenizer to count
        output.usage = ModelUsage(input_tokens=5, output_tokens=1, total_tokens=6)
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = eval(
        sums, model=model, log_dir=str(tmp_path), display="none", max_connections=1
    )
    main(["import", str(log.location), "--out", str(tmp_path / "back")])
    (file,) = (tmp_path / "back").glob("*.jsonl")
    found = list(read_episodes(file))
    assert [
        (e.task.prompt, e.turns[0].text, e.turns[0].length, e.verified) for e in found
    ] == [
        ("1 + 1?", "2", 1, True),
        ("2 + 2?", "4", 1, False),
    ]


@pytest.mark.parametrize(
    ("verb", "text", "hint"),
    [
        ("import", "no log", "no log that inspect-ai reads"),
        ("export", "", "holds one environment"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, capsys, verb, text, hint):
    (tmp_path / "a.eval").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main([verb, str(tmp_path / "a.eval"), "--out", str(tmp_path / "out")])
    assert hint in capsys.readouterr().err


def test_nothing_is_written_over(file, capsys):
    exported(file)
    with pytest.raises(SystemExit, match="2"):
        main(["export", str(file), "--out", str(file.parent / "logs")])
    assert "exists" in capsys.readouterr().err
