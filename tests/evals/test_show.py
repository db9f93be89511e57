"""What the terminal shows of a run, and what it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from envs.store import write_episodes
from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.credit_test.tokens import token_texts
from evals.show import _conversation, main, sparkline
from scgrpo.credit.record import read_step, saved_steps
from scgrpo.models.tiny import make_tiny

A = (
    3 + 1 + ord("a") - 32
)  # the tiny tokenizer: specials, the newline, then from the space on
END = 2


def episode(text: str, score: float | None, *, reply: str = "next") -> Episode:
    """One turn of letters, ended by the end-of-turn token."""
    ids = (*(A + ord(c) - ord("a") for c in text), END)
    return Episode(
        task=Task("train/0/[red]x", "train", 0, "f", "p", {}),
        messages=(),
        tools=(),
        segments=(
            Segment("prompt", "p"),
            Segment("policy", text, ids, (-0.5,) * len(ids)),
            Segment("env", reply),
        ),
        stop=Stop.ERROR if score is None else Stop.FINISHED,
        verdict=None if score is None else Verdict(score == 1.0, score),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two steps; the second has a failed, a solved and an errored episode, and credit."""
    made = tmp_path / "run"
    make_tiny(made / "checkpoints" / "step-000002", hidden=8, layers=1, heads=1)
    write_episodes(made / "episodes" / "step-000001.jsonl", [episode("z", 0.0)])
    three = [episode("ab", 0.0), episode("cd", 1.0), episode("ef", None)]
    write_episodes(made / "episodes" / "step-000002.jsonl", three)
    (made / "metrics.jsonl").write_text(
        "".join(
            json.dumps({"step": i + 1, "episodes/success": x}) + "\n"
            for i, x in enumerate((0, 1))
        )
    )
    credit(made, weight=[0.0, 0.8, 0.2])
    return made


def credit(run: Path, *, weight: list[float], place: int = 0) -> None:
    row = {
        "episode": place,
        "group": 0,
        "reference": 1,
        "case": "weighted",
        "advantage": -0.5,
    }
    row |= {"divergence": weight, "weight": weight}
    void = {
        "episode": 2,
        "group": None,
        "reference": None,
        "case": None,
        "advantage": None,
    }
    void |= {"divergence": None, "weight": None}
    path = run / "credit" / "step-000002.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in (row, void)))


def test_a_curve_goes_from_the_lowest_bar_to_the_highest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([5.0, 5.0]) == "▁▁"
    assert sparkline([]) == ""


def test_a_long_curve_shows_means_of_neighbours():
    assert sparkline([0.0, 2.0] * 40 + [8.0, 8.0] * 20) == "▁" * 40 + "█" * 20


def test_each_episode_is_given_its_own_credit(run):
    (_, failed), (_, solved), (episode, errored) = read_step(run, 2)
    assert (failed.reference, failed.weight, failed.advantage) == (
        1,
        (0.0, 0.8, 0.2),
        -0.5,
    )
    assert (solved.group, solved.weight, solved.case) == (None, (), "")
    assert (errored.group, errored.weight, episode.verified) == (None, (), None)
    assert saved_steps(run) == [1, 2]


def test_credit_of_another_episode_is_refused(run):
    credit(run, weight=[0.1])
    with pytest.raises(
        ValueError, match=r"episode 0: got 1 values of divergence.* 3 action"
    ):
        read_step(run, 2)
    credit(run, weight=[0.1, 0.1, 0.1], place=9)
    with pytest.raises(ValueError, match="no episode 9 in"):
        read_step(run, 2)


def test_the_token_that_decided_is_the_reddest(run):
    shown = _conversation(*read_step(run, 2)[0], token_texts(run))
    shades = {
        shown.plain[span.start : span.end]: span.style.bgcolor.name
        for span in shown.spans
        if not isinstance(span.style, str)
    }
    # Green and blue are 255 - 180 of the share: 0, all, and a quarter of the most.
    assert shades == {"a": "#ffffff", "b": "#ff4b4b", "<|im_end|>": "#ffd2d2"}


def test_an_episode_cannot_steer_the_terminal(run):
    bad = "\x1b]0;owned\x07[red]\x1b[2J"
    write_episodes(
        run / "episodes" / "step-000003.jsonl", [episode("a", 1.0, reply=bad)]
    )
    out = io.StringIO()
    shown = _conversation(*read_step(run, 3)[0], token_texts(run))
    Console(file=out, force_terminal=True, color_system=None).print(shown)
    assert "\\x1b]0;owned\\x07[red]\\x1b[2J" in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_among_equals_one_with_a_reference_is_shown(run, capsys):
    equal = [episode("ab", 1.0), episode("cd", 1.0), episode("ef", None)]
    (run / "episodes" / "step-000002.jsonl").unlink()
    write_episodes(run / "episodes" / "step-000002.jsonl", equal)
    credit(run, weight=[0.0, 0.8, 0.2], place=1)
    main([str(run)])
    assert "step 2, episode 1 of 3" in capsys.readouterr().out


def test_the_best_the_worst_and_the_named_episode_are_shown(run, capsys):
    for extra, place in (
        ([], 1),
        (["--best"], 1),
        (["--worst"], 0),
        (["--episode", "2"], 2),
    ):
        main([str(run), *extra])
        out = capsys.readouterr().out
        assert f"step 2, episode {place} of 3: train/0/[red]x" in out
        assert "▁█" in out
    assert "errored" in out
    assert "no credit was saved for it" in out


def test_the_newest_evaluation_is_the_table(run, capsys):
    success = {"value": 0.25, "low": 0.1, "high": None}
    row = {
        "env": "toy",
        "level": 0,
        "split": "id",
        "scores": {"trained": {"success": success}},
    }
    (run / "evals").mkdir()
    (run / "evals" / "x.json").write_text(json.dumps({"facts": {}, "rows": [row]}))
    main([str(run)])
    assert "25.0 % (10.0--)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (["--step", "7"], "no episodes of step 7; it has 1 to 2"),
        (["--episode", "3"], "got --episode 3, expected 0 to 2"),
    ],
)
def test_what_is_not_there_is_named(run, capsys, extra, sentence):
    with pytest.raises(SystemExit) as stopped:
        main([str(run), *extra])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
