"""`algo=module:NAME`: a credit rule and an algorithm in a file of their own train like a preset."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from envs.rollout import Limits
from scgrpo.algorithms.names import ALGORITHM_NAMES
from scgrpo.algorithms.presets import ALGORITHMS
from scgrpo.algorithms.registry import algorithm_of, find_algorithm
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.credit.options import CreditOptions, ReferenceLimits
from scgrpo.credit.record import credit_path
from scgrpo.launch import train
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.log import read_metrics
from scgrpo.settings import parse as settings
from scgrpo.train import main

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
RULE = '''
from dataclasses import dataclass, replace

from scgrpo.algorithms.presets import GRPO
from scgrpo.credit.rule import Credit
from scgrpo.credit.options import CreditOptions
from scgrpo.credit.self_conditioned import SelfConditioned


@dataclass(frozen=True)
class LastTokens:
    """Weight 1 at the last `count` action tokens of each episode."""

    count: int

    def __call__(self, forward, advantage, rng):
        mask = forward.batch.action_mask
        after = mask.sum(1, keepdim=True) - mask.cumsum(1)
        weight = (mask & (after < self.count)).float()
        return Credit(weight, advantage, log={"credit/last": float(weight.sum())})


LAST = replace(GRPO, name="last", source="here", credit=LastTokens(2))
NO_BRANCH = replace(GRPO, name="x", credit=SelfConditioned(CreditOptions(alpha_div=0.0)))
RULE = LastTokens(2)
'''


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path with the author's module `my_rules`."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "my_rules.py").write_text(RULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "my_rules", raising=False)
    return folder


@pytest.fixture
def config(tiny: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        env="toy_guess",
        model=str(tiny),
        max_steps=1,
        tasks_per_step=2,
        group_size=4,
        levels=(0,),
        limits=Limits(turn_tokens=4, episode_tokens=200),
        warm_start=WarmStartConfig("never"),
        device="cpu",
        dtype="float32",
        runs=tmp_path / "runs",
        save_every=1,
    )


def weights(run: Path, step: int) -> list[list[float]]:
    lines = credit_path(run, step).read_text().splitlines()
    return [json.loads(line)["weight"] for line in lines]


def test_a_rule_from_outside_trains_and_the_run_remembers_it(outside, config):
    run = train(replace(config, algo="my_rules:LAST"))
    (row,) = read_metrics(run / "metrics.jsonl")
    assert math.isfinite(row["train/gradient_norm"])
    found = weights(run, 1)
    assert len(found) == 8
    assert all(w == [0.0] * (len(w) - 2) + [1.0] * min(2, len(w)) for w in found)
    assert row["credit/last"] == sum(map(sum, found))
    assert settings.load(TrainConfig, run / "config.yaml").algo == "my_rules:LAST"

    # Resumed without a word about it, the run goes on with the same rule.
    assert (
        train(
            TrainConfig(runs=config.runs, resume=True, max_steps=2),
            {"resume", "max_steps"},
        )
        == run
    )
    assert [row["step"] for row in read_metrics(run / "metrics.jsonl")] == [1, 2]
    assert all(w[-2:] == [1.0, 1.0] for w in weights(run, 2) if len(w) > 1)
    with pytest.raises(ValueError, match="algo: the run has my_rules:LAST, got grpo"):
        train(replace(config, algo="grpo", resume=True), {"resume", "algo"})


def test_a_run_whose_rule_is_gone_says_what_is_missing(outside, config, monkeypatch):
    run = train(replace(config, algo="my_rules:LAST"))
    (outside / "my_rules.py").unlink()
    monkeypatch.delitem(sys.modules, "my_rules")
    with pytest.raises(
        ValueError, match=r"module 'my_rules' of algo='my_rules:LAST' cannot be"
    ):
        train(
            TrainConfig(runs=config.runs, name=run.name, resume=True),
            {"resume", "name"},
        )


@pytest.mark.parametrize(
    ("algo", "said"),
    [
        (
            "my_rules:LST",
            "got nothing of that name in .*my_rules.py; did you mean LAST?",
        ),
        (
            "my_rules:RULE",
            "expected an Algorithm, got a LastTokens in .*; it has LAST, NO_BRANCH",
        ),
        (
            "my_rule:LAST",
            "module 'my_rule' .* cannot be imported: is its folder on PYTHONPATH",
        ),
        ("my_rules.py:LAST", "module 'my_rules.py' .* cannot be imported"),
        (
            "./my_rules:LAST",
            r"expected module:NAME as in my_rules:MINE: a module as `import`",
        ),
        ("my_rules:", "expected module:NAME"),
        ("math:pi", r"got a float in .*; make one: replace\(GRPO, credit=my_rule\)"),
        (
            "my_rules",
            "unknown algorithm algo='my_rules'; .*or module:NAME for one of your own",
        ),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_loaded(
    outside, monkeypatch, capsys, tmp_path, algo: str, said: str
):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    # Every way to a model goes through one of these, however its caller was imported.
    monkeypatch.setattr("scgrpo.models.sources.folders._default_model", never)
    monkeypatch.setattr("scgrpo.models.load.require_model", never)
    with pytest.raises(ValueError, match=said):
        algorithm_of(TrainConfig(algo=algo))
    with pytest.raises(SystemExit) as end:
        main([f"algo={algo}", f"runs={tmp_path / 'none'}"])
    assert end.value.code == 2
    assert "algo=" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_error_inside_the_authors_module_is_raised_as_it_is(outside):
    (outside / "broken_rules.py").write_text("import no_such_package_here\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package_here"):
        find_algorithm("broken_rules:LAST")


def test_settings_that_the_rule_does_not_read_are_refused(outside):
    with pytest.raises(
        ValueError, match=r"credit.\* has no effect with algo=my_rules:LAST"
    ):
        algorithm_of(
            TrainConfig(algo="my_rules:LAST", credit=CreditOptions(percentile=0.5))
        )
    with pytest.raises(
        ValueError, match=r"reference.\* has no effect with algo=my_rules:LAST"
    ):
        algorithm_of(
            TrainConfig(algo="my_rules:LAST", reference=ReferenceLimits(tokens=64))
        )


@pytest.mark.parametrize(
    ("algo", "options", "said"),
    [
        ("rlsd", CreditOptions(percentile=0.5), "credit.percentile has no effect with"),
        ("signed", CreditOptions(alpha_div=0.2), "which reads credit.control, credit."),
        ("grpo", CreditOptions(control="shuffled"), "credit.* has no effect with"),
        ("gigpo", CreditOptions(control="shuffled"), "credit.* has no effect with"),
        ("sc_grpo", CreditOptions(control="unsigned"), "which has no sign"),
        ("disagreement", CreditOptions(control="unsigned"), "has no sign"),
        ("entropy_80_20", CreditOptions(control="no_ref"), "which need no reference"),
        ("entropy_80_20", CreditOptions(floor=1.0), "which reads credit.control"),
    ],
)
def test_a_rule_refuses_the_options_that_it_does_not_read(algo, options, said):
    with pytest.raises(ValueError, match=said.replace("*", r"\*")):
        algorithm_of(TrainConfig(algo=algo, credit=options))


@pytest.mark.parametrize(
    "algo",
    [
        "sc_grpo",
        "sc_grpo_plus",
        "contrastive",
        "rlsd",
        "signed",
        "turn_belief",
        "disagreement",
    ],
)
@pytest.mark.parametrize("control", ["rotated", "place", "entropy", "no_ref"])
def test_every_rule_with_references_takes_the_controls(algo: str, control):
    config = TrainConfig(algo=algo, credit=CreditOptions(control=control))
    rule = algorithm_of(config).credit
    assert getattr(rule, "options").control == control  # noqa: B009


def test_algo_help_lists_every_preset_without_a_model(capsys):
    main(["algo.help"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(ALGORITHMS)]] == [
        f"algo={name}" for name in ALGORITHMS
    ]
    assert all(len(line) <= 100 for line in lines)


def test_options_that_were_not_given_stay_the_authors(outside):
    config = TrainConfig(
        algo="my_rules:NO_BRANCH", credit=CreditOptions(percentile=0.5)
    )
    rule = algorithm_of(config).credit
    assert getattr(rule, "options") == CreditOptions(alpha_div=0.0, percentile=0.5)  # noqa: B009


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_our_own_names_mean_the_presets(name: str):
    assert find_algorithm(name) is ALGORITHMS[name]


def test_the_names_that_settings_know_are_those_of_the_presets():
    assert tuple(ALGORITHMS) == ALGORITHM_NAMES


def test_the_example_weighs_tokens_by_their_entropy(
    config, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(EXAMPLES)
    run = train(replace(config, algo="credit_rule:HESITATION"))
    (row,) = read_metrics(run / "metrics.jsonl")
    assert row["train/gradient_norm"] >= 0.0
    assert row["credit/mean_entropy"] > 0.1
    lines = map(json.loads, credit_path(run, 1).read_text().splitlines())
    for line in lines:
        entropy = torch.tensor(line["entropy"])
        wanted = entropy / (entropy + row["credit/mean_entropy"])
        assert line["weight"][: len(entropy)] == pytest.approx(
            wanted.tolist(), rel=1e-3
        )


def test_the_example_is_about_ten_lines_of_rule():
    text = (EXAMPLES / "credit_rule.py").read_text()
    rule = text[text.index("def hesitation") :].strip().splitlines()
    assert len([line for line in rule if line.strip()]) <= 10
