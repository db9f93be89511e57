"""Where credit falls, against scipy, by hand, and on a run folder with planted credit."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from envs import registry
from envs.base import TextEnv
from envs.store import read_episodes, write_episodes
from envs.tools.store.env import ToolStore
from envs.toy.guess import ToyGuess
from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.credit import main
from evals.credit_test.report import credit_report, read_samples
from evals.credit_test.signals import auroc, mass, signals
from evals.credit_test.tokens import run_tokenizer
from evals.statistics import mean_estimate
from scgrpo.config import TrainConfig
from scgrpo.credit.record import CreditRow, credit_path, write_credit
from scgrpo.models.tiny import make_tiny
from scgrpo.settings import parse as settings

ZERO = (
    3 + 1 + ord("0") - 32
)  # the tiny tokenizer: specials, the newline, then from the space on
END = 2


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_u_statistic_of_scipy_ties_included(seed):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 6, size=40) / 5  # so that there are many ties
    truth = rng.random(40) < 0.3
    test = stats.mannwhitneyu(score[truth], score[~truth])
    assert auroc(score, truth) == pytest.approx(
        test.statistic / (truth.sum() * (~truth).sum())
    )


def test_auroc_and_mass_by_hand():
    # Pairs: 3 > 1, 3 > 2, 2 > 1, 2 = 2.
    assert auroc([3, 2, 1, 2], [True, True, False, False]) == 3.5 / 4
    assert mass([3, 2, 1, 2], [True, True, False, False]) == 5 / 8
    assert auroc([1, 1, 1], [True, False, False]) == 0.5
    assert mass([1, 1, 1], [True, False, False]) == 1 / 3


@pytest.mark.parametrize("truth", [[True, True], [False, False]])
def test_one_kind_of_token_alone_says_nothing(truth):
    assert math.isnan(auroc([1, 2], truth))
    assert math.isnan(mass([1, 2], truth))
    assert math.isnan(mass([0, 0], [True, False]))
    assert math.isnan(auroc([math.nan, 1], [True, False]))


def test_the_interval_of_a_mean_is_students_over_families():
    values = [0.2, 0.4, 0.5, 0.7, 0.9, math.nan]
    found = mean_estimate(values, list("abcdef"), 9)
    low, high = stats.t.interval(
        0.95,
        df=4,
        loc=np.mean(values[:5]),
        scale=np.std(values[:5], ddof=1) / math.sqrt(5),
    )
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert (found.value, found.tasks, found.clusters, found.episodes) == (0.54, 5, 5, 9)
    # Two tasks of a family that agree are one observation of it: 10 values, the same interval.
    twice = mean_estimate(values[:5] * 2, list("abcde") * 2, 10)
    assert (twice.low, twice.high) == pytest.approx((low, high), abs=1e-4)
    assert (twice.tasks, twice.clusters) == (10, 5)


def test_an_interval_of_shares_stays_among_them():
    found = mean_estimate([0.0, 1.0, 1.0, 1.0, 1.0], list("abcde"), 5)
    assert (found.low, found.high) == (pytest.approx(0.2448, abs=1e-3), 1.0)
    gap = mean_estimate([-1.0, 1.0, -1.0, 1.0, -1.0], list("abcde"), 5, lowest=-1.0)
    assert (gap.low, gap.high) == (-1.0, 1.0)


def guessed(task: Task, *guesses: int, passed: bool | None = True) -> Episode:
    segments = [Segment("prompt", task.prompt)]
    for guess in guesses:
        ids = (*(ZERO + int(digit) for digit in str(guess)), END)
        segments += [
            Segment("policy", str(guess), ids, (-0.5,) * len(ids)),
            Segment("env", "no"),
        ]
    return Episode(
        task=task,
        messages=(),
        tools=(),
        segments=tuple(segments[:-1]),
        stop=Stop.ERROR if passed is None else Stop.FINISHED,
        verdict=None if passed is None else Verdict(passed, float(passed)),
    )


def row(place: int, weight: list[float], **other: object) -> CreditRow:
    given = {
        "reference": 0,
        "case": "weighted",
        "advantage": 1.0,
        "entropy": [1.0] * len(weight),
    }
    return CreditRow(place, 0, divergence=weight, weight=weight, **(given | other))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run on the toy in which the last guess, then its end, has the most weight."""
    made = tmp_path / "run"
    make_tiny(made / "checkpoints" / "step-000001", hidden=8, layers=1, heads=1)
    settings.save(TrainConfig(env="toy_guess"), made / "config.yaml")
    tasks = [
        t
        for t in ToyGuess().tasks("train", 0)
        if t.payload["number"] != t.payload["low"]
    ]
    episodes = [guessed(t, t.payload["low"], t.payload["number"]) for t in tasks]
    rows = [row(place, [0.1, 0.2, 0.9, 0.8]) for place in range(len(episodes))]
    first = tasks[0]
    others = [
        (guessed(first, 4, 4, passed=False), row(0, [0.9] * 4)),
        (guessed(first, 4, passed=None), row(0, [], case="void", reference=None)),
        (guessed(first, first.payload["number"]), row(0, [1.0] * 2, reference=None)),
        (guessed(first, 9), row(0, [0.5] * 2)),
        (guessed(first, first.payload["number"]), row(0, [math.inf, 0.5])),
    ]
    for episode, credit in others:
        rows.append(CreditRow(**{**vars(credit), "episode": len(episodes)}))
        episodes.append(episode)
    write_episodes(made / "episodes" / "step-000001.jsonl", episodes)
    write_credit(credit_path(made, 1), rows)
    write_episodes(made / "episodes" / "step-000002.jsonl", [guessed(first, 4, 5)])
    return made


