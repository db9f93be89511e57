"""Settings come from key=value arguments; what cannot be used is refused in useful words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.credit.options import CreditOptions
from scgrpo.settings import parse as settings
from scgrpo.settings.help import help_text, markdown
from scgrpo.settings.keys import RENAMED, SettingsError, leaves, with_new_names
from scgrpo.settings.parse import read


@dataclass(frozen=True)
class Optimizer:
    """How weights move.

    | field | meaning |
    |---|---|
    | lr | step size at the first step |
    | beta1, beta2 | decay of the moments |
    """

    lr: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99


@dataclass(frozen=True)
class Settings:
    """Settings of a small command.

    | field | meaning |
    |---|---|
    | env | environment name |
    | algo | algorithm |
    | steps | optimizer steps, at least 1 |
    | optimizer | AdamW |
    """

    env: str
    algo: Literal["grpo", "sc_grpo"] = "sc_grpo"
    steps: int = 10
    lora_rank: int | None = None
    levels: tuple[int, ...] = (0, 1)
    splits: tuple[str, ...] = ()
    root: Path = Path("runs")
    resume: bool = False
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Optimizer = field(default_factory=Optimizer)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps: got {self.steps}, expected at least 1")


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("steps=3", "steps", 3),
        ("steps=1e3", "steps", 1000),
        ("--steps=3", "steps", 3),
        ("algo=grpo", "algo", "grpo"),
        ("lora_rank=8", "lora_rank", 8),
        ("--lora-rank=8", "lora_rank", 8),
        ("lora_rank=none", "lora_rank", None),
        ("levels=2", "levels", (2,)),
        ("levels=0,2", "levels", (0, 2)),
        ("levels=[0, 2]", "levels", (0, 2)),
        ("levels=", "levels", ()),
        ("splits=id,ood/domain", "splits", ("id", "ood/domain")),
        ("root=/tmp/a b", "root", Path("/tmp/a b")),
        ("resume=true", "resume", True),
        ("--resume", "resume", True),
        ("env=007", "env", "007"),
        ("env=a=b", "env", "a=b"),
        ("optimizer.lr=3e-5", "optimizer", Optimizer(lr=3e-5)),
        ("optimizer.lr=1", "optimizer", Optimizer(lr=1.0)),
        ("env_kwargs.deep.size=4", "env_kwargs", {"deep": {"size": 4}}),
    ],
)
def test_an_argument_sets_its_field_and_no_other(
    argument: str, name: str, value: object
) -> None:
    got = read(Settings, ["env=x", argument])
    expected = {"env": "x", name: value}
    assert got == Settings(**expected)  # pyright: ignore[reportArgumentType]
    assert type(getattr(got, name)) is type(value)


def test_a_switch_takes_no_value_and_an_option_takes_the_next_argument() -> None:
    got = read(Settings, ["--resume", "--env", "x", "--optimizer.lr", "0.5"])
    assert got == Settings(env="x", resume=True, optimizer=Optimizer(lr=0.5))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("stepz=3", "unknown setting 'stepz'; did you mean steps"),
        ("lr=3", "unknown setting 'lr'; did you mean optimizer.lr"),
        ("optimiser.lr=3", "unknown setting 'optimiser.lr'; did you mean optimizer.lr"),
        ("qqqqqqqqq=3", "known: env, algo, steps"),
        ("steps=two", "steps: got 'two', expected int"),
        ("steps=1.5", "steps: got 1.5, expected int"),
        ("steps=true", "steps: got True, expected int"),
        ("steps=", "steps: got None, expected int"),
        ("resume=maybe", "resume: got 'maybe', expected true|false"),
        (
            "algo=sc_grop",
            "algo: got 'sc_grop', expected grpo|sc_grpo; did you mean sc_grpo",
        ),
        ("levels=0,a", "levels[1]: got 'a', expected int"),
        ("levels=[0", "levels: got '[0', expected list of int"),
        ("optimizer.lr=fast", "optimizer.lr: got 'fast', expected float"),
        ("steps=0", "steps: got 0, expected at least 1"),
        ("swe_lite", "got 'swe_lite', expected key=value"),
        ("--steps", "got --steps without a value"),
        ("config=/no/such.yaml", "config=/no/such.yaml: there is no such file"),
    ],
)
def test_what_cannot_be_used_is_refused_with_got_and_expected(
    argument: str, message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(Settings, ["env=x", argument])
    assert message in str(caught.value)


def test_a_missing_field_says_how_to_give_it() -> None:
    with pytest.raises(SettingsError, match="env is missing; give env=VALUE"):
        read(Settings, [])


def test_arguments_win_over_the_config_file_wherever_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("env: from_file\nsteps: 7\noptimizer:\n  lr: 0.5\n")
    for argv in (["steps=8", f"config={file}"], [f"config={file}", "steps=8"]):
        got = read(Settings, argv)
        assert got == Settings(env="from_file", steps=8, optimizer=Optimizer(lr=0.5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("env: x\nstepz: 1\n", "unknown setting 'stepz'; did you mean steps"),
        ("env: x\noptimizer:\n  lrr: 1\n", "unknown setting 'optimizer.lrr'"),
        ("env: x\noptimizer: 3\n", "optimizer: got 3, expected"),
        ("env: [x\n", "config="),
        ("- env\n", "expected settings as `key: value` lines"),
        ("env: ${nowhere}\n", "nowhere"),
    ],
)
def test_a_bad_config_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read(Settings, [f"config={file}"])
    assert message in str(caught.value)


@given(
    env=st.text(
        st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=8
    ),
    steps=st.integers(1, 10**12),
    lora_rank=st.none() | st.integers(),
    levels=st.lists(st.integers(), max_size=3).map(tuple),
    splits=st.lists(st.text("a1:/#'\" -", max_size=5), max_size=3).map(tuple),
    lr=st.floats(allow_nan=False),
    resume=st.booleans(),
)
def test_saved_settings_load_equal(
    tmp_path_factory: pytest.TempPathFactory, lr: float, **fields: Any
) -> None:
    path = tmp_path_factory.mktemp("settings") / "config.yaml"
    given_settings = Settings(
        **fields, optimizer=Optimizer(lr=lr), env_kwargs={"a": [1, "b"]}
    )
    settings.save(given_settings, path)
    assert settings.load(Settings, path) == given_settings


def test_help_names_every_field_with_type_default_and_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        settings.parse(
            Settings, ["steps=2", "--help"], prog="demo", examples=["demo env=toy"]
        )
    assert caught.value.code == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "Settings of a small command." in lines
    assert "env str (required) environment name" in lines
    assert "algo grpo|sc_grpo = sc_grpo algorithm" in lines
    assert "lora_rank int or none = none" in lines
    assert "levels list of int = 0,1" in lines
    assert "optimizer: AdamW" in lines
    assert "optimizer.beta2 float = 0.99 decay of the moments" in lines
    assert lines[-1] == "demo env=toy"


def test_the_command_line_ends_with_2_and_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        settings.parse(Settings, ["env=x", "stepz=1"], prog="demo")
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("demo: unknown setting 'stepz'; did you mean steps")


def test_the_settings_page_is_that_of_the_code():
    page = Path(__file__).parents[3] / "docs" / "settings.md"
    done = subprocess.run(
        [sys.executable, "-m", "scgrpo.config"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert page.read_text() == done.stdout, (
        "run: python -m scgrpo.config > docs/settings.md"
    )


@dataclass(frozen=True)
class Faster:
    """A run whose optimizer starts from another step size.

    | field | meaning |
    |---|---|
    | optimizer | how it learns |
    """

    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=5.0))


def test_a_groups_defaults_are_those_of_the_settings_around_it():
    assert "float = 5.0" in help_text(Faster, prog="x")
    assert "| `optimizer.lr` | float | 5.0 | step size at the first step |" in markdown(
        Faster
    )


def test_an_old_name_on_the_command_line_is_refused_with_the_new_one() -> None:
    for old, new in RENAMED.items():
        with pytest.raises(SettingsError) as caught:
            read(TrainConfig, [f"{old}=1"])
        assert f"{old} is now called {new}; use {new}=VALUE" in str(caught.value)


def test_the_config_of_an_old_run_is_read_under_todays_names(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "algo: sc_grpo\nsteps: 3\ngroup: 4\nkeep: 5\npack_tokens: 600\n"
        "credit:\n  normalize_weights: true\n  shared_reference: true\n"
        "warm_start:\n  below: 0.5\n  steps: 7\n"
    )
    expected = TrainConfig(
        max_steps=3,
        group_size=4,
        keep_checkpoints=5,
        max_tokens_per_pack=600,
        credit=CreditOptions(normalize_weights=True, shared_reference=True),
        warm_start=WarmStartConfig(success_threshold=0.5, steps=7),
    )
    assert settings.load(TrainConfig, file) == expected
    assert read(TrainConfig, [f"config={file}"]) == expected
    given_keys = settings.given_keys(TrainConfig, [f"config={file}"])
    assert {"max_steps", "credit.shared_reference"} <= given_keys
    assert "steps" not in given_keys


def test_a_setting_under_both_names_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("steps: 3\nmax_steps: 4\n")
    with pytest.raises(SettingsError, match="steps is now called max_steps; got both"):
        settings.load(TrainConfig, file)


def test_every_renamed_setting_is_one_of_today_and_its_old_name_is_free() -> None:
    keys = leaves(TrainConfig)
    for old, new in RENAMED.items():
        assert new in keys
        assert old not in keys


def test_a_name_that_a_class_still_has_is_not_renamed() -> None:
    assert with_new_names({"env": "x", "steps": 3}, leaves(Settings)) == {
        "env": "x",
        "steps": 3,
    }


def test_a_row_of_the_table_may_go_on_in_the_next() -> None:
    assert "module:NAME, an Algorithm of your own" in markdown(TrainConfig)