def numbers(run: Path) -> dict[tuple[str, str], tuple[float, float]]:
    found = credit_report(run).data["signals"]
    return {
        (r["label"], r["signal"]): (r["auroc"]["value"], r["mass"]["value"])
        for r in found
        if r["level"] == 0
    }


def test_planted_credit_is_found_where_it_was_planted(run):
    """Tokens: a wrong guess, its end, the right guess, its end."""
    found = numbers(run)
    assert found["turn", "weight"] == pytest.approx((1.0, 1.7 / 2.0))
    assert found["span", "weight"] == pytest.approx((1.0, 0.9 / 2.0))
    assert found["choice", "weight"] == pytest.approx((1.0, 0.9 / 1.0))
    assert found["turn", "uniform"] == pytest.approx((0.5, 0.5))
    assert found["span", "uniform"] == pytest.approx((0.5, 0.25))
    assert found["span", "entropy"] == pytest.approx((0.5, 0.25))
    # Of 1, 2, 3, 4 the third is larger than two of the other three.
    assert found["span", "later"] == pytest.approx((2 / 3, 0.3))
    # A guess has (0.1 + 0.9) / 2 and an end (0.2 + 0.8) / 2: the place knows nothing here.
    assert found["span", "place"] == pytest.approx((0.5, 0.25))


def test_shuffled_credit_is_blind_on_average(run):
    tokenizer = run_tokenizer(run)
    assert tokenizer is not None
    found = list(read_samples(run, ToyGuess(), tokenizer, Counter()))
    several = [
        auroc(values["shuffled"], sample.critical.span)
        for seed in range(100)
        for sample, values in zip(
            found, signals(found, np.random.default_rng(seed)), strict=True
        )
    ]
    # 600 draws of 0, 1/3, 2/3 or 1 have a standard error of 0.015.
    assert np.mean(several) == pytest.approx(0.5, abs=0.06)
    values = next(iter(signals(found, np.random.default_rng(0))))
    assert sorted(values["shuffled"]) == sorted(values["weight"])


def test_the_place_of_a_token_is_judged_by_other_tasks_alone(run):
    """The first task's ends get all the weight of its own; the others' say otherwise."""
    path = credit_path(run, 1)
    rows = [CreditRow(**json.loads(line)) for line in path.read_text().splitlines()]
    rows[0] = row(0, [0.0, 50.0, 0.0, 50.0])
    write_credit(path, rows)
    tokenizer = run_tokenizer(run)
    assert tokenizer is not None
    found = list(read_samples(run, ToyGuess(), tokenizer, Counter()))
    values = next(iter(signals(found, np.random.default_rng(0))))
    assert values["place"] == pytest.approx([0.5, 0.5, 0.5, 0.5])


def test_what_is_not_measured_is_counted_and_said(run, capsys):
    main([str(run)])
    out = capsys.readouterr().out
    assert "6 episodes" in out
    assert "Failed episodes are not measured" in out
    data = json.loads((run / "evals" / "credit" / "credit.json").read_text())
    assert data["left_out"] == {
        "failed": 1,
        "errored": 1,
        "solved, not weighted": 1,
        "solved, critical span not written as labelled": 1,
        "solved, credit not finite": 1,
        "solved, without a record of credit": 1,
    }
    assert data["measured"] == 6
    page = (run / "evals" / "credit" / "credit.md").read_text()
    assert (
        "| 0 span | weight | 1.000* (1.000, 1.000) | - | 0.450* (0.450, 0.450) | - |"
        in page
    )


def test_a_gap_is_the_weight_less_the_other_on_the_same_episodes(run):
    found = credit_report(run).data["signals"]
    (later,) = (r for r in found if (r["label"], r["signal"]) == ("span", "later"))
    assert later["auroc_gap"]["value"] == pytest.approx(1 / 3)
    assert later["mass_gap"]["value"] == pytest.approx(0.45 - 0.3)


def add_store(run: Path) -> None:
    """Makes it a run on a mixture: solved episodes of a store, whose weights say nothing."""
    tokenizer = run_tokenizer(run)
    assert tokenizer is not None
    path = run / "episodes" / "step-000001.jsonl"
    # Which version of an environment played is no matter.
    episodes = [replace(e, env="scgrpo/toy_guess-v7") for e in read_episodes(path)]
    rows = [
        CreditRow(**json.loads(line))
        for line in credit_path(run, 1).read_text().splitlines()
    ]
    store = ToolStore()
    for task in store.tasks("train", 0)[:6]:
        segments = [Segment("prompt", task.prompt)]
        for turn in store.oracle(task):
            ids = (*tokenizer(turn, add_special_tokens=False)["input_ids"], END)
            segments.append(Segment("policy", turn, ids, (-0.5,) * len(ids)))
        solved = replace(episodes[0], task=task, segments=tuple(segments))
        episodes.append(replace(solved, env="scgrpo/tool_store-v0"))
        count = sum(len(turn.token_ids) for turn in solved.turns)
        rows.append(row(len(rows), [0.5] * count))
    path.unlink()
    write_episodes(path, episodes)
    write_credit(credit_path(run, 1), rows)
    (run / "episodes" / "step-000002.jsonl").unlink()


def test_a_mixture_is_measured_environment_by_environment(run, capsys):
    alone = numbers(run)
    add_store(run)
    config = TrainConfig(env="toy_guess@weight=2+tool_store+math_chain")
    settings.save(config, run / "config.yaml")
    main([str(run)])
    data = json.loads((run / "evals" / "credit" / "credit.json").read_text())
    by_env: dict[str, dict[tuple[str, str], float]] = {}
    for score in data["signals"]:
        key = (score["label"], score["signal"])
        by_env.setdefault(score["env"], {})[key] = score["auroc"]["value"]
    assert by_env.keys() == {"toy_guess", "tool_store"}
    assert by_env["toy_guess"]["span", "weight"] == alone["span", "weight"][0] == 1.0
    assert by_env["tool_store"]["span", "weight"] == 0.5
    assert data["measured"] == 12
    assert data["environments"]["tool_store"]["measured"] == 6
    assert data["environments"]["tool_store"]["left_out"] == {}
    assert data["environments"]["toy_guess"]["left_out"]["failed"] == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "toy_guess 0 span" in out
    assert "of tool_store nothing; of math_chain nothing" in out


def test_a_part_without_labels_leaves_the_others_measured(run):
    registry.register(Unlabelled, "credit")
    add_store(run)
    path = run / "episodes" / "step-000001.jsonl"
    first = next(e for e in read_episodes(path) if e.verified and "toy" in e.env)
    write_episodes(path, [replace(first, env="credit/unlabelled-v0")])
    settings.save(TrainConfig(env="tool_store+credit/unlabelled"), run / "config.yaml")
    with credit_path(run, 1).open("a") as file:
        last = row(len(list(read_episodes(path))) - 1, [0.1, 0.2, 0.9, 0.8])
        file.write(json.dumps(asdict(last)) + "\n")
    data = credit_report(run).data
    assert data["measured"] == 6
    note = data["environments"]["credit/unlabelled"]["note"]
    assert "has no critical labels" in note


class Unlabelled(TextEnv):
    name = "unlabelled"


def test_an_environment_without_labels_is_refused(run):
    tokenizer = run_tokenizer(run)
    assert tokenizer is not None
    with pytest.raises(ValueError, match="unlabelled has no critical labels"):
        list(read_samples(run, Unlabelled(), tokenizer, Counter()))


def test_a_run_without_weighted_episodes_is_refused_with_what_it_has(run, capsys):
    credit_path(run, 1).unlink()
    with pytest.raises(SystemExit) as stopped:
        main([str(run)])
    assert stopped.value.code == 2
    assert "10 solved, without a record of credit, 1 failed" in capsys.readouterr().err


def test_a_missing_run_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "nothing")])
    assert stopped.value.code == 2
    assert "there is no run" in capsys.readouterr().err
